package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"

	"archiver/internal/download"
	"archiver/internal/fault"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

// transfer is one claimed file on its way. It belongs to one goroutine; only
// sendPart's goroutines share it, and they touch nothing but what upload
// guards.
//
// reading ends when the daemon takes no more: then no part is begun. The
// context of work lets those in flight be finished and recorded.
type transfer struct {
	*Syncer
	t    *Tenant
	ref  state.FileRef
	rec  state.Recording
	f    state.File
	dest Destination
	caps state.Capabilities
	log  *zap.Logger

	reading context.Context //nolint:containedctx // a transfer is one call; this is its second argument, everywhere
	version state.SourceVersion
	pinned  bool
	single  bool    // the source cannot be resumed: one stream, or from the start
	crc     *uint64 // what the vendor's store says of the whole file
	off     int64   // the next byte of the source
	digest  *digest
	seen    *state.ObjectInfo // what the bucket said of the object when it was stored
	url     string            // of the last answer; secret
	body    io.ReadCloser     // of the present answer, nil if there is none
	fails   int               // of the source, in a row, without a byte
	expired int               // links, in a row, without a byte
}

// runFile brings a claimed file as far as it gets now and records what came
// of it.
func (s *Syncer) runFile(take, work context.Context, ref state.FileRef) {
	x := &transfer{Syncer: s, t: s.tenants[ref.Tenant], ref: ref, reading: take}
	x.log = s.o.Logger.With(zap.String("tenant", ref.Tenant), zap.String("record_id", ref.RecordID), zap.String("file_id", ref.FileID))
	err := x.run(work)
	if x.body != nil {
		_ = x.body.Close() // read-only: nothing can be lost
	}
	if err != nil && !errors.Is(err, errDone) {
		x.conclude(work, err)
	}
}

func (x *transfer) run(ctx context.Context) error {
	if err := x.load(ctx); err != nil {
		return err
	}
	dest, ok := x.destination(x.t, x.f.Dest)
	if !ok {
		return &fault.Error{
			Op: "archive", Subject: x.ref.String(), Kind: fault.Forbidden,
			Err:  fmt.Errorf("destination_unconfigured: bucket %s is no longer in the configuration", x.f.Dest.Bucket),
			Hint: "put the bucket back into the configuration",
		}
	}
	x.dest = dest
	var err error
	if x.caps, err = x.proofs.of(ctx, x.f.Dest, dest); err != nil {
		return err
	}
	if x.f.Phase != state.Stored {
		if err := x.fetch(ctx); err != nil {
			return err
		}
	}
	if x.f.Phase == state.Stored {
		if err := x.prove(ctx); err != nil {
			return err
		}
	}
	x.log.Info("verified", zap.String("key", x.f.Key), zap.Int64("size", x.f.Size), zap.String("level", string(x.f.Level)))
	if x.rec.Manifest.Due {
		hint(x.sealing[x.ref.Tenant])
	}
	if x.gate.open(x.f.Dest) {
		x.log.Info("bucket works again, transfers go on", zap.String("bucket", x.f.Dest.Bucket))
	}
	return nil
}

// load reads what is true now.
func (x *transfer) load(ctx context.Context) error {
	rec, err := x.o.Store.Get(ctx, x.ref.Key)
	if err != nil {
		return err
	}
	return x.saw(rec)
}

func (x *transfer) saw(rec state.Recording) error {
	f, ok := rec.File(x.ref.FileID)
	if !ok {
		return fmt.Errorf("archive %s: the state has no such file: %w", x.ref, state.ErrNotFound)
	}
	x.rec, x.f = rec, f
	return nil
}

// update records changes and sees what became of them.
func (x *transfer) update(ctx context.Context, changes ...state.Change) error {
	rec, err := x.o.Store.Update(ctx, x.ref.Key, state.Do(changes...))
	if err != nil {
		return err
	}
	return x.saw(rec)
}

