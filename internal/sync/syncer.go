package sync

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// Tenant is one tenant as the syncer sees it.
type Tenant struct {
	Name   string
	Vendor Vendor
	Source Source
	// Dest is where the tenant's files go now, Bucket what leads there. Files
	// remember their own destination.
	Dest   state.Destination
	Bucket Destination
	// ManifestKey renders the manifest's key.
	ManifestKey func(state.Recording) string
	// Readback is storage.verify: readback: every object is read back.
	Readback bool
	// Delete is asked each time, so that a reload takes effect at once.
	Delete func() DeletePolicy
}

// DeletePolicy is a tenant's delete_source.
type DeletePolicy struct {
	Enabled    bool
	After      time.Duration // grace since the last file was verified
	Require    state.Level   // LevelFullObject (LevelReadback satisfies it too) or LevelReadback
	MaxPerHour int
}

// Options configure a Syncer. All are required unless said otherwise.
type Options struct {
	Store   Store
	Tenants []Tenant
	// Destinations are all buckets of the configuration: files of one tenant
	// may lie where, by now, only another one writes.
	Destinations map[state.Destination]Destination
	Links        *Links

	Concurrency int   // files at once, all tenants together
	Streams     int   // ranges of one file at once, and parts of it on their way to the bucket
	PartSize    int64 // bytes
	Memory      int64 // bytes of all part buffers; at least four times PartSize
	MaxAttempts int
	MaxFileSize int64
	// Suspended reports whether the vendor refuses the tenant's key: then it is
	// not called but by the poller's probes.
	Suspended func(tenant string) bool
	Settle    time.Duration // how long a doubtful fileSize is given to become right
	Bandwidth func(time.Time) int64

	Observer Observer // nil: nobody counts

	Backoff time.Duration // wait after the first failed attempt, doubling; 0: 2 s
	Tick    time.Duration // how often due work is looked for without a hint; 0: 1 s
	Clock   func() time.Time
	Logger  *zap.Logger
}

// maxBackoff ends the doubling of waits between attempts.
const maxBackoff = 30 * time.Minute

// maxRecording is how many files may wait for the state alone.
const maxRecording = 64

// Syncer moves files from the vendor to the bucket, proves them, and removes
// the source where it may.
type Syncer struct {
	o       Options
	tenants map[string]*Tenant
	pool    *pool
	proofs  *proofs
	gate    *gate
	hosts   *hosts
	flight  inFlight
	moving  courses
	beat    atomic.Pointer[time.Time]
	limiter *rate.Limiter
	wake    chan struct{}            // there may be files
	sealing map[string]chan struct{} // by tenant: there may be manifests
	// recording has a place for each file that is in the bucket and waits for
	// the state alone, at most maxRecording, lest a slow disk hold up ever more.
	recording chan struct{}
	unwritten atomic.Bool // the state could not be written, and nobody has seen since that it can
	put       *deferrals
}

// New checks the options and returns a Syncer that does nothing yet.
func New(o Options) (*Syncer, error) {
	if o.Backoff == 0 {
		o.Backoff = 2 * time.Second
	}
	if o.Tick == 0 {
		o.Tick = time.Second
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.PartSize*4 > o.Memory {
		return nil, errors.New("transfer.part_size is more than a quarter of transfer.memory; make the part smaller or allow more memory")
	}
	s := &Syncer{
		o: o, tenants: map[string]*Tenant{}, pool: newPool(o.Memory, len(o.Tenants), len(o.Destinations)),
		gate: newGate(o.Clock, 15*o.Backoff), hosts: newHosts(o.Clock), wake: make(chan struct{}, 1),
		limiter: rate.NewLimiter(rate.Inf, int(o.PartSize)), put: newDeferrals(o.Clock),
		flight: inFlight{of: map[string]int{}}, sealing: map[string]chan struct{}{},
		moving: courses{set: map[*course]struct{}{}}, recording: make(chan struct{}, maxRecording),
	}
	s.proofs = newProofs(o)
	for i := range o.Tenants {
		name := o.Tenants[i].Name
		s.tenants[name], s.sealing[name] = &o.Tenants[i], make(chan struct{}, 1)
	}
	return s, nil
}

// Wake hints that there may be work. Losing a hint costs latency, never work.
func (s *Syncer) Wake() { hint(s.wake) }

func hint(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// BufferBytes returns the bytes of part buffers in use.
func (s *Syncer) BufferBytes() int64 { return s.pool.inUse() }

// Paused returns the tenants whose bucket refuses them, so that their transfers
// are paused, and why.
func (s *Syncer) Paused() map[string]string { return s.gate.paused() }

// Run works until take ends, then lets what is in flight come to a recorded
// step and returns; work cuts it. It owns every goroutine that it starts.
func (s *Syncer) Run(take, work context.Context) error {
	var wg sync.WaitGroup
	for name, t := range s.tenants {
		wg.Go(func() { s.every(take, s.sealing[name], func() { s.seal(take, work, t) }) })
		wg.Go(func() { s.every(take, nil, func() { s.remove(take, work, t) }) })
	}
	s.dispatch(take, work)
	wg.Wait()
	return nil
}

// every calls f now, at every tick, and at every hint, until ctx ends.
func (s *Syncer) every(ctx context.Context, hint <-chan struct{}, f func()) {
	t := time.NewTicker(s.o.Tick)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-hint:
		case <-t.C:
		}
	}
}

