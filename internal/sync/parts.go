package sync

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// upload is a multipart upload under way. Parts come hashed and in order; each
// is sent by a goroutine of its own, transfer.streams of them at once, and
// recorded in the state when the bucket has acknowledged it.
type upload struct {
	id       string
	partSize int64
	length   int64 // of the whole file, -1 unknown

	slots chan struct{} // transfer.streams
	wg    sync.WaitGroup

	mu    sync.Mutex
	parts map[int32]state.Part // acknowledged and recorded
	again map[int32]state.Part // recorded once, but behind a gap: must come out the same
	there map[int32]state.Part // of those, what the bucket has: not sent again
	acked []state.Part         // acknowledged, not recorded yet
	ended bool                 // nothing more will be acknowledged
	news  chan struct{}        // there is something to record, or the end
}

func newUpload(id string, partSize, length int64, streams int) *upload {
	return &upload{
		id: id, partSize: partSize, length: length, slots: make(chan struct{}, streams), news: make(chan struct{}, 1),
		parts: map[int32]state.Part{}, again: map[int32]state.Part{}, there: map[int32]state.Part{},
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

func (u *upload) recorded(parts ...state.Part) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range parts {
		u.parts[p.Number] = p
	}
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
	x.src.version, x.src.pinned, x.off = *v, true, endOf(row)
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
	for _, p := range same[len(row):] {
		up.there[p.Number] = p
	}
	for _, p := range recorded[min(len(row), len(recorded)):] {
		up.again[p.Number] = p
	}
	return row, nil
}

// openUpload records the intent, opens the upload, and records its ID.
func (x *transfer) openUpload(ctx context.Context, partSize int64) (*upload, error) {
	err := x.moves(ctx, state.Pin{FileID: x.f.ID, Version: x.src.version}, state.IntendUpload{FileID: x.f.ID, PartSize: partSize})
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
	return newUpload(id, partSize, x.src.version.Length, x.o.Streams), nil
}

// fetchParts brings all parts into the bucket and makes the object.
func (x *transfer) fetchParts(ctx context.Context, w *window, up *upload) error {
	if x.digest == nil {
		x.digest = newDigest(x.f.Filename, x.crc, x.caps.OwnCRC64ECMA)
	}
	var recorder sync.WaitGroup
	recorder.Go(func() { x.record(ctx, w, up) })
	err := w.each(func(number int32, body []byte, crc uint64) error { return x.handOver(ctx, w, up, number, body, crc) })
	up.wg.Wait() // whatever happened: what is in flight is finished and recorded
	up.end()
	recorder.Wait()
	if f := w.failure(); f != nil {
		err = f
	}
	if err != nil {
		return err
	}
	return x.finish(ctx, up)
}

// finish makes the object of all its parts.
func (x *transfer) finish(ctx context.Context, up *upload) error {
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

// handOver has a part sent. The buffer is given back in any case.
func (x *transfer) handOver(ctx context.Context, w *window, up *upload, number int32, body []byte, crc uint64) error {
	part, err := x.hashed(up, number, body, crc)
	if err != nil {
		w.free(body)
		return err
	}
	if old, ok := up.there[number]; ok { // the bucket has it, and it came out the same
		w.free(body)
		up.recorded(old)
		x.course.done.Add(old.Size)
		return nil
	}
	key := x.f.Key
	up.wg.Go(func() {
		up.slots <- struct{}{}
		defer func() { <-up.slots }()
		defer w.free(body)
		if w.failure() != nil {
			return // the file has failed: what is not begun is not sent
		}
		etag, err := x.sendPart(ctx, w, key, up.id, part, body)
		if err != nil {
			w.fail(fromBucket(err))
			return
		}
		part.ETag = etag
		up.acknowledged(part)
	})
	return nil
}

// partRetries is how often a part that the bucket did not take is sent again
// out of its buffer, the waits doubling from Options.Backoff to mostPartWait.
// What the bucket client repeats at once by itself is not counted.
const (
	partRetries  = 3
	mostPartWait = 20 * time.Second
)

// sendPart sends a part until the bucket has acknowledged it.
func (x *transfer) sendPart(ctx context.Context, w *window, key, id string, p state.Part, body []byte) (etag string, err error) {
	for try := 1; ; try++ {
		etag, err = x.dest.UploadPart(ctx, key, id, p.Number, body, p.CRC64NVME)
		switch fault.KindOf(err) {
		case fault.Temporary, fault.Ambiguous, fault.Corrupt:
		default:
			return etag, err
		}
		wait := x.backoff(try, err)
		if try > partRetries || wait > mostPartWait || x.gate.shut(w.owner.tenant, w.owner.dest) {
			return "", err
		}
		x.o.Observer.Retried(x.ref.Tenant, SideBucket)
		if sleep(w.take, wait) != nil {
			return "", err // we are stopping, or the file has failed otherwise
		}
	}
}

// hashed makes the record of a part that the digest has taken.
func (x *transfer) hashed(up *upload, number int32, body []byte, crc uint64) (state.Part, error) {
	if number > maxParts {
		return state.Part{}, x.tooLarge(x.digest.n)
	}
	p := state.Part{Number: number, Offset: int64(number-1) * up.partSize, Size: int64(len(body)), CRC64NVME: crc}
	if old, ok := up.again[number]; ok && (old.CRC64NVME != p.CRC64NVME || old.Size != p.Size) {
		return p, &startOver{fmt.Sprintf("part %d fetched again is not what it was", number)}
	}
	x.digest.join(p.CRC64NVME, p.Size)
	var err error
	p.Hash, err = x.digest.save()
	return p, err
}

// acknowledged has a part recorded that the bucket has taken.
func (u *upload) acknowledged(p state.Part) {
	u.mu.Lock()
	u.acked = append(u.acked, p)
	u.mu.Unlock()
	hint(u.news)
}

// end says that nothing more will be acknowledged.
func (u *upload) end() {
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	hint(u.news)
}

// unrecorded returns what has been acknowledged since it was last asked.
func (u *upload) unrecorded() (parts []state.Part, ended bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	parts, u.acked = u.acked, nil
	return parts, u.ended
}

// record records acknowledged parts until the end, each time all that came in
// while the last commit was under way: neither the source nor the bucket ever
// waits for the disk.
func (x *transfer) record(ctx context.Context, w *window, up *upload) {
	for range up.news {
		parts, ended := up.unrecorded()
		if len(parts) > 0 {
			if err := x.o.Store.AddParts(ctx, x.ref, up.id, parts...); err != nil {
				w.fail(err)
				parts = nil
			}
		}
		up.recorded(parts...)
		for _, p := range parts {
			x.course.done.Add(p.Size)
			x.o.Observer.BucketTook(x.ref.Tenant, p.Size)
		}
		if ended {
			return
		}
	}
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