// fetch moves the bytes, from wherever the recorded parts end.
func (x *transfer) fetch(ctx context.Context) error {
	if err := x.update(ctx, state.Start{FileID: x.f.ID}); err != nil {
		return err
	}
	if x.unguarded() && x.f.Upload == nil && !strings.Contains(x.f.Key, x.f.ID) {
		// It was discovered before the bucket was known to ignore conditions.
		if err := x.update(ctx, state.Rekey{FileID: x.f.ID, Keys: x.otherKeys()}, state.Start{FileID: x.f.ID}); err != nil {
			return err
		}
	}
	up, err := x.resume(ctx)
	if err != nil {
		return err
	}
	if up == nil || !up.complete() {
		if err := x.connect(ctx); err != nil {
			return err
		}
		if err := x.weighLength(ctx); err != nil {
			return err
		}
	}
	if up == nil {
		return x.fetchNew(ctx)
	}
	return x.fetchParts(ctx, up, nil)
}

// fetchNew begins a file: the first buffer tells whether it needs parts.
func (x *transfer) fetchNew(ctx context.Context) error {
	x.digest = newDigest(x.f.Filename, x.crc, x.caps.OwnCRC64ECMA)
	size := x.partSize()
	if n := x.version.Length; n >= 0 {
		if n/size >= maxParts {
			return x.tooLarge(n)
		}
		size = min(size, max(n, 1))
	}
	class := poolClass(size, x.o.PartSize)
	if class > x.o.Memory/4 && class > x.o.PartSize {
		return x.tooLarge(x.version.Length)
	}
	buf, err := x.pool.take(x.reading, x.ref.Tenant, class)
	if err != nil {
		return err
	}
	first := buf[:size]
	n, end, err := x.fill(ctx, first)
	if err != nil {
		x.pool.put(x.ref.Tenant, buf)
		return err
	}
	if err := x.sniff(first[:n]); err != nil {
		x.pool.put(x.ref.Tenant, buf)
		return err
	}
	if end {
		defer x.pool.put(x.ref.Tenant, buf)
		return x.putWhole(ctx, first[:n])
	}
	there, err := x.dest.Head(ctx, x.f.Key, "")
	switch {
	case err == nil && x.claims(there):
		return x.readThrough(ctx, buf, size, there)
	case err == nil:
		x.pool.put(x.ref.Tenant, buf)
		return errOccupied
	case fault.KindOf(err) != fault.NotFound:
		x.pool.put(x.ref.Tenant, buf)
		return fromBucket(err)
	}
	up, err := x.openUpload(ctx, size)
	if err != nil {
		x.pool.put(x.ref.Tenant, buf)
		return err
	}
	return x.fetchParts(ctx, up, first)
}

const maxParts = 10_000 // of one multipart upload, Amazon S3 User Guide, "multipart upload limits"

// partSize is transfer.part_size, doubled until maxParts of it hold the file.
func (x *transfer) partSize() int64 {
	size := x.o.PartSize
	for l := max(x.version.Length, x.f.DeclaredSize); size*maxParts < l; {
		size *= 2
	}
	return size
}

func (x *transfer) tooLarge(n int64) error {
	return fromBucket(&fault.Error{
		Op: "archive", Subject: x.ref.String(), Kind: fault.Forbidden,
		Err:  fmt.Errorf("a file of %d bytes needs parts of %d bytes, and four of them in memory", n, x.partSize()),
		Hint: fmt.Sprintf("set transfer.memory to at least %d", 4*x.partSize()),
	})
}

// weighLength compares what the source declares with the vendor's fileSize
// before a byte is spent on it. A mismatch is asked about again after settle;
// one that stays is archived and marked.
func (x *transfer) weighLength(ctx context.Context) error {
	declared, listed := x.version.Length, x.f.DeclaredSize
	if declared > x.o.MaxFileSize {
		return fromSource(&fault.Error{
			Op: "download", Subject: x.f.SourcePath, Kind: fault.Forbidden,
			Err:  fmt.Errorf("the source declares %d bytes, more than transfer.max_file_size", declared),
			Hint: "raise transfer.max_file_size if recordings of that size are right",
		})
	}
	if declared < 0 || listed < 0 || declared == listed {
		return nil
	}
	if err := x.peek(ctx); err != nil {
		return err
	}
	return x.doubt(ctx, fmt.Sprintf("the vendor lists %d bytes, the source declares %d", listed, declared))
}

// peek looks at the first bytes of a source whose length is not what it should
// be: an error page is told as such, and not as a wrong length. The answer is
// given up; it is asked for again where it is needed.
func (x *transfer) peek(ctx context.Context) error {
	if x.off > 0 {
		return nil
	}
	head := make([]byte, headBytes)
	n, _, err := x.fill(ctx, head[:min(headBytes, max(x.version.Length, 1))])
	x.hangUp()
	x.off = 0
	if err != nil {
		return err
	}
	return x.sniff(head[:n])
}