// dispatch hands files to workers, one tenant after the other.
func (s *Syncer) dispatch(take, work context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	// A goroutine that has run a file takes the next: its stack has grown by then
	// to what the SDK's nested calls need.
	idle := make(chan func())
	defer close(idle)
	names := s.names()
	t := time.NewTicker(s.o.Tick)
	defer t.Stop()
	for turn := 0; take.Err() == nil; {
		s.beats()
		found := false
		for range names {
			name := names[turn%len(names)]
			turn++
			if s.gate.shut(name, s.tenants[name].Dest) || !s.flight.begin(name, s.o.Concurrency) {
				continue
			}
			refs, err := s.o.Store.Claim(take, state.WorkTransfer, name, s.o.Clock(), 1)
			if err != nil || len(refs) == 0 {
				s.flight.end(name)
				s.logClaim(take, name, err)
				continue
			}
			found = true
			file := func() {
				leave := sync.OnceFunc(func() { s.flight.end(name); s.Wake() })
				s.runFile(take, work, refs[0], leave)
				s.o.Store.Release(state.WorkTransfer, refs...)
				leave()
			}
			select {
			case idle <- file:
			default:
				wg.Go(func() {
					file()
					for f := range idle {
						f()
					}
				})
			}
		}
		if !found {
			select {
			case <-take.Done():
			case <-s.wake:
			case <-t.C:
			}
		}
	}
}

// inFlight counts the files that are being worked on. A tenant's first file
// needs no place among transfer.concurrency: so one whose source hangs cannot
// keep another waiting, whatever the number of tenants.
type inFlight struct {
	mu    sync.Mutex
	of    map[string]int
	total int
}

func (i *inFlight) begin(tenant string, limit int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.of[tenant] > 0 && i.total >= limit {
		return false
	}
	i.of[tenant]++
	i.total++
	return true
}

func (i *inFlight) end(tenant string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.of[tenant]--
	i.total--
}

// destination leads to where a file of the tenant lies or is to lie; false if
// no tenant has that bucket any more.
func (s *Syncer) destination(t *Tenant, d state.Destination) (Destination, bool) {
	if d == t.Dest {
		return t.Bucket, true
	}
	b, ok := s.o.Destinations[d]
	return b, ok
}

func (s *Syncer) names() []string {
	names := make([]string, 0, len(s.tenants))
	for _, t := range s.o.Tenants {
		names = append(names, t.Name)
	}
	return names
}

func (s *Syncer) logClaim(ctx context.Context, tenant string, err error) {
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Error("look for work", zap.String("tenant", tenant), zap.Error(err))
	}
}

// seal writes the tenant's manifests that are due, a few at a time.
func (s *Syncer) seal(take, work context.Context, t *Tenant) {
	s.eachDue(take, state.WorkManifest, t.Name, s.o.Clock(), s.o.Concurrency, func(k state.Key) bool { return s.manifest(work, t, k) })
}

// remove settles warrants whose outcome is not known, then makes new
// deletions, one after the other.
func (s *Syncer) remove(take, work context.Context, t *Tenant) {
	s.eachDue(take, state.WorkConfirm, t.Name, s.o.Clock(), 1, func(k state.Key) bool { return s.confirm(work, t, k) })
	if p := t.Delete(); p.Enabled && !s.o.Suspended(t.Name) {
		s.eachDue(take, state.WorkDelete, t.Name, s.o.Clock().Add(-p.After), 1, func(k state.Key) bool { return s.deleteSource(work, t, k) })
	}
}

// eachDue does the due work of a kind, up to parallel pieces at once, until f
// says that it is enough for now. What was claimed is released at the end, so
// that nothing is met twice in one pass, whatever came of it.
func (s *Syncer) eachDue(take context.Context, w state.Work, tenant string, now time.Time, parallel int, f func(state.Key) (more bool)) {
	const batch, most = 64, 1024
	var (
		all    []state.FileRef
		enough atomic.Bool
	)
	defer func() { s.o.Store.Release(w, all...) }()
	for len(all) < most && !enough.Load() {
		refs, err := s.o.Store.Claim(take, w, tenant, now, batch)
		all = append(all, refs...)
		if err != nil || len(refs) == 0 {
			s.logClaim(take, tenant, err)
			return
		}
		var doing sync.WaitGroup
		next := make(chan state.Key)
		for range min(parallel, len(refs)) {
			doing.Go(func() {
				for k := range next {
					if !f(k) {
						enough.Store(true)
					}
				}
			})
		}
		for _, r := range refs {
			if take.Err() != nil || enough.Load() {
				break
			}
			if s.put.due(w, r.Key) {
				next <- r.Key
			}
		}
		close(next)
		doing.Wait()
	}
}

// backoff is the wait after the n-th failure in a row (1 is the first), with
// up to a fifth of jitter, at least what the other side asked for.
func (s *Syncer) backoff(n int, err error) time.Duration {
	d := s.o.Backoff << min(max(n-1, 0), 20)
	if d <= 0 || d > maxBackoff {
		d = maxBackoff
	}
	d += rand.N(d/5 + 1)
	return max(d, fault.RetryAfterOf(err))
}

// throttle waits until n more bytes may be read. It waits for a second's worth
// at a time, so that the next limit of a timetable holds soon.
func (s *Syncer) throttle(ctx context.Context, n int) error {
	if s.o.Bandwidth == nil {
		return nil
	}
	for n > 0 {
		limit, some := rate.Inf, n
		if l := s.o.Bandwidth(s.o.Clock()); l > 0 {
			limit, some = rate.Limit(l), int(min(int64(n), l))
		}
		if s.limiter.Limit() != limit {
			s.limiter.SetLimit(limit)
		}
		if err := s.limiter.WaitN(ctx, some); err != nil {
			return err
		}
		n -= some
	}
	return nil
}
