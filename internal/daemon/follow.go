package daemon

import (
	"context"
	"errors"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// follower looks on until nothing more is to be had of some recordings now. It
// looks at those that an event names, and bit by bit at all that are open.
type follower struct {
	followed
	d       *Daemon
	started time.Time
	wait    time.Duration
	all     bool                // everything that is tracked
	others  state.KeySetBuilder // what was tracked meanwhile, and is not followed: of all

	seen       uint64              // last event looked at
	redirected map[string]struct{} // tenants with recordings that were when they were first looked at
	traced     bool                // what those led to is followed
	suspended  map[string]string   // tenants, as of this round
	sweep      int                 // where the next look at those that are open begins
	looked     time.Time           // when the last one began
	busy       bool                // events came in the last round
	movedAt    time.Time
	most       map[state.FileRef]int64 // bytes in the bucket, and read back, that a file in flight was seen to have

	report     func(apitype.Progress) error
	nextReport time.Time
}

// Follow tracks the recordings and looks on until each of them, and each that
// they adopt, is archived, redirected, deleted at the source where that is due,
// or quarantined. Recordings that are not ready or not settled are waited for,
// up to wait from now. No keys: everything that is tracked. It needs Run to be
// under way; once that was told to stop, the summary says what is true when it
// has stopped. progress is told at least once a second and ends the following
// by an error; what was named is tracked all the same. Memory: keys, a byte for
// each, about 50 for one with files under way and 200 for an adopted one.
// Errors: ctx's, progress's, the store's.
func (d *Daemon) Follow(ctx context.Context, keys *state.KeySet, wait time.Duration, progress func(apitype.Progress) error) (Summary, error) {
	r := d.present()
	f := &follower{
		followed: newFollowed(nil), d: d, started: d.o.Clock(), movedAt: d.o.Clock(), wait: wait,
		redirected: map[string]struct{}{}, most: map[state.FileRef]int64{}, report: progress,
	}
	interrupted, err := f.begin(ctx, keys, r)
	stuck := false
	if err == nil && !interrupted {
		stuck, interrupted, err = f.follow(ctx, r)
	}
	if err != nil {
		return Summary{}, err
	}
	if interrupted {
		select {
		case <-r.ended:
		case <-ctx.Done():
			return Summary{}, ctx.Err()
		}
	}
	sum, err := f.summary(ctx)
	sum.Stuck, sum.Interrupted = stuck, interrupted
	return sum, err
}

const (
	// stillAfter is how long nothing may move before a backfill with
	// transfers left gives up; --wait if that is longer.
	stillAfter = 10 * time.Minute
	// lookEvery is how often events are looked at.
	lookEvery = 50 * time.Millisecond
	// lookShare is what part of the time may go into looking at all that is
	// open, a twentieth: some things become due without an event.
	lookShare = 20
	// lookLater is how long that can wait while events come.
	lookLater = time.Second
)

// follow looks until nothing is left to do, or the archiver stops. stuck:
// something is, but nothing moves any more.
func (f *follower) follow(ctx context.Context, r *running) (stuck, interrupted bool, err error) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		behind, err := f.round(ctx)
		if err == nil {
			err = f.tell()
		}
		if err != nil {
			return false, false, err
		}
		if !behind {
			if done, stuck := f.over(); done {
				return stuck, false, f.report(f.progress())
			}
			select {
			case <-ctx.Done():
			case <-r.stopping:
			case <-t.C:
			}
		}
		select {
		case <-ctx.Done():
			return false, false, ctx.Err()
		case <-r.stopping:
			return false, true, nil
		default:
		}
	}
}

// round looks at some of what is open, and then at what has changed. In this
// order: what is seen to be redirected was so behind the event that tells what
// it led to. behind: there is more to look at before it is known how far all
// are.
func (f *follower) round(ctx context.Context) (behind bool, err error) {
	begun := time.Now()
	f.suspended = f.d.atWork().poller.Suspended()
	first, since := f.counts[stageUnseen] > 0, begun.Sub(f.looked)
	if first || !f.traced || !f.busy || since >= lookLater {
		until := begun.Add(min(since, lookLater) / lookShare)
		if first {
			until = begun.Add(lookEvery)
		}
		f.looked = begun
		if err := f.lookOn(ctx, first, until); err != nil {
			return false, err
		}
	}
	if f.counts[stageUnseen] == 0 && !f.traced {
		if err := f.trace(ctx); err != nil {
			return false, err
		}
	}
	before := f.seen
	behind, err = f.catchUp(ctx, time.Now().Add(lookEvery))
	f.busy = f.seen > before
	return behind || f.counts[stageUnseen] > 0, err
}

