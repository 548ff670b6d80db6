package sync

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"archiver/internal/state"
)

// BeatWithin is the longest legitimate silence of Beat. A turn of the dispatch
// loop asks the state once for each tenant and waits for at most Options.Tick
// (1 s); it never waits for the vendor, a source or a bucket. A minute leaves
// room for a disk that is busy.
const BeatWithin = time.Minute

// Beat returns when the dispatch loop last came round; zero before Run. It
// carries Go's monotonic reading: compare it by time.Since. Once Run's take
// has ended it stands still, though transfers may still be ending.
func (s *Syncer) Beat() time.Time {
	if t := s.beat.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

func (s *Syncer) beats() {
	now := time.Now()
	s.beat.Store(&now)
}

// Progress is how far a file in flight is.
type Progress struct {
	Ref         state.FileRef
	Filename    string
	Size        int64 // bytes, -1: nobody declared it
	Transferred int64 // bytes that the bucket has acknowledged or turned out to have, those of resumed parts included
	ReadBack    int64 // bytes that were read back for the proof
	StartedAt   time.Time
}

// InFlight returns the files that are being transferred or proven, the longest
// first.
func (s *Syncer) InFlight() []Progress { return s.moving.list() }

// Transferring returns how many files InFlight would return.
func (s *Syncer) Transferring() int { return s.moving.count() }

// TransferringBy is Transferring by tenant; one that has none is left out.
func (s *Syncer) TransferringBy() map[string]int { return s.moving.countBy() }

// course is the progress of one transfer. The numbers are written by the
// transfer and read by whoever asks.
type course struct {
	Progress                      // but for what follows
	size, done, back atomic.Int64 // Size, Transferred, ReadBack
}

// courses are those of all transfers.
type courses struct {
	mu  sync.Mutex
	set map[*course]struct{}
}

func (c *courses) add(one *course) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set[one] = struct{}{}
}

func (c *courses) remove(one *course) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.set, one)
}

func (c *courses) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.set)
}

func (c *courses) countBy() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for one := range c.set {
		out[one.Ref.Tenant]++
	}
	return out
}

func (c *courses) list() []Progress {
	c.mu.Lock()
	out := make([]Progress, 0, len(c.set))
	for one := range c.set {
		p := one.Progress
		p.Size, p.Transferred, p.ReadBack = one.size.Load(), one.done.Load(), one.back.Load()
		out = append(out, p)
	}
	c.mu.Unlock()
	slices.SortFunc(out, func(a, b Progress) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Ref.String(), b.Ref.String()))
	})
	return out
}

// begins makes the transfer visible; the returned function ends that.
func (x *transfer) begins() (ends func()) {
	x.course.Progress = Progress{Ref: x.ref, Filename: x.f.Filename, StartedAt: x.o.Clock()}
	x.course.size.Store(x.f.DeclaredSize)
	if x.f.Phase == state.Stored {
		x.course.size.Store(x.f.Size)
		x.course.done.Store(x.f.Size)
	}
	x.moving.add(&x.course)
	return func() { x.moving.remove(&x.course) }
}

// sized notes a length that the source declared.
func (x *transfer) sized(n int64) {
	if n >= 0 {
		x.course.size.Store(n)
	}
}
