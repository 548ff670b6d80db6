package bucket

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Content-MD5 is what S3 asks for under object lock
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// Put stores body as one object, only if nothing is at its key. The returned
// info shows spec's size and metadata and, where the store returns checksums,
// those of sums. It is a HEAD's, asked afterwards, unless the answer was the
// proof: the first attempt was answered 200, by a store that was seen to honour
// If-None-Match and to refuse wrong checksums, with the right checksum over
// the whole object (or with its own CRC-64, COS and OSS). LastModified is then
// zero, which means that it is not known yet; ETag, VersionID, Date and the
// checksums are the answer's.
// body must be spec.Size bytes; the S3 limit is 5 GiB. Repeating the call is
// safe: an object that is there and is ours is success.
//
// Errors: fault.Exists if something else is at the key, fault.Corrupt if the
// bytes did not arrive as they were sent, fault.Temporary, fault.Unauthorized.
func (b *Bucket) Put(ctx context.Context, spec state.ObjectSpec, body []byte, sums state.Checksums) (state.ObjectInfo, error) {
	want := expected{op: "PutObject", spec: spec, sums: sums}
	asked := !b.Capabilities().ConditionalPut
	if asked {
		if info, done, err := b.already(ctx, want); done {
			return info, err
		}
	}
	in := b.putInput(spec, body)
	in.IfNoneMatch = aws.String("*")
	if b.sendsPutCRC() {
		in.ChecksumAlgorithm, in.ChecksumCRC64NVME = types.ChecksumAlgorithmCrc64nvme, encodeCRC(sums.CRC64NVME)
	} else if in.ObjectLockMode != "" {
		in.ContentMD5 = md5Of(body)
	}
	out, fe := b.putObject(ctx, in, body)
	if asked && fe != nil && notImplemented(fe) {
		in.IfNoneMatch = nil
		out, fe = b.putObject(ctx, in, body)
	}
	if fe != nil {
		return b.settle(ctx, want, "", fe)
	}
	if why := contradicts(wholeCRC(out.ChecksumCRC64NVME, out.ChecksumType), headerOf(out.ResultMetadata), sums.CRC64NVME, body); why != "" {
		return state.ObjectInfo{}, local("PutObject", b.subject(spec.Key), fault.Corrupt, why, "")
	}
	if info, ok := b.proves(want, out); ok {
		return info, nil
	}
	return b.settle(ctx, want, aws.ToString(out.VersionId), nil)
}

// putInput is an object's request without condition and checksum.
func (b *Bucket) putInput(spec state.ObjectSpec, body []byte) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket:               &b.name,
		Key:                  aws.String(spec.Key),
		ContentLength:        aws.Int64(int64(len(body))),
		ContentType:          optional(spec.ContentType),
		Metadata:             spec.Metadata,
		StorageClass:         types.StorageClass(b.opts.StorageClass),
		ServerSideEncryption: types.ServerSideEncryption(b.opts.SSE),
		SSEKMSKeyId:          optional(b.opts.SSEKMSKeyID),
		Tagging:              b.tagging(),
	}
	in.ObjectLockMode, in.ObjectLockRetainUntilDate = b.lock()
	return in
}

// put sends one PutObject and returns the version that it made.
func (b *Bucket) put(ctx context.Context, in *s3.PutObjectInput, body []byte) (version string, fe *fault.Error) {
	out, fe := b.putObject(ctx, in, body)
	if fe != nil {
		return "", fe
	}
	return aws.ToString(out.VersionId), nil
}

// putObject sends one PutObject.
func (b *Bucket) putObject(ctx context.Context, in *s3.PutObjectInput, body []byte) (*s3.PutObjectOutput, *fault.Error) {
	in.Body = bytes.NewReader(body)
	lent, end := lend(ctx, body)
	defer end()
	out, err := b.client.PutObject(lent, in)
	if err != nil {
		return nil, b.classify(ctx, "PutObject", b.subject(*in.Key), err)
	}
	return out, nil
}

