package daemon

import (
	"context"
	"errors"
	"slices"

	"archiver/internal/state"
)

// trackedAtOnce is how many recordings are tracked between two looks at
// whether to stop. They are taken in order, so the store writes each of its
// pages about once whatever this is.
const trackedAtOnce = 10_000

// begin tracks what was named, or finds what is tracked. interrupted: the
// archiver was told to stop meanwhile.
func (f *follower) begin(ctx context.Context, keys *state.KeySet, r *running) (interrupted bool, err error) {
	if f.seen, err = f.d.store.LastEvent(ctx); err != nil {
		return false, err
	}
	if keys.Len() > 0 {
		f.followed = newFollowed(keys)
		return f.track(ctx, r)
	}
	f.all = true
	return false, f.list(ctx)
}

// track goes on whatever becomes of whoever asked for it: a list that was
// handed over is tracked to its end.
func (f *follower) track(ctx context.Context, r *running) (interrupted bool, err error) {
	tracking := context.WithoutCancel(ctx)
	left := f.tell()
	batch := make([]state.Key, 0, min(trackedAtOnce, f.keys.Len()))
	for i, k := range f.keys.All() {
		if batch = append(batch, k); len(batch) < cap(batch) && i < f.keys.Len()-1 {
			continue
		}
		isNew, err := f.d.store.Track(tracking, batch)
		first := i + 1 - len(batch)
		for j, is := range isNew {
			if is { // due now, and nothing else is known of it: no need to look
				f.note(first+j, stageWorking, tally{})
			}
		}
		if err != nil {
			return false, err
		}
		if slices.Contains(isNew, true) || i == f.keys.Len()-1 {
			f.d.wake()
		}
		batch = batch[:0]
		if left == nil {
			left = f.tell()
		}
		select {
		case <-r.stopping:
			return true, left
		default:
		}
	}
	if left == nil {
		left = ctx.Err()
	}
	return false, left
}

// list finds what is tracked, or is about to be because the configuration
// names it. What is done already is counted, and not kept.
func (f *follower) list(ctx context.Context) error {
	var (
		keys  state.KeySetBuilder
		ended int
		sum   tally
	)
	now, suspended := f.d.o.Clock(), f.d.atWork().poller.Suspended()
	err := f.eachTracked(ctx, func(r state.Recording) {
		if _, is := suspended[r.Tenant]; f.stage(r, is, now) != stageDone {
			keys.Add(r.ID())
			return
		}
		ended++
		sum.add(tallied(r), +1)
	})
	if err != nil {
		return err
	}
	for name, t := range f.d.generation().cfg.Tenants {
		for _, id := range t.RecordIDs {
			k := state.Key{Tenant: name, RecordID: id}
			r, err := f.d.store.Get(ctx, k)
			if err != nil && !errors.Is(err, state.ErrNotFound) {
				return err
			}
			if _, is := suspended[name]; err != nil || f.stage(r, is, now) != stageDone { // else it was listed
				keys.Add(k)
			}
		}
	}
	f.followed = newFollowed(keys.Set())
	f.ended, f.sum = ended, sum
	return nil
}

// trace follows what recordings have led to that an earlier run has
// redirected: the events of it are long over.
func (f *follower) trace(ctx context.Context) error {
	for tenant := range f.redirected {
		err := f.each(ctx, tenant, func(r state.Recording) {
			if r.AdoptedFrom == "" {
				return
			}
			if _, ok := f.find(state.Key{Tenant: tenant, RecordID: r.AdoptedFrom}); ok {
				f.add(r.ID())
			}
		})
		if err != nil {
			return err
		}
	}
	f.redirected, f.traced = nil, true
	return nil
}
