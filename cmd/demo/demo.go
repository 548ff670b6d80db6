package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"archiver/internal/sandbox/pace"
	"archiver/internal/state"
)

// options say what is played.
type options struct {
	dir      string // "" is a temporary one
	once     bool   // end when everything is final
	cast     []story
	opens    time.Duration // until the first meeting starts
	talks    time.Duration // how long a meeting is recorded; 0: nobody meets
	every    time.Duration // from one meeting's start to the next one's
	patience time.Duration // once: how long until everything must be final
}

// play builds the world, lets it run and checks what came of it: nil means
// that everything is proven. When take ends nothing new is begun, when work
// ends it is over.
func play(take, work context.Context, o options, out io.Writer) error {
	w, err := build(work, o.dir, o.cast, out)
	if err != nil {
		return err
	}
	err = w.perform(take, work, o)
	if work.Err() == nil {
		err = errors.Join(err, w.conclude(work, o.once))
	}
	if cut := work.Err(); cut != nil && !w.checked {
		err = errors.Join(err, fmt.Errorf("cut before the check was over: %w", cut))
	}
	if !w.temp {
		w.tell.printf("Kept in %s: the recordings are plain files and play in a browser, such as\n  %s\n",
			w.dir, filepath.Join(w.store.DataDir(), bucketName, filepath.FromSlash(w.example)))
	}
	return errors.Join(err, w.Close())
}

// perform runs the archiver and the meetings until everything is final, or
// take ends, and tells of it.
func (w *world) perform(take, work context.Context, o options) error {
	w.introduce(o)
	running, stop := context.WithCancel(take)
	defer stop()
	var (
		wg                   sync.WaitGroup
		archived, met, waits error
		told                 = &audit{store: w.archiver.Store(), tell: w.tell, names: map[string]string{}}
	)
	wg.Go(func() {
		defer stop()
		archived = w.archiver.Run(running, work)
	})
	over := make(chan struct{})
	wg.Go(func() {
		defer close(over)
		if met = w.meetings(running, o); met != nil {
			stop()
		}
	})
	if o.once {
		wg.Go(func() {
			defer stop()
			waits = w.finish(running, over, o.patience)
		})
	}
	wg.Go(func() { w.watchBucket(running) })
	failed := w.chronicle(running, told)
	stop()
	wg.Wait()
	failed = errors.Join(failed, told.next(context.WithoutCancel(work)))
	w.tell.flush(time.Now())
	return errors.Join(failed, archived, met, waits)
}

// introduce says who plays.
func (w *world) introduce(o options) {
	w.tell.printf("vendor    %s, simulated\nbucket    %s/%s, a real S3 server on %s\narchiver  configured by %s\n\nThe vendor has these recordings:\n",
		w.vendor.APIURL(), w.store.Endpoint(), bucketName, w.store.DataDir(), filepath.Join(w.dir, "archiver.yaml"))
	for _, s := range w.stories {
		w.tell.printf("  %-6s  %s  %s\n", s.tenant, short(s.id), s.about)
	}
	end := "Ctrl-C ends it."
	if o.once {
		end = "It ends when everything is final."
	}
	w.tell.printf("Sources of %s are deleted once they are proven, those of %s are kept. %s\n\n", acme, globex, end)
}

// chronicle prints what happens until ctx ends.
func (w *world) chronicle(ctx context.Context, told *audit) error {
	for pace.Wait(ctx, 50*time.Millisecond) == nil {
		if err := told.next(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		w.tell.flush(time.Now().Add(-reorder))
	}
	return nil
}

// finish waits until the meetings are over and every recording of the vendor
// is final; it is an error if that takes longer than patience.
func (w *world) finish(ctx context.Context, over <-chan struct{}, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		open, err := w.unfinished(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-over:
			if err == nil && len(open) == 0 {
				return nil
			}
		default:
		}
		if pace.Wait(ctx, 100*time.Millisecond) == nil {
			continue
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("not everything is final after %s: %v", patience, open)
		}
		return nil // interrupted
	}
}

// unfinished returns the recordings of the vendor with which the archiver is
// not done, with their statuses.
func (w *world) unfinished(ctx context.Context) ([]string, error) {
	var open []string
	for _, t := range w.vendor.Recordings() {
		r, err := w.archiver.Store().Get(ctx, state.Key{Tenant: t.Tenant, RecordID: t.ID})
		switch {
		case errors.Is(err, state.ErrNotFound):
			open = append(open, short(t.ID)+" is not tracked")
		case err != nil:
			return nil, err
		case !final(r):
			open = append(open, fmt.Sprintf("%s is %s", short(t.ID), r.Status))
		}
	}
	return open, nil
}

// final says whether nothing more is going to happen to a recording.
func final(r state.Recording) bool {
	switch r.Status {
	case state.Redirected, state.Quarantined:
		return true
	case state.Archived:
		return !r.Manifest.Due && (!deletes(r.Tenant) || r.Marked())
	case state.SourceDeleted:
		return !r.Manifest.Due
	default:
		return false
	}
}