// doubt returns nil if the mismatch has lasted for settle, so that the file is
// archived with a mark. Otherwise what was transferred is dropped, and the
// file waits until the listing may have become right.
func (x *transfer) doubt(ctx context.Context, detail string) error {
	now := x.o.Clock()
	if !x.f.DoubtedAt.IsZero() && now.Sub(x.f.DoubtedAt) >= x.o.Settle {
		if _, err := x.o.Links.Refresh(ctx, x.ref, x.rec.AdoptedFrom); err != nil {
			return &vendorError{err}
		}
		before := x.f.DeclaredSize
		if err := x.load(ctx); err != nil {
			return err
		}
		if x.f.DeclaredSize == before {
			return nil
		}
		return &startOver{"the vendor lists another size now"}
	}
	if err := x.abort(ctx); err != nil {
		return err
	}
	from := x.f.DoubtedAt
	if from.IsZero() {
		from = now
	}
	if err := x.update(ctx, state.Doubt{FileID: x.f.ID, Detail: detail, RetryAt: from.Add(x.o.Settle)}); err != nil {
		return err
	}
	x.log.Warn("sizes differ, asked again after settle", zap.String("detail", detail))
	return errDone
}

// sniff judges the first bytes before anything is stored.
func (x *transfer) sniff(first []byte) error {
	m := newMedia(x.f.Filename)
	m.write(first[:min(len(first), headBytes)])
	if why := m.errorDocument(); why != "" {
		return badContent(&fault.Error{
			Op: "download", Subject: x.f.SourcePath, Kind: fault.Corrupt,
			Err:  fmt.Errorf("instead of %s %s: %s", x.f.Filename, why, download.Evidence(m.Head, x.url)),
			Hint: "open the recording in the vendor's portal to see whether it is there",
		})
	}
	return nil
}

// judge weighs the whole file once all bytes are read. nil: it may be stored,
// with the marks.
func (x *transfer) judge(ctx context.Context) (state.Marks, error) {
	var marks state.Marks
	if w := x.digest.want; w != nil && *w != x.digest.ecma {
		return marks, badContent(&fault.Error{
			Op: "download", Subject: x.f.SourcePath, Kind: fault.Corrupt,
			Err: fmt.Errorf("CRC64-ECMA of the bytes read is %d, the vendor's store says %d", x.digest.ecma, *w),
		})
	}
	listed := x.f.DeclaredSize
	marks.LengthUnproven = x.version.Length < 0 && listed < 0
	if listed >= 0 && listed != x.digest.n {
		if err := x.doubt(ctx, fmt.Sprintf("the vendor lists %d bytes, %d were read", listed, x.digest.n)); err != nil {
			return marks, err
		}
		marks.SizeMismatch = true
	}
	if why := x.digest.media.suspect(); why != "" {
		if x.f.Suspect != why && x.f.Retakes < x.o.MaxAttempts {
			return marks, &retakeError{why}
		}
		marks.ContentSuspect = true
	}
	return marks, nil
}

// retakeError asks for the file to be fetched again from the start.
type retakeError struct{ why string }

func (e *retakeError) Error() string { return e.why }

// putWhole stores a file that fits into one buffer with one PutObject.
func (x *transfer) putWhole(ctx context.Context, body []byte) error {
	_, _ = x.digest.Write(body)
	marks, err := x.judge(ctx)
	if err != nil {
		return err
	}
	info, err := x.adoptOr(ctx, func() (state.ObjectInfo, error) {
		return x.dest.Put(ctx, x.spec(), body, x.digest.sums())
	})
	if err != nil {
		return err
	}
	return x.stored(ctx, info, marks, 0)
}

// readThrough reads the rest of a file whose object is there already, without
// sending a byte, and adopts the object if it is the same.
func (x *transfer) readThrough(ctx context.Context, buf []byte, n int64, there state.ObjectInfo) error {
	defer x.pool.put(x.ref.Tenant, buf)
	end := false
	for {
		_, _ = x.digest.Write(buf[:n])
		if end {
			break
		}
		m, e, err := x.fill(ctx, buf)
		if err != nil {
			return err
		}
		n, end = int64(m), e
	}
	marks, err := x.judge(ctx)
	if err != nil {
		return err
	}
	info, err := x.adopt(ctx, there)
	if err != nil {
		return err
	}
	return x.stored(ctx, info, marks, 0)
}

