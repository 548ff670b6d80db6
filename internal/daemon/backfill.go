package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
)

// Summary is what came of a backfill.
type Summary struct {
	Recordings map[state.Status]int // of the recordings followed
	Files      int                  // verified
	Bytes      int64                // of them
	Attention  []Attention          // what needs a person, or more time
	Stuck      bool                 // nothing moved any more though work was left
}

// Attention is a recording that is not, or not quite, as it should be.
type Attention struct {
	Key    state.Key
	Status state.Status
	Why    string
}

// backfill follows recordings until nothing more is to be had of them now.
type backfill struct {
	d        *Daemon
	started  time.Time
	wait     time.Duration
	seen     uint64 // last event looked at
	movedAt  time.Time
	parts    map[state.FileRef]int // the most that each file was seen to have
	followed map[state.Key]struct{}
	open     map[state.Key]struct{} // not done yet
}

// Backfill tracks the recordings, works until each of them, and each that
// they adopt, is archived, redirected, deleted at the source where that is due,
// or quarantined, and returns what came of it. Recordings that are not ready
// or not settled are waited for, up to wait from now. No keys: everything that
// is tracked. Ended by take, it returns what is true then and take's error.
func (d *Daemon) Backfill(take, work context.Context, keys []state.Key, wait time.Duration) (Summary, error) {
	b := &backfill{
		d: d, started: d.o.Clock(), movedAt: d.o.Clock(), wait: wait,
		followed: map[state.Key]struct{}{}, open: map[state.Key]struct{}{}, parts: map[state.FileRef]int{},
	}
	if err := b.begin(take, keys); err != nil {
		return Summary{}, err
	}
	running, stop := context.WithCancel(take)
	var (
		wg   sync.WaitGroup
		rerr error
	)
	wg.Go(func() {
		defer stop()
		rerr = d.Run(running, work)
	})
	stuck, err := b.follow(running)
	stop()
	wg.Wait()
	if err == nil || errors.Is(err, context.Canceled) {
		err = errors.Join(take.Err(), rerr)
	}
	sum, serr := b.summary(context.WithoutCancel(take))
	sum.Stuck = stuck
	return sum, errors.Join(err, serr)
}

