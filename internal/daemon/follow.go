package daemon

import (
	"context"
	"errors"
	"maps"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// Summary is what came of following recordings.
type Summary struct {
	Recordings  map[state.Status]int // of the recordings followed
	Files       int                  // verified
	Bytes       int64                // of them
	Attention   []Attention          // what needs a person, or more time
	Stuck       bool                 // nothing moved any more though work was left
	Interrupted bool                 // the archiver was told to stop
}

// Attention is a recording that is not, or not quite, as it should be.
type Attention struct {
	Key    state.Key
	Status state.Status
	Why    string
}

// follower looks on until nothing more is to be had of some recordings now. It
// looks at those that an event names, and now and then at all.
type follower struct {
	d        *Daemon
	started  time.Time
	wait     time.Duration
	seen     uint64 // last event looked at
	movedAt  time.Time
	most     map[state.FileRef]int64 // bytes in the bucket that a file in flight was seen to have
	followed map[state.Key]struct{}
	open     map[state.Key]tally // not done yet
	sum      tally               // of all that was looked at
	counts   map[stage]int       // of open
}

// tally is what is known of the files of a recording.
type tally struct {
	stage            stage
	files, verified  int
	bytes, bytesDone int64
}

func (t *tally) add(o tally, sign int) {
	t.files += sign * o.files
	t.verified += sign * o.verified
	t.bytes += int64(sign) * o.bytes
	t.bytesDone += int64(sign) * o.bytesDone
}

// Follow tracks the recordings and looks on until each of them, and each that
// they adopt, is archived, redirected, deleted at the source where that is due,
// or quarantined. Recordings that are not ready or not settled are waited for,
// up to wait from now. No keys: everything that is tracked. It needs Run to be
// under way; once that was told to stop, the summary says what is true when it
// has stopped. progress is told at least once a second and ends the following
// by an error. Errors: ctx's, progress's, the store's.
func (d *Daemon) Follow(ctx context.Context, keys []state.Key, wait time.Duration, progress func(apitype.Progress) error) (Summary, error) {
	r := d.present()
	f := &follower{
		d: d, started: d.o.Clock(), movedAt: d.o.Clock(), wait: wait,
		followed: map[state.Key]struct{}{}, open: map[state.Key]tally{}, counts: map[stage]int{}, most: map[state.FileRef]int64{},
	}
	if err := f.begin(ctx, keys); err != nil {
		return Summary{}, err
	}
	stuck, interrupted, err := f.follow(ctx, r, progress)
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

// begin tracks what was named and finds out what to follow.
func (f *follower) begin(ctx context.Context, keys []state.Key) (err error) {
	if f.seen, err = f.d.store.LastEvent(ctx); err != nil {
		return err
	}
	if len(keys) > 0 {
		return f.named(ctx, keys)
	}
	cfg := f.d.generation().cfg
	for name, t := range cfg.Tenants {
		for _, id := range t.RecordIDs {
			f.add(state.Key{Tenant: name, RecordID: id})
		}
		err := f.each(ctx, state.Query{Tenant: name}, func(r state.Recording) { f.add(r.ID()) })
		if err != nil {
			return err
		}
	}
	return nil
}

// named tracks the recordings and follows them, and what an earlier run has
// adopted in their place.
func (f *follower) named(ctx context.Context, keys []state.Key) error {
	if _, err := f.d.store.Track(ctx, keys); err != nil {
		return err
	}
	f.d.wake()
	for _, k := range keys {
		f.add(k)
	}
	for _, k := range keys {
		r, err := f.d.store.Get(ctx, k)
		if err != nil {
			return err
		}
		if r.Status != state.Redirected {
			continue
		}
		err = f.each(ctx, state.Query{Tenant: k.Tenant}, func(a state.Recording) {
			if a.AdoptedFrom == k.RecordID {
				f.add(a.ID())
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) add(k state.Key) {
	if _, ok := f.followed[k]; ok {
		return
	}
	f.followed[k] = struct{}{}
	f.put(k, tally{stage: stageWorking})
}

// put notes what is known of a recording that is not done.
func (f *follower) put(k state.Key, t tally) {
	f.drop(k)
	f.open[k] = t
	f.sum.add(t, +1)
	f.counts[t.stage]++
}

func (f *follower) drop(k state.Key) {
	if t, ok := f.open[k]; ok {
		f.sum.add(t, -1)
		f.counts[t.stage]--
		delete(f.open, k)
	}
}

// each calls fn for every recording that q selects.
func (f *follower) each(ctx context.Context, q state.Query, fn func(state.Recording)) error {
	q.Limit = 1000
	for {
		p, err := f.d.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range p.Items {
			fn(r)
		}
		if p.NextCursor == "" {
			return nil
		}
		q.Cursor = p.NextCursor
	}
}

// catchUp reads the events since the last look: they say what was adopted,
// what has changed, and whether anything moves at all.
func (f *follower) catchUp(ctx context.Context) (touched map[state.Key]struct{}, err error) {
	touched = map[state.Key]struct{}{}
	for {
		events, err := f.d.store.Events(ctx, f.seen, 1000)
		if err != nil || len(events) == 0 {
			return touched, err
		}
		for _, e := range events {
			f.seen = e.Seq
			if moves(e.Type) {
				f.movedAt = f.d.o.Clock()
			}
			k := state.Key{Tenant: e.Tenant, RecordID: e.RecordID}
			if e.Type == state.EventTracked && e.Detail != "" {
				if _, ok := f.followed[state.Key{Tenant: e.Tenant, RecordID: e.Detail}]; ok {
					f.add(k)
				}
			}
			if _, ok := f.open[k]; ok {
				touched[k] = struct{}{}
			}
		}
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

const (
	// stillAfter is how long nothing may move before a backfill with
	// transfers left gives up; --wait if that is longer.
	stillAfter = 10 * time.Minute
	// lookEvery is how often events are looked at.
	lookEvery = 200 * time.Millisecond
	// lookShare is what part of the time may go into looking at all that is
	// open, a twentieth: some things become due without an event.
	lookShare = 20
)

// follow looks until nothing is left to do, or the archiver stops. stuck:
// something is, but nothing moves any more.
func (f *follower) follow(ctx context.Context, r *running, progress func(apitype.Progress) error) (stuck, interrupted bool, err error) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	var nextAll, nextReport time.Time
	for {
		touched, err := f.catchUp(ctx)
		if err != nil {
			return false, false, err
		}
		begun := time.Now()
		all := begun.After(nextAll)
		if err := f.look(ctx, touched, all); err != nil {
			return false, false, err
		}
		if all {
			nextAll = time.Now().Add(time.Since(begun)*lookShare - lookEvery/2)
		}
		if begun.After(nextReport) {
			nextReport = begun.Add(time.Second - lookEvery/2)
			if err := progress(f.progress()); err != nil {
				return false, false, err
			}
		}
		if done, stuck := f.over(); done {
			return stuck, false, progress(f.progress())
		}
		select {
		case <-ctx.Done():
			return false, false, ctx.Err()
		case <-r.stopping:
			return false, true, nil
		case <-t.C:
		}
	}
}

// look finds out how far recordings are.
func (f *follower) look(ctx context.Context, touched map[state.Key]struct{}, all bool) error {
	keys := maps.Keys(touched)
	if all {
		keys = maps.Keys(maps.Clone(f.open))
	}
	now := f.d.o.Clock()
	suspended := f.d.generation().poller.Suspended()
	for k := range keys {
		r, err := f.d.store.Get(ctx, k)
		if errors.Is(err, state.ErrNotFound) {
			continue // a record_id of the configuration that the poller is about to track
		}
		if err != nil {
			return err
		}
		_, isSuspended := suspended[k.Tenant]
		t := tallied(r)
		t.stage = f.stage(r, isSuspended, now)
		f.drop(k)
		if t.stage == stageDone {
			f.sum.add(t, +1)
		} else {
			f.put(k, t)
		}
	}
	return nil
}

// tallied counts the files of a recording.
func tallied(r state.Recording) tally {
	var t tally
	for _, f := range r.Files {
		if f.Superseded {
			continue
		}
		t.files++
		switch {
		case f.Phase == state.Verified:
			t.verified++
			t.bytes += f.Size
			t.bytesDone += f.Size
		case f.Version != nil && f.Version.Length >= 0:
			t.bytes += f.Version.Length
		default:
			t.bytes += max(f.DeclaredSize, 0)
		}
	}
	return t
}

// over reports whether there is nothing left to look for.
func (f *follower) over() (done, stuck bool) {
	now := f.d.o.Clock()
	waiting, working := f.counts[stageWaiting], f.counts[stageWorking]
	if working == 0 && (waiting == 0 || now.Sub(f.started) >= f.wait) {
		return true, false
	}
	if f.flowing(f.d.inFlight()) {
		f.movedAt = now
	}
	stuck = now.Sub(f.movedAt) >= max(f.wait, stillAfter)
	return stuck, stuck
}

// flowing reports whether a file has more in the bucket than it ever had when
// this was asked before: a large one moves for long without an event.
func (f *follower) flowing(files []apitype.InFlight) bool {
	more := false
	for _, t := range files {
		ref := state.FileRef{Key: state.Key{Tenant: t.Tenant, RecordID: t.RecordID}, FileID: t.FileID}
		if t.Transferred > f.most[ref] {
			f.most[ref], more = t.Transferred, true
		}
	}
	return more
}

// progress says how far it all is.
func (f *follower) progress() apitype.Progress {
	p := apitype.Progress{
		Recordings: len(f.followed), Done: len(f.followed) - len(f.open), Waiting: f.counts[stageWaiting],
		Files: f.sum.files, FilesDone: f.sum.verified, Bytes: f.sum.bytes, BytesDone: f.sum.bytesDone,
		InFlight: []apitype.InFlight{},
	}
	for _, t := range f.d.inFlight() {
		if _, ok := f.open[state.Key{Tenant: t.Tenant, RecordID: t.RecordID}]; ok {
			p.BytesDone += t.Transferred
			p.InFlight = append(p.InFlight, t)
		}
	}
	return p
}