// unguarded reports that the bucket would overwrite what it is asked not to.
func (x *transfer) unguarded() bool { return !x.caps.ConditionalPut || !x.caps.ConditionalComplete }

// adoptOr runs write; where an object lies there already that claims to be
// this file (the state was lost), it is proven and adopted instead.
func (x *transfer) adoptOr(ctx context.Context, write func() (state.ObjectInfo, error)) (state.ObjectInfo, error) {
	if x.unguarded() {
		// The bucket would overwrite: look first.
		info, err := x.dest.Head(ctx, x.f.Key, "")
		if err == nil {
			return x.adopt(ctx, info)
		}
		if fault.KindOf(err) != fault.NotFound {
			return info, fromBucket(err)
		}
	}
	info, err := write()
	if fault.KindOf(err) == fault.Exists {
		if info, err = x.dest.Head(ctx, x.f.Key, ""); err == nil {
			return x.adopt(ctx, info)
		}
	}
	if err != nil {
		return info, fromBucket(err)
	}
	return info, nil
}

// adopt compares an object of the bucket with the bytes that were just read
// from the source. nil: it is this file, whole and proven.
func (x *transfer) adopt(ctx context.Context, info state.ObjectInfo) (state.ObjectInfo, error) {
	if !x.claims(info) || info.Size != x.digest.n {
		return info, errOccupied
	}
	_, err := prove(ctx, x.dest, x.caps, expectation{
		key: x.f.Key, versionID: info.VersionID, size: x.digest.n, sums: x.digest.sums(),
	}, x.t.Readback)
	if fault.KindOf(err) == fault.Corrupt {
		return info, errOccupied
	}
	if err != nil {
		return info, fromProof(err)
	}
	x.log.Info("adopted an object that was there already", zap.String("key", x.f.Key))
	return info, nil
}

// errOccupied says that an object that is not ours lies at the reserved key.
var errOccupied = errors.New("another object lies at the reserved key")

// claims reports whether an object's metadata say that it is this file.
func (x *transfer) claims(info state.ObjectInfo) bool {
	m := info.Metadata
	return m["archiver-tenant"] == metaValue(x.ref.Tenant) && m["archiver-record-id"] == metaValue(x.ref.RecordID) &&
		m["archiver-file-id"] == metaValue(x.f.ID)
}

func (x *transfer) stored(ctx context.Context, info state.ObjectInfo, marks state.Marks, parts int) error {
	x.seen = &info
	marks.Accepted = x.f.Marks.Accepted && marks.String() == x.f.Marks.String()
	sums, at := x.digest.sums(), object(info)
	changes := []state.Change{state.MarkStored{
		FileID: x.f.ID, Version: x.version, Size: x.digest.n, Sums: sums, Marks: marks, Parts: parts, Object: at,
	}}
	want := expectation{key: x.f.Key, size: x.digest.n, sums: sums, parts: parts}
	if level, err := want.level(info, x.caps); err == nil && level != "" && !x.t.Readback {
		// What the write answered is the proof: one transaction for both.
		changes = append(changes, state.Verify{FileID: x.f.ID, Level: level, Object: at})
	}
	err := x.update(ctx, changes...)
	if err == nil && marks.Any() {
		x.log.Warn("archived with a mark", zap.String("marks", marks.String()))
	}
	return err
}

// spec is what the object is to be, CONTRACT section 6.
func (x *transfer) spec() state.ObjectSpec {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	meta := map[string]string{}
	for k, v := range map[string]string{
		"archiver-tenant":         x.ref.Tenant,
		"archiver-record-id":      x.ref.RecordID,
		"archiver-file-id":        x.f.ID,
		"archiver-conference-key": x.rec.ConferenceKey,
		"archiver-start-time":     stamp(x.f.StartTime),
		"archiver-stop-time":      stamp(x.f.StopTime),
	} {
		if v != "" {
			meta[k] = metaValue(v)
		}
	}
	return state.ObjectSpec{
		Key: x.f.Key, ContentType: objectkey.ContentType(x.f.Filename), Metadata: meta, Size: x.digest.n,
	}
}
