package poller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"archiver/internal/state"
)

// Result counts what one poll run did.
type Result struct {
	Polled  int // recordings about which the vendor gave a listing
	Failed  int // recordings about which it gave none
	Files   int // files discovered
	Adopted int // recordings that listings named
	Settled int // recordings whose listing was held complete
}

func (r *Result) add(o Result) {
	r.Polled += o.Polled
	r.Failed += o.Failed
	r.Files += o.Files
	r.Adopted += o.Adopted
	r.Settled += o.Settled
}

// PollOnce makes one poll run of every tenant, side by side: it tracks what the
// configuration lists and asks about everything that is due at now, once. It
// returns when all of that is answered, so a dead tenant holds up the return,
// not the others' polls. Errors are the store's and ctx's; what the vendor
// refuses is in the state.
func (p *Poller) PollOnce(ctx context.Context, now time.Time) (Result, error) {
	results := make([]Result, len(p.tenants))
	errs := make([]error, len(p.tenants))
	var wg sync.WaitGroup
	for i, t := range p.tenants {
		wg.Go(func() { results[i], errs[i] = p.runTenant(ctx, t, now) })
	}
	wg.Wait()
	var sum Result
	for _, r := range results {
		sum.add(r)
	}
	return sum, errors.Join(errs...)
}

// runTenant makes one poll run of a tenant.
func (p *Poller) runTenant(ctx context.Context, t *tenant, now time.Time) (Result, error) {
	t.beat.begin()
	defer t.beat.end()
	if err := p.track(ctx, t); err != nil {
		return Result{}, err
	}
	if err := p.recall(ctx, t); err != nil {
		return Result{}, err
	}
	r := newRun(p, t, now)
	defer r.end()
	if t.suspended() != "" && !p.probe(ctx, t) {
		r.one(ctx)
	}
	var wg sync.WaitGroup
	for range p.opts.Concurrency {
		wg.Go(func() {
			for more := true; more && !r.stopped(ctx); {
				more = r.one(ctx)
			}
		})
	}
	wg.Wait()
	r.recorded()
	if r.err == nil && ctx.Err() == nil {
		r.err = p.remember(ctx, t)
	}
	if r.err == nil {
		r.err = ctx.Err()
	}
	return r.sum, r.err
}

// What of one run may wait for the state at once: so many answers share one
// fsync instead of paying for one each.
const (
	maxWriting = 256
	maxHeld    = 8 << 20 // bytes of answers; a single one may be larger
	// claimed is how many polls are claimed at a time: each claim passes over
	// all that are being recorded.
	claimed = 32
)

// run is one poll run of one tenant.
type run struct {
	p   *Poller
	t   *tenant
	due time.Time // what was due then is asked about

	taking sync.Mutex      // held while polls are claimed
	queue  []state.FileRef // claimed, not asked about yet

	mu      sync.Mutex // guards what follows
	sum     Result
	err     error           // of the store: the run ends
	kept    []state.FileRef // still due: claimed until the run ends, so that each is asked once
	writing int             // answers that are being recorded
	held    int             // bytes of them
	written int             // answers that were recorded
	less    sync.Cond       // writing has become less
}

func newRun(p *Poller, t *tenant, due time.Time) *run {
	r := &run{p: p, t: t, due: due}
	r.less.L = &r.mu
	return r
}

func (r *run) stopped(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil || ctx.Err() != nil || r.t.suspended() != ""
}

// end gives back what was claimed, once nothing is being recorded any more.
func (r *run) end() {
	r.recorded()
	r.p.opts.Store.Release(state.WorkPoll, r.kept...)
	r.p.opts.Store.Release(state.WorkPoll, r.queue...)
}

// one polls the recording that has been due for the longest; false if there is
// none, or the run cannot go on. What came is recorded while the next one is
// asked about.
func (r *run) one(ctx context.Context) bool {
	ref, ok, err := r.take(ctx)
	if err != nil || !ok {
		r.note(Result{}, err)
		return false
	}
	record, held, err := r.p.visit(ctx, r.t, ref.Key)
	if err != nil {
		r.note(Result{}, err)
		r.keep(ref)
		return false
	}
	r.mu.Lock()
	for r.writing > 0 && (r.writing >= maxWriting || r.held+held > maxHeld) {
		r.less.Wait()
	}
	r.writing, r.held = r.writing+1, r.held+held
	r.mu.Unlock()
	go func() {
		r.finish(ref, record)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.writing, r.held, r.written = r.writing-1, r.held-held, r.written+1
		r.less.Broadcast()
	}()
	return true
}

// take returns the next poll. Before it finds that there is none it waits for
// what is being recorded, which may make something due.
func (r *run) take(ctx context.Context) (ref state.FileRef, ok bool, err error) {
	for {
		r.mu.Lock()
		before := r.written
		r.mu.Unlock()
		if ref, ok, err = r.next(ctx); ok || err != nil {
			return ref, ok, err
		}
		if r.recorded() == before {
			return ref, false, nil
		}
	}
}

// next returns the first of the queue, which it fills when it is empty.
func (r *run) next(ctx context.Context) (ref state.FileRef, ok bool, err error) {
	r.taking.Lock()
	defer r.taking.Unlock()
	if len(r.queue) == 0 {
		r.queue, err = r.p.opts.Store.Claim(ctx, state.WorkPoll, r.t.Name, r.due, claimed)
		if err != nil {
			return ref, false, fmt.Errorf("claim polls of tenant %s: %w", r.t.Name, err)
		}
	}
	if len(r.queue) == 0 {
		return ref, false, nil
	}
	ref, r.queue = r.queue[0], r.queue[1:]
	return ref, true, nil
}

// finish records an answer and gives its recording back.
func (r *run) finish(ref state.FileRef, record func() (state.Recording, Result, error)) {
	rec, res, err := record()
	r.t.beat.strike()
	r.note(res, err)
	if err == nil && rec.Status != "" && (rec.Poll.NextAt.IsZero() || rec.Poll.NextAt.After(r.due)) {
		r.p.opts.Store.Release(state.WorkPoll, ref)
		return
	}
	r.keep(ref)
}

// recorded waits until no answer is being recorded, and returns how many were.
func (r *run) recorded() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.writing > 0 {
		r.less.Wait()
	}
	return r.written
}

func (r *run) keep(ref state.FileRef) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, ref)
}

func (r *run) note(res Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.add(res)
	if r.err == nil {
		r.err = err
	}
}
