package sync

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// upload is a multipart upload under way. Parts are filled and hashed in
// order by the transfer's goroutine and sent by up to transfer.streams others;
// each is recorded in the state when the bucket has acknowledged it.
type upload struct {
	id       string
	partSize int64
	length   int64 // of the whole file, -1 unknown

	slots chan struct{} // transfer.streams
	wg    sync.WaitGroup

	mu    sync.Mutex
	parts map[int32]state.Part // acknowledged
	again map[int32]state.Part // acknowledged once, but behind a gap: must come out the same
	err   error                // the first failure
}

func newUpload(id string, partSize, length int64, streams int) *upload {
	return &upload{
		id: id, partSize: partSize, length: length, slots: make(chan struct{}, streams),
		parts: map[int32]state.Part{}, again: map[int32]state.Part{},
	}
}

// complete reports whether every byte of the file is acknowledged.
func (u *upload) complete() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	var n int64
	for _, p := range u.parts {
		n += p.Size
	}
	return u.length >= 0 && n == u.length
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
}

func (u *upload) acknowledged(p state.Part) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[p.Number] = p
}

func (u *upload) list() []state.Part {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]state.Part, 0, len(u.parts))
	for _, p := range u.parts {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b state.Part) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// resume takes up the upload that the state tells of. nil, nil: there is none.
// What cannot be taken up is *startOver.
func (x *transfer) resume(ctx context.Context) (*upload, error) {
	u, v := x.f.Upload, x.f.Version
	switch {
	case u == nil:
		return nil, nil
	case u.ID == "":
		return nil, &startOver{"the upload's ID was not recorded"}
	case v == nil || !v.Strong || v.Length < 0:
		return nil, &startOver{"the source cannot be resumed"}
	case poolClass(u.PartSize, x.o.PartSize) > x.pool.most():
		return nil, &startOver{"its parts are too large for transfer.memory by now"}
	}
	recorded, err := x.o.Store.Parts(ctx, x.ref)
	if err != nil {
		return nil, err
	}
	up := newUpload(u.ID, u.PartSize, v.Length, x.o.Streams)
	row := inRow(recorded)
	if end := endOf(row); end != v.Length {
		if row, err = x.confirmParts(ctx, up, recorded); err != nil {
			return nil, err
		}
	}
	x.digest = newDigest(x.f.Filename, nil, false)
	if len(row) > 0 {
		if x.digest, err = loadDigest(row[len(row)-1].Hash); err != nil {
			return nil, &startOver{err.Error()}
		}
	}
	for _, p := range row {
		up.parts[p.Number] = p
	}
	x.version, x.pinned, x.off = *v, true, endOf(row)
	x.sized(v.Length)
	x.course.done.Store(x.off)
	if x.digest.n != x.off {
		return nil, &startOver{"the saved hash state is of another offset"}
	}
	if len(row) == 0 {
		x.digest = nil // the first answer says what is to be computed
	}
	return up, nil
}

// inRow returns the parts from the first on without a gap.
func inRow(parts []state.Part) []state.Part {
	var off int64
	for i, p := range parts {
		if p.Number != int32(i)+1 || p.Offset != off {
			return parts[:i]
		}
		off += p.Size
	}
	return parts
}

func endOf(row []state.Part) int64 {
	if len(row) == 0 {
		return 0
	}
	return row[len(row)-1].Offset + row[len(row)-1].Size
}

// confirmParts asks the bucket which of the recorded parts it has. It returns
// those in a row and keeps the others, which have to come out the same.
func (x *transfer) confirmParts(ctx context.Context, up *upload, recorded []state.Part) ([]state.Part, error) {
	listed, err := x.dest.ListParts(ctx, x.f.Key, up.id)
	if fault.KindOf(err) == fault.NotFound {
		return nil, &startOver{"the bucket no longer has the upload"}
	}
	if err != nil {
		return nil, fromBucket(err)
	}
	has := map[int32]state.Part{}
	for _, p := range listed {
		has[p.Number] = p
	}
	same := slices.DeleteFunc(slices.Clone(recorded), func(p state.Part) bool {
		l, ok := has[p.Number]
		return !ok || l.Size != p.Size || l.ETag != p.ETag || l.CRC64NVME != 0 && l.CRC64NVME != p.CRC64NVME
	})
	row := inRow(same)
	for _, p := range recorded[min(len(row), len(recorded)):] {
		up.again[p.Number] = p
	}
	return row, nil
}

// openUpload records the intent, opens the upload, and records its ID.
func (x *transfer) openUpload(ctx context.Context, partSize int64) (*upload, error) {
	err := x.update(ctx, state.Pin{FileID: x.f.ID, Version: x.version}, state.IntendUpload{FileID: x.f.ID, PartSize: partSize})
	if err != nil {
		return nil, err
	}
	id, err := x.dest.CreateUpload(ctx, x.spec())
	if err != nil {
		return nil, fromBucket(err)
	}
	if err := x.update(ctx, state.OpenUpload{FileID: x.f.ID, UploadID: id}); err != nil {
		return nil, err
	}
	return newUpload(id, partSize, x.version.Length, x.o.Streams), nil
}

