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
	if err := p.track(ctx, t); err != nil {
		return Result{}, err
	}
	if err := p.recall(ctx, t); err != nil {
		return Result{}, err
	}
	r := &run{p: p, t: t, due: now}
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
	if r.err == nil && ctx.Err() == nil {
		r.err = p.remember(ctx, t)
	}
	if r.err == nil {
		r.err = ctx.Err()
	}
	return r.sum, r.err
}

// run is one poll run of one tenant.
type run struct {
	p   *Poller
	t   *tenant
	due time.Time // what was due then is asked about

	mu   sync.Mutex // guards what follows
	sum  Result
	err  error           // of the store: the run ends
	kept []state.FileRef // still due: claimed until the run ends, so that each is asked once
}

func (r *run) stopped(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil || ctx.Err() != nil || r.t.suspended() != ""
}

func (r *run) end() { r.p.opts.Store.Release(state.WorkPoll, r.kept...) }

// one polls the recording that has been due for the longest; false if there is
// none, or the run cannot go on.
func (r *run) one(ctx context.Context) bool {
	refs, err := r.p.opts.Store.Claim(ctx, state.WorkPoll, r.t.Name, r.due, 1)
	if err != nil {
		err = fmt.Errorf("claim a poll of tenant %s: %w", r.t.Name, err)
	}
	if err != nil || len(refs) == 0 {
		r.note(Result{}, err)
		return false
	}
	rec, res, err := r.p.poll(ctx, r.t, refs[0].Key)
	r.note(res, err)
	if err == nil && rec.Status != "" && (rec.Poll.NextAt.IsZero() || rec.Poll.NextAt.After(r.due)) {
		r.p.opts.Store.Release(state.WorkPoll, refs...)
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, refs...)
	return err == nil
}

func (r *run) note(res Result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.add(res)
	if r.err == nil {
		r.err = err
	}
}