// catchUp reads the events since the last look: they say what was adopted,
// what has changed, and whether anything moves at all. behind: time is up, and
// there are more.
func (f *follower) catchUp(ctx context.Context, until time.Time) (behind bool, err error) {
	for time.Now().Before(until) {
		events, err := f.d.store.Events(ctx, f.seen, 1000)
		if err != nil || len(events) == 0 {
			return false, err
		}
		touched := map[int]struct{}{}
		for _, e := range events {
			if i, ok := f.heed(e); ok {
				touched[i] = struct{}{}
			}
		}
		for i := range touched {
			if err := f.look(ctx, i); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// heed takes note of an event and returns the place of a recording that is to
// be looked at because of it.
func (f *follower) heed(e state.Event) (place int, ok bool) {
	f.seen = e.Seq
	if moves(e.Type) {
		f.movedAt = f.d.o.Clock()
	}
	k := state.Key{Tenant: e.Tenant, RecordID: e.RecordID}
	if e.Type == state.EventTracked {
		f.tracked(k, e.Detail)
		return 0, false // there is nothing to see yet
	}
	if e.Type == state.EventVerified {
		delete(f.most, state.FileRef{Key: k, FileID: e.FileID})
	}
	place, ok = f.openAt(k)
	return place, ok && f.stages[place] != stageUnseen
}

// tracked follows what a recording that is followed has led to.
func (f *follower) tracked(k state.Key, from string) {
	if _, ok := f.find(k); ok {
		return
	}
	_, ours := f.find(state.Key{Tenant: k.Tenant, RecordID: from})
	switch {
	case from != "" && (ours || f.all):
		f.add(k)
	case f.all:
		f.others.Add(k)
	}
}

// moves reports whether an event brings its recording on. Whatever is only
// tried again and again does not: a bucket that refuses everything would keep
// a one-shot alive for ever.
func moves(t state.EventType) bool {
	switch t {
	case state.EventTransferring, state.EventAttemptFailed, state.EventRestarted, state.EventDeletionFailed:
		return false
	default:
		return true
	}
}

// lookOn goes on, until some time or once round, with looking at what is open;
// at what was never looked at alone, if that is so for some.
func (f *follower) lookOn(ctx context.Context, first bool, until time.Time) error {
	for range len(f.stages) {
		i := f.sweep % len(f.stages)
		f.sweep = i + 1
		if s := f.stages[i]; s == stageDone || first && s != stageUnseen {
			continue
		}
		if err := f.look(ctx, i); err != nil {
			return err
		}
		if time.Now().After(until) {
			return nil
		}
	}
	return nil
}

// look finds out how far a recording is.
func (f *follower) look(ctx context.Context, place int) error {
	k := f.at(place)
	r, err := f.d.store.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) {
		if f.stages[place] == stageUnseen { // a record_id of the configuration that the poller is about to track
			f.note(place, stageWorking, tally{})
		}
		return nil
	}
	if err != nil {
		return err
	}
	if r.Status == state.Redirected && f.stages[place] == stageUnseen && !f.traced && !f.all {
		f.redirected[k.Tenant] = struct{}{}
	}
	_, suspended := f.suspended[k.Tenant]
	f.note(place, f.stage(r, suspended, f.d.o.Clock()), tallied(r))
	return nil
}

// over reports whether there is nothing left to look for.
func (f *follower) over() (done, stuck bool) {
	now := f.d.o.Clock()
	waiting, working := f.counts[stageWaiting], f.counts[stageWorking]
	if working == 0 && (waiting == 0 || now.Sub(f.started) >= f.wait) {
		return true, false
	}
	if f.flowing(f.d.atWork().syncer.InFlight()) {
		f.movedAt = now
	}
	stuck = now.Sub(f.movedAt) >= max(f.wait, stillAfter)
	return stuck, stuck
}

// flowing reports whether a file has more in the bucket, or proven, than it
// ever had when this was asked before: a large one moves for long without an
// event.
func (f *follower) flowing(files []archivesync.Progress) bool {
	more := false
	for _, p := range files {
		if n := p.Transferred + p.ReadBack; n > f.most[p.Ref] {
			f.most[p.Ref], more = n, true
		}
	}
	return more
}

// tell reports how far it all is, if it is time.
func (f *follower) tell() error {
	now := time.Now()
	if now.Before(f.nextReport) {
		return nil
	}
	f.nextReport = now.Add(time.Second - lookEvery/2)
	return f.report(f.progress())
}

// progress says how far it all is.
func (f *follower) progress() apitype.Progress {
	p := apitype.Progress{
		Recordings: f.recordings(), Done: f.done(), Waiting: f.counts[stageWaiting],
		Files: int(f.sum.files), FilesDone: int(f.sum.verified), Bytes: f.sum.bytes, BytesDone: f.sum.bytesDone,
		InFlight: []apitype.InFlight{},
	}
	for _, t := range f.d.inFlight() {
		if _, ok := f.openAt(state.Key{Tenant: t.Tenant, RecordID: t.RecordID}); ok {
			p.BytesDone += t.Transferred
			p.InFlight = append(p.InFlight, t)
		}
	}
	return p
}