// begin tracks what was named and finds out what to follow.
func (b *backfill) begin(ctx context.Context, keys []state.Key) error {
	if len(keys) > 0 {
		if _, err := b.d.store.Track(ctx, keys); err != nil {
			return fmt.Errorf("track %d recordings: %w", len(keys), err)
		}
		for _, k := range keys {
			b.add(k)
		}
		// An earlier run may have adopted others in their place.
		for _, k := range keys {
			if err := b.adoptedBefore(ctx, k); err != nil {
				return err
			}
		}
		return b.catchUp(ctx, false)
	}
	for name, t := range b.d.cfg.Tenants {
		for _, id := range t.RecordIDs {
			b.add(state.Key{Tenant: name, RecordID: id})
		}
		if err := b.everything(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (b *backfill) add(k state.Key) {
	if _, ok := b.followed[k]; !ok {
		b.followed[k], b.open[k] = struct{}{}, struct{}{}
	}
}

// everything follows all that the tenant has under way.
func (b *backfill) everything(ctx context.Context, tenant string) error {
	q := state.Query{Tenant: tenant, Limit: 1000}
	for {
		p, err := b.d.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range p.Items {
			b.add(r.ID())
		}
		if p.NextCursor == "" {
			return b.catchUp(ctx, false)
		}
		q.Cursor = p.NextCursor
	}
}

// adoptedBefore follows what a redirected recording led to in an earlier run.
func (b *backfill) adoptedBefore(ctx context.Context, k state.Key) error {
	r, err := b.d.store.Get(ctx, k)
	if err != nil || r.Status != state.Redirected {
		return err
	}
	q := state.Query{Tenant: k.Tenant, Limit: 1000}
	for {
		p, err := b.d.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, a := range p.Items {
			if a.AdoptedFrom == k.RecordID {
				b.add(a.ID())
			}
		}
		if p.NextCursor == "" {
			return nil
		}
		q.Cursor = p.NextCursor
	}
}

// catchUp reads the events since the last look: they say what was adopted,
// and whether anything moves at all.
func (b *backfill) catchUp(ctx context.Context, follow bool) error {
	for {
		events, err := b.d.store.Events(ctx, b.seen, 1000)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			b.seen = e.Seq
			if moves(e.Type) {
				b.movedAt = b.d.o.Clock()
			}
			if !follow || e.Type != state.EventTracked || e.Detail == "" {
				continue
			}
			if _, ok := b.followed[state.Key{Tenant: e.Tenant, RecordID: e.Detail}]; ok {
				b.add(state.Key{Tenant: e.Tenant, RecordID: e.RecordID})
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

// flowing reports whether a file has more parts than it ever had when this was
// asked before: a large one moves for long without an event.
func (b *backfill) flowing(ctx context.Context) (bool, error) {
	more := false
	for k := range b.open {
		r, err := b.d.store.Get(ctx, k)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		for _, f := range r.Files {
			if f.Phase != state.Transferring || f.Upload == nil {
				continue
			}
			ref := state.FileRef{Key: k, FileID: f.ID}
			parts, err := b.d.store.Parts(ctx, ref)
			if err != nil {
				return false, err
			}
			if len(parts) > b.parts[ref] {
				b.parts[ref], more = len(parts), true
			}
		}
	}
	return more, nil
}

// stillAfter is how long nothing may move before a backfill with
// transfers left gives up; --wait if that is longer.
const stillAfter = 10 * time.Minute

// follow looks until nothing is left to do. stuck: something is, but nothing
// moves any more.
func (b *backfill) follow(ctx context.Context) (stuck bool, err error) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		if err := b.catchUp(ctx, true); err != nil {
			return false, err
		}
		now := b.d.o.Clock()
		waiting, working := 0, 0
		for k := range b.open {
			s, err := b.stage(ctx, k, now)
			if err != nil {
				return false, err
			}
			switch s {
			case stageDone:
				delete(b.open, k)
			case stageWaiting:
				waiting++
			case stageWorking:
				working++
			}
		}
		switch {
		case working == 0 && (waiting == 0 || now.Sub(b.started) >= b.wait):
			return false, nil
		case now.Sub(b.movedAt) >= max(b.wait, stillAfter):
			more, err := b.flowing(ctx)
			if err != nil || !more {
				return err == nil, err
			}
			b.movedAt = now
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-t.C:
		}
	}
}

// stage says how far a recording is: whether it is done, waits for the vendor,
// or is being worked on.
type stage int

const (
	stageDone stage = iota
	stageWaiting
	stageWorking
)

func (b *backfill) stage(ctx context.Context, k state.Key, now time.Time) (stage, error) {
	r, err := b.d.store.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) {
		return stageWorking, nil // a record_id of the configuration that the poller is about to track
	}
	if err != nil {
		return stageDone, err
	}
	polled := !r.Poll.LastAt.Before(b.started.Truncate(time.Second)) || r.Poll.NextAt.IsZero()
	_, suspended := b.d.poller.Suspended()[k.Tenant]
	if !polled && !suspended && !r.Poll.NextAt.After(now) {
		return stageWorking, nil // due, and not asked about in this run yet: also the later looks at what is archived
	}
	switch r.Status {
	case state.Redirected, state.SourceDeleted, state.DeletionUnconfirmed:
		return stageDone, nil
	case state.Quarantined:
		if openFiles(r) > 0 {
			return stageWorking, nil
		}
		return stageDone, nil
	case state.Deleting:
		return stageWorking, nil
	case state.Archived:
		del := b.d.cfg.Tenants[k.Tenant].Delete
		due := del.Enabled && r.Deletable() && !r.Deletion.EligibleFrom.Add(del.After).After(now)
		if r.Manifest.Due && r.Manifest.Error == "" || due && r.Deletion.Error == "" {
			return stageWorking, nil
		}
		return stageDone, nil
	case state.Waiting, state.Archiving:
		switch {
		case openFiles(r) > 0, r.Manifest.Due:
			return stageWorking, nil
		case !polled && !suspended && r.Poll.NextAt.Before(now.Add(time.Minute)):
			return stageWorking, nil // not asked about in this run yet
		}
	}
	return stageWaiting, nil
}

// openFiles counts the files that there is something left to do for: also the
// uploads of quarantined ones have to be aborted.
func openFiles(r state.Recording) int {
	n := 0
	for _, f := range r.Files {
		aborting := f.Phase == state.FileQuarantined && f.Upload != nil
		if !f.Superseded && f.Phase != state.Verified && (f.Phase != state.FileQuarantined || aborting) {
			n++
		}
	}
	return n
}

func (b *backfill) summary(ctx context.Context) (Summary, error) {
	sum := Summary{Recordings: map[state.Status]int{}}
	keys := slices.SortedFunc(maps.Keys(b.followed), func(x, y state.Key) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.RecordID, y.RecordID))
	})
	for _, k := range keys {
		r, err := b.d.store.Get(ctx, k)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return sum, err
		}
		sum.Recordings[r.Status]++
		for _, f := range r.Files {
			if f.Phase == state.Verified && !f.Superseded {
				sum.Files++
				sum.Bytes += f.Size
			}
		}
		if why := NeedsAttention(r); why != "" {
			sum.Attention = append(sum.Attention, Attention{Key: k, Status: r.Status, Why: why})
			b.d.o.Logger.Debug("needs attention", zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID), zap.String("why", why))
		}
	}
	return sum, nil
}
