package bucket

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// expected is the object that a write was to make.
type expected struct {
	op       string
	spec     state.ObjectSpec
	sums     state.Checksums
	uploadID string // "" for a single PUT
	parts    int    // of the upload
}

// already asks before a write whose condition the store may not honour. done
// says that there is nothing left to write: the object is there and is ours
// (err nil), or it isn't, or could not be asked for.
func (b *Bucket) already(ctx context.Context, want expected) (info state.ObjectInfo, done bool, err error) {
	info, err = b.Head(ctx, want.spec.Key, "")
	switch fault.KindOf(err) {
	case "":
		if why := want.differs(info); why != "" {
			return state.ObjectInfo{}, true, b.foreign(want, why, nil)
		}
		return info, true, nil
	case fault.NotFound:
		return state.ObjectInfo{}, false, nil
	default:
		return state.ObjectInfo{}, true, err
	}
}

// settle finds out what a write came to. cause is its error, nil for success;
// version is what it said it made.
func (b *Bucket) settle(ctx context.Context, want expected, version string, cause *fault.Error) (state.ObjectInfo, error) {
	if cause != nil && !unsure(cause.Kind) {
		return state.ObjectInfo{}, cause
	}
	info, err := b.Head(ctx, want.spec.Key, version)
	switch kind := fault.KindOf(err); kind {
	case "":
		if why := want.differs(info); why != "" {
			return state.ObjectInfo{}, b.foreign(want, why, cause)
		}
		if cause != nil && want.uploadID != "" {
			err = b.AbortUpload(ctx, want.spec.Key, want.uploadID)
		}
		return info, err
	case fault.NotFound, fault.Unauthorized:
		return state.ObjectInfo{}, b.settleAbsent(ctx, want, cause, err)
	default:
		return state.ObjectInfo{}, err
	}
}

// settleAbsent settles a write after which HEAD found nothing, or was refused
// for that key. headErr is HEAD's error.
func (b *Bucket) settleAbsent(ctx context.Context, want expected, cause *fault.Error, headErr error) error {
	var head fault.Error
	if fe, ok := errors.AsType[*fault.Error](headErr); ok {
		head = *fe
	}
	if cause == nil || cause.Kind == fault.Exists {
		// Something is there: what we made, or what made the condition fail.
		if head.Status == http.StatusForbidden {
			head.Kind, head.Hint = fault.Unauthorized, hintMayNotRead
			return &head
		}
		return local(want.op, b.subject(want.spec.Key), fault.Temporary, "the store says that the object is there, and HEAD does not find it", "")
	}
	if want.uploadID == "" {
		if head.Kind == fault.Unauthorized {
			return &head
		}
		return again(cause)
	}
	switch _, err := b.ListParts(ctx, want.spec.Key, want.uploadID); {
	case err == nil:
		return again(cause)
	case fault.KindOf(err) != fault.NotFound:
		return err
	case head.Kind == fault.Unauthorized:
		return &head
	}
	return local(want.op, b.subject(want.spec.Key), fault.NotFound, "the multipart upload has vanished and left no object", "upload the file again")
}

// unsure reports whether a write that failed so may have taken effect all the
// same, now or at an earlier attempt.
func unsure(k fault.Kind) bool {
	return k == fault.Temporary || k == fault.Exists || k == fault.NotFound || k == fault.Ambiguous
}

// again turns a settled cause into what it means: nothing happened, the same
// call may succeed.
func again(cause *fault.Error) *fault.Error {
	out := *cause
	out.Kind = fault.Temporary
	return &out
}

// foreign is the error for an object that is not the one we meant.
func (b *Bucket) foreign(want expected, why string, cause *fault.Error) *fault.Error {
	out := local(want.op, b.subject(want.spec.Key), fault.Exists, "another object is at this key: "+why, "")
	if cause != nil {
		out.Status, out.Code = cause.Status, cause.Code
	}
	return out
}

// partsOf reads the number of parts off the usual form of a multipart
// object's ETag: 32 hex digits, a dash, the number.
func partsOf(etag string) (string, bool) {
	digest, n, ok := strings.Cut(strings.Trim(etag, `"`), "-")
	_, err := strconv.Atoi(n)
	return n, ok && len(digest) == 32 && err == nil
}

// differs says in what an object is not the expected one; "" if it is. Only
// what the store says is compared, so "" is identity, not yet proof.
func (e expected) differs(info state.ObjectInfo) string {
	if info.Size != e.spec.Size {
		return "its size is " + strconv.FormatInt(info.Size, 10) + " bytes, not " + strconv.FormatInt(e.spec.Size, 10)
	}
	for name, value := range e.spec.Metadata {
		if info.Metadata[strings.ToLower(name)] != value {
			return "its metadata " + name + " is another"
		}
	}
	if len(e.spec.Metadata) == 0 && info.CRC64NVME == nil {
		return "it has neither our metadata nor a checksum"
	}
	if info.CRC64NVME != nil && *info.CRC64NVME != e.sums.CRC64NVME {
		return "its CRC64NVME is another"
	}
	if info.CRC64ECMA != nil && e.sums.CRC64ECMA != 0 && *info.CRC64ECMA != e.sums.CRC64ECMA {
		return "its CRC-64 is another"
	}
	if n, ok := partsOf(info.ETag); ok && info.CRC64NVME == nil && info.CRC64ECMA == nil && n != strconv.Itoa(e.parts) {
		return "it was made of " + n + " parts, not " + strconv.Itoa(e.parts)
	}
	return ""
}
