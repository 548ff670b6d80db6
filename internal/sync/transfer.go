package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// transfer is one claimed file on its way. It belongs to one goroutine; only
// the goroutines that send parts share it, and they touch nothing but what upload
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
	course  course
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
		return unconfigured("archive", x.ref.String(), x.f.Dest)
	}
	x.dest = dest
	if x.f.Phase == state.FileQuarantined {
		return x.clearAway(ctx)
	}
	defer x.begins()()
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
	x.gate.done(x.ref)
	x.works(x.ref.Tenant, x.f.Dest, x.seen != nil)
	return nil
}

// clearAway aborts the upload of a file that was quarantined with one open.
func (x *transfer) clearAway(ctx context.Context) error {
	if err := x.abort(ctx); err != nil {
		return err
	}
	_, err := x.o.Store.Update(ctx, x.ref.Key, func(r state.Recording) ([]state.Change, error) {
		if f, _ := r.File(x.f.ID); f.Phase == state.FileQuarantined {
			return []state.Change{state.QuarantineFile{FileID: f.ID, Aborted: true}}, nil
		}
		return []state.Change{state.Restart{FileID: x.f.ID, Detail: "its upload was aborted while it was quarantined"}}, nil
	})
	if err != nil {
		return err
	}
	return errDone
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

// door is whose share of the pool, and whose pause, this file's are.
func (x *transfer) door() door { return door{x.ref.Tenant, x.f.Dest} }

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
		if (n+size-1)/size > maxParts {
			return x.tooLarge(n)
		}
		size = min(size, max(n, 1))
	}
	class := poolClass(size, x.o.PartSize)
	if class > x.o.Memory/4 && class > x.o.PartSize {
		return x.tooLarge(x.version.Length)
	}
	buf, err := x.pool.take(x.reading, x.door(), class)
	if err != nil {
		return err
	}
	up, err := x.begin(ctx, buf, size)
	if up == nil || err != nil {
		x.pool.put(x.door(), buf)
		return err
	}
	return x.fetchParts(ctx, up, buf[:size]) // which gives the buffer back
}

// begin fills the first buffer. A file that ends in it, or whose object is
// there already, is brought to its end; else the upload for its parts is
// opened and returned.
func (x *transfer) begin(ctx context.Context, buf []byte, size int64) (*upload, error) {
	n, end, err := x.fill(ctx, buf[:size])
	if err != nil {
		return nil, err
	}
	if err := x.sniff(buf[:n]); err != nil {
		return nil, err
	}
	if end {
		return nil, x.putWhole(ctx, buf[:n])
	}
	there, err := x.dest.Head(ctx, x.f.Key, "")
	switch {
	case err == nil && x.claims(there):
		return nil, x.readThrough(ctx, buf, size, there)
	case err == nil:
		return nil, errOccupied
	case fault.KindOf(err) != fault.NotFound:
		return nil, fromBucket(err)
	}
	return x.openUpload(ctx, size)
}

const maxParts = 10_000 // of one multipart upload, Amazon S3 User Guide, "multipart upload limits"

// partSize is transfer.part_size, doubled until maxParts of it hold the file.
func (x *transfer) partSize() int64 {
	size := x.o.PartSize
	if x.version.Length < 0 && x.f.DeclaredSize < 0 {
		// Nobody says how long it is: the largest parts reach furthest.
		return max(size, x.o.Memory/4/size*size)
	}
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
