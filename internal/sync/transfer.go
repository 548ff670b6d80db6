package sync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// transfer is one claimed file on its way. It belongs to one goroutine. Those
// that fetch parts share its origin and window (source.go, window.go), those
// that send and record them its upload (parts.go), and nothing else.
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

	reading  context.Context //nolint:containedctx // a transfer is one call; this is its second argument, everywhere
	src      *origin
	crc      *uint64 // what the vendor's store says of the whole file
	off      int64   // where reading begins: behind the parts that are there
	lead     *stream // begins there; open makes it
	parallel bool    // the file is read by several ranges at once
	digest   *digest
	course   course
	leave    func()            // gives up the place among transfer.concurrency
	aside    bool              // it has done so, and has one among recording
	seen     *state.ObjectInfo // what the bucket said of the object when it was stored
}

// runFile brings a claimed file as far as it gets now and records what came
// of it. It may call leave as soon as nothing but the state is waited for.
func (s *Syncer) runFile(take, work context.Context, ref state.FileRef, leave func()) {
	x := &transfer{Syncer: s, t: s.tenants[ref.Tenant], ref: ref, reading: take, leave: leave}
	x.log = s.o.Logger.With(zap.String("tenant", ref.Tenant), zap.String("record_id", ref.RecordID), zap.String("file_id", ref.FileID))
	err := x.run(work)
	s.hosts.leave(ref)
	if err != nil && !errors.Is(err, errDone) {
		x.conclude(work, err)
	}
	if x.aside {
		<-s.recording
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
	return x.decide(ctx, state.Do(changes...))
}

func (x *transfer) decide(ctx context.Context, d state.Decide) error {
	rec, err := x.o.Store.Update(ctx, x.ref.Key, d)
	if err != nil {
		return err
	}
	return x.saw(rec)
}

// startAfter is how long a transfer may be under way before the state tells of
// it. Most are over by then, and each write takes its share of an fsync.
const startAfter = time.Second

// startsSoon records that the file is being transferred as soon as that has
// taken startAfter, unless it is recorded before that because there is
// something to resume, or all is done. The returned function ends that.
func (x *transfer) startsSoon(ctx context.Context) (ends func()) {
	key, id, over := x.ref.Key, x.ref.FileID, make(chan struct{})
	t := time.AfterFunc(startAfter, func() {
		defer close(over)
		_, err := x.o.Store.Update(ctx, key, func(r state.Recording) ([]state.Change, error) { return starts(r, id), nil })
		if err != nil && ctx.Err() == nil {
			x.log.Warn("record that the transfer has begun", zap.Error(err))
		}
	})
	return func() {
		if !t.Stop() {
			<-over
		}
	}
}

// starts returns the change by which a file's transfer begins, none if the
// state knows.
func starts(r state.Recording, id string) []state.Change {
	if f, ok := r.File(id); ok && f.Phase == state.Discovered {
		return []state.Change{state.Start{FileID: id}}
	}
	return nil
}

// moves is update of what only a file on its way can meet: it may have been
// untracked before the state was told that it is, and be another one by now.
func (x *transfer) moves(ctx context.Context, changes ...state.Change) error {
	return x.decide(ctx, func(r state.Recording) ([]state.Change, error) {
		if f, ok := r.File(x.ref.FileID); ok && (f.Key != x.f.Key || f.Dest != x.f.Dest || !f.DiscoveredAt.Equal(x.f.DiscoveredAt)) {
			return nil, fmt.Errorf("record the transfer of %s: it was untracked and is tracked anew: %w", x.ref, state.ErrIllegal)
		}
		return append(starts(r, x.ref.FileID), changes...), nil
	})
}

// door is whose share of the pool, and whose pause, this file's are.
func (x *transfer) door() door { return door{x.ref.Tenant, x.f.Dest} }

// fetch moves the bytes, from wherever the recorded parts end.
func (x *transfer) fetch(ctx context.Context) error {
	if err := x.hosts.enter(hostOf(x.f.SourcePath), x.ref); err != nil {
		return err
	}
	if x.unwritten.Load() {
		// What could not be recorded is not fetched.
		if err := x.moves(ctx); err != nil {
			return err
		}
		x.unwritten.Store(false)
	}
	defer x.startsSoon(ctx)()
	if x.unguarded() && x.f.Upload == nil && !strings.Contains(x.f.Key, x.f.ID) {
		// It was discovered before the bucket was known to ignore conditions.
		if err := x.update(ctx, state.Rekey{FileID: x.f.ID, Keys: x.otherKeys()}); err != nil {
			return err
		}
	}
	x.src = &origin{
		Syncer: x.Syncer, source: x.t.Source, ref: x.ref, from: x.rec.AdoptedFrom, path: x.f.SourcePath, log: x.log, reading: x.reading,
	}
	up, err := x.resume(ctx)
	if err != nil {
		return err
	}
	if up != nil && up.complete() {
		return x.finish(ctx, up)
	}
	source, stop := context.WithCancel(ctx)
	defer stop()
	if err := x.open(source, up); err != nil {
		return err
	}
	defer func() { x.lead.close() }()
	if err := x.weigh(ctx, source, up); err != nil {
		return err
	}
	if up == nil {
		return x.fetchNew(ctx, source, stop)
	}
	w := x.newWindow(source, stop, up.partSize, int32(len(up.parts)))
	defer w.close()
	return x.fetchParts(ctx, w, up)
}

// weigh is weighLength, after which the lead begins at x.off again.
func (x *transfer) weigh(ctx, source context.Context, up *upload) error {
	if err := x.weighLength(ctx); err != nil {
		return err
	}
	if x.lead.off == x.off {
		return nil
	}
	declared := x.src.version.Length
	if err := x.open(source, up); err != nil {
		return err
	}
	if x.src.version.Length != declared {
		return &startOver{"the source declares another length now"}
	}
	return nil
}

// fetchNew begins a file. Its first part tells what it is, and with that
// whether anything is stored.
func (x *transfer) fetchNew(ctx, source context.Context, stop func()) error {
	x.digest = newDigest(x.f.Filename, x.crc, x.caps.OwnCRC64ECMA)
	size, length := x.partSize(), x.src.version.Length
	if length >= 0 {
		if (length+size-1)/size > maxParts {
			return x.tooLarge(length)
		}
		size = min(size, max(length, 1))
	}
	if class := poolClass(size, x.o.PartSize); class > x.o.Memory/4 && class > x.o.PartSize {
		return x.tooLarge(length)
	}
	w := x.newWindow(source, stop, size, 0)
	defer w.close()
	// A file that fits into one part, or may, is looked at as a whole.
	p, n, done, err := w.await(func(p *piece) bool { return p.done || p.n >= headBytes && length > size })
	if err != nil {
		return err
	}
	if err := x.sniff(p.buf[:n]); err != nil {
		return err
	}
	if done && w.last(p) {
		return x.putWhole(ctx, w, p)
	}
	there, err := x.dest.Head(ctx, x.f.Key, "")
	switch {
	case err == nil && !x.f.Spoiled && x.claims(there):
		return x.readThrough(ctx, w, there)
	case err == nil:
		return errOccupied
	case fault.KindOf(err) != fault.NotFound:
		return fromBucket(err)
	}
	up, err := x.openUpload(ctx, size)
	if err != nil {
		return err
	}
	return x.fetchParts(ctx, w, up)
}

const maxParts = 10_000 // of one multipart upload, Amazon S3 User Guide, "multipart upload limits"

// partSize is transfer.part_size, doubled until maxParts of it hold the file.
func (x *transfer) partSize() int64 {
	size := x.o.PartSize
	if x.src.version.Length < 0 && x.f.DeclaredSize < 0 {
		// Nobody says how long it is: the largest parts reach furthest.
		return max(size, x.o.Memory/4/size*size)
	}
	for l := max(x.src.version.Length, x.f.DeclaredSize); size*maxParts < l; {
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