// Head asks for one object; versionID may be empty. Checksums are asked for.
//
// Errors: fault.NotFound if it is not there; also where the store answers 403
// for the key alone (Status 403, with the hint to give s3:ListBucket), while
// the bucket itself does not refuse us. fault.Unauthorized, fault.Temporary.
func (b *Bucket) Head(ctx context.Context, key, versionID string) (state.ObjectInfo, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &b.name, Key: &key, VersionId: optional(versionID), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return state.ObjectInfo{}, b.missing(ctx, b.classify(ctx, "HeadObject", b.subject(key), err))
	}
	h := headerOf(out.ResultMetadata)
	return state.ObjectInfo{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag),
		VersionID: aws.ToString(out.VersionId), LastModified: aws.ToTime(out.LastModified),
		ContentType: aws.ToString(out.ContentType), Metadata: lowerKeys(out.Metadata),
		CRC64NVME: wholeCRC(out.ChecksumCRC64NVME, out.ChecksumType), CRC64ECMA: ecmaOf(h), Date: dateOf(h),
	}, nil
}

// missing tells a key that is not there from a bucket that refuses us, where
// the answer alone does not.
func (b *Bucket) missing(ctx context.Context, fe *fault.Error) *fault.Error {
	switch {
	case fe.Status == http.StatusMethodNotAllowed: // a delete marker, S3 User Guide "Working with delete markers"
		fe.Kind, fe.Hint = fault.NotFound, ""
	case fe.Status == http.StatusForbidden && fe.Kind == fault.Unauthorized:
		if b.Check(ctx) == nil {
			fe.Kind, fe.Hint = fault.NotFound, hintListBucket
		}
	}
	return fe
}

// Get opens an object's bytes from offset on (0 to size-1; an empty object at
// 0 only). versionID may be empty; ifMatch, if set, is the ETag that the
// object must still have. The info's Size is the whole object's. The reader
// must be closed; it gives up after 60 s without a byte, and its errors are
// *fault.Error.
//
// Errors: as Head's, and fault.Changed if ifMatch does not hold.
func (b *Bucket) Get(ctx context.Context, key, versionID string, offset int64, ifMatch string) (io.ReadCloser, state.ObjectInfo, error) {
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key, VersionId: optional(versionID), IfMatch: optional(ifMatch)}
	if offset > 0 {
		in.Range = aws.String("bytes=" + strconv.FormatInt(offset, 10) + "-")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		fe := b.missing(ctx, b.classify(ctx, "GetObject", b.subject(key), err))
		cancel(nil)
		if fe.Kind == fault.Exists {
			fe.Kind = fault.Changed
		}
		return nil, state.ObjectInfo{}, fe
	}
	h := headerOf(out.ResultMetadata)
	info := state.ObjectInfo{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag),
		VersionID: aws.ToString(out.VersionId), LastModified: aws.ToTime(out.LastModified),
		ContentType: aws.ToString(out.ContentType), Metadata: lowerKeys(out.Metadata),
		CRC64NVME: wholeCRC(out.ChecksumCRC64NVME, out.ChecksumType), CRC64ECMA: ecmaOf(h), Date: dateOf(h),
	}
	if offset > 0 {
		total, ok := rangeTotal(aws.ToString(out.ContentRange), offset)
		if !ok {
			cancel(nil) // which ends the body, so that Close has nothing to say
			_ = out.Body.Close()
			return nil, state.ObjectInfo{}, local("GetObject", b.subject(key), fault.Rejected, "the store did not answer the range "+*in.Range, "")
		}
		info.Size = total
	}
	return newBody(ctx, cancel, b, key, out.Body), info, nil
}

// rangeTotal reads "bytes OFFSET-LAST/TOTAL" (RFC 9110 section 14.4).
func rangeTotal(header string, offset int64) (int64, bool) {
	rest, ok := strings.CutPrefix(header, "bytes "+strconv.FormatInt(offset, 10)+"-")
	if !ok {
		return 0, false
	}
	_, total, ok := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(total, 10, 64)
	return n, ok && err == nil
}

// remove deletes an object, or one version of it. The probe alone uses it.
func (b *Bucket) remove(ctx context.Context, key, versionID string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, VersionId: optional(versionID)})
	if err != nil {
		fe := b.classify(ctx, "DeleteObject", b.subject(key), err)
		if fe.Kind == fault.NotFound {
			return nil
		}
		return fe
	}
	return nil
}

// optional is nil for "", so that the header is not sent.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// lowerKeys brings metadata names into one spelling: HTTP headers have none.
func lowerKeys(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[strings.ToLower(k)] = v
	}
	return out
}

// md5Of renders Content-MD5, which a store with object lock asks for where no
// checksum header is sent (S3 User Guide, "Object Lock considerations").
func md5Of(body []byte) *string {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}