// fetchParts brings all parts into the bucket and makes the object. first, if
// not nil, is a filled buffer that holds the first part.
func (x *transfer) fetchParts(ctx context.Context, up *upload, first []byte) error {
	if x.digest == nil {
		x.digest = newDigest(x.f.Filename, x.crc, x.caps.OwnCRC64ECMA)
	}
	err := x.stream(ctx, up, first)
	up.wg.Wait() // whatever happened: what is in flight is finished and recorded
	if f := up.failure(); f != nil {
		err = f
	}
	if err != nil {
		return err
	}
	marks, err := x.judge(ctx)
	if err != nil {
		return err
	}
	info, err := x.dest.CompleteUpload(ctx, x.spec(), up.id, up.list(), x.digest.sums())
	switch fault.KindOf(err) {
	case "":
	case fault.Exists:
		if info, err = x.adoptThere(ctx); err != nil {
			return err
		}
		if err := x.abort(ctx); err != nil {
			return err
		}
	case fault.NotFound:
		return &startOver{"the bucket has neither the upload nor its object"}
	case fault.Corrupt, fault.BadRequest: // completing the same parts again would fail again
		return badParts(err)
	default:
		return fromBucket(err)
	}
	return x.stored(ctx, info, marks, len(up.parts))
}

// stream reads the source in order and hands its parts over.
func (x *transfer) stream(ctx context.Context, up *upload, buf []byte) error {
	n, end := len(buf), false
	for number := int32(len(up.parts)) + 1; !up.complete(); number++ {
		if buf == nil {
			if err := x.reading.Err(); err != nil {
				return err // between two parts: all that is in flight gets recorded
			}
			class, err := x.pool.take(x.reading, x.door(), poolClass(up.partSize, x.o.PartSize))
			if err != nil {
				return err
			}
			buf = class[:up.partSize]
			if n, end, err = x.fill(ctx, buf); err != nil {
				x.pool.put(x.door(), buf)
				return err
			}
			if n == 0 {
				x.pool.put(x.door(), buf)
				return nil
			}
		}
		if err := x.handOver(ctx, up, number, buf[:n]); err != nil {
			return err
		}
		buf = nil
		if end {
			return nil
		}
	}
	return nil
}

// handOver hashes a part and sends it. The buffer is given back in any case.
func (x *transfer) handOver(ctx context.Context, up *upload, number int32, body []byte) error {
	part, err := x.hashed(up, number, body)
	if err == nil {
		err = up.failure()
	}
	if err != nil {
		x.pool.put(x.door(), body)
		return err
	}
	up.slots <- struct{}{}
	up.wg.Go(func() {
		defer func() { <-up.slots }()
		etag, err := x.dest.UploadPart(ctx, x.f.Key, up.id, number, body, part.CRC64NVME)
		x.pool.put(x.door(), body)
		if err != nil {
			up.fail(fromBucket(err))
			return
		}
		part.ETag = etag
		if err := x.o.Store.AddParts(ctx, x.ref, up.id, part); err != nil {
			up.fail(err)
			return
		}
		up.acknowledged(part)
		x.course.done.Add(part.Size)
		x.bucketBytes(x.ref.Tenant, part.Size)
	})
	return nil
}

func (x *transfer) hashed(up *upload, number int32, body []byte) (state.Part, error) {
	if number > maxParts {
		return state.Part{}, x.tooLarge(x.digest.n)
	}
	p := state.Part{Number: number, Offset: x.digest.n, Size: int64(len(body)), CRC64NVME: crc64nvme.Checksum(body)}
	if old, ok := up.again[number]; ok && (old.CRC64NVME != p.CRC64NVME || old.Size != p.Size) {
		return p, &startOver{fmt.Sprintf("part %d fetched again is not what it was", number)}
	}
	_, _ = x.digest.Write(body)
	var err error
	p.Hash, err = x.digest.save()
	return p, err
}

// intentSlack allows for a bucket's clock that runs behind ours (S3 refuses
// more than 15 minutes) when uploads are told apart by when they were
// initiated. The key is reserved for this file.
const intentSlack = 20 * time.Minute

// abort makes sure that no upload of this file is open in the bucket.
func (x *transfer) abort(ctx context.Context) error {
	u := x.f.Upload
	if u == nil || x.dest == nil {
		return nil
	}
	if u.ID != "" {
		if err := x.dest.AbortUpload(ctx, x.f.Key, u.ID); err != nil {
			return fromBucket(err)
		}
		return nil
	}
	open, err := x.dest.ListUploads(ctx, x.f.Key)
	if err != nil {
		return fromBucket(err)
	}
	for _, o := range open {
		if o.Key != x.f.Key || o.Initiated.Before(u.IntendedAt.Add(-intentSlack)) {
			continue
		}
		if err := x.dest.AbortUpload(ctx, o.Key, o.UploadID); err != nil {
			return fromBucket(err)
		}
	}
	return nil
}
