package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"archiver/internal/state"
)

// track lets the poller track a file of n ids in an empty state. Nothing is
// due at the time of that run, so it asks nothing.
func track(ctx context.Context, s scale) ([]figure, error) {
	if err := writeIDs(s.ids(), s.n); err != nil {
		return nil, err
	}
	st, err := open(ctx, s.state(), seconds())
	if err != nil {
		return nil, err
	}
	took, err := timed(func() error { return pollAt(ctx, s, st, begin, 0) })
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	size, err := st.Size()
	return []figure{
		{"track them, from a record_ids_file", show(took), fmt.Sprintf("%.0f µs each", took.Seconds()*1e6/float64(s.n))},
		{"state per waiting recording", fmt.Sprintf("%d B", size/int64(s.n)), fmt.Sprintf("%.0f MiB in all", mib(size))},
	}, errors.Join(err, st.Close())
}

// pollAt makes one poll run and sees that it asked about as many as it should.
func pollAt(ctx context.Context, s scale, st state.Store, now time.Time, want int) error {
	p, err := newPoller(s, st, vendor{}, s.ids())
	if err != nil {
		return err
	}
	r, err := p.PollOnce(ctx, now)
	if err == nil && r.Polled+r.Failed != want {
		err = fmt.Errorf("%d recordings were asked about, want %d", r.Polled+r.Failed, want)
	}
	return err
}

// again starts with that state and that file: what a restart costs until its
// first poll run is over.
func again(ctx context.Context, s scale) (out []figure, err error) {
	begun := time.Now()
	st, err := open(ctx, s.state(), func() time.Time { return later(s) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	opened := time.Since(begun)
	none, err := timed(func() error { return pollAt(ctx, s, st, begin, 0) })
	if err != nil {
		return nil, err
	}
	run, err := timed(func() error { return pollAt(ctx, s, st, dueAt(s, 1), s.due) })
	return []figure{
		{"open the state", show(opened), ""},
		{"start to first poll", show(opened + none), "with the record_ids_file, which has not changed"},
		{"the first poll run, with the file once more", show(run), fmt.Sprintf("%d due", s.due)},
	}, err
}

// polls makes runs of one poller, as a daemon that has been up for long.
func polls(ctx context.Context, s scale) (out []figure, err error) {
	st, err := open(ctx, s.state(), func() time.Time { return later(s) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	const runs = 9
	held := false
	rounds := 1 // of the step before
	for _, v := range []vendor{{}, {listed: true}} {
		p, err := newPoller(s, st, v, "")
		if err != nil {
			return nil, err
		}
		empty, err := timed(func() error { _, err := p.PollOnce(ctx, dueAt(s, rounds)); return err })
		if err != nil {
			return nil, err
		}
		var took []time.Duration
		for range runs {
			rounds++
			d, err := timed(func() error {
				r, err := p.PollOnce(ctx, dueAt(s, rounds))
				if n := r.Polled + r.Failed; err == nil && n != s.due {
					err = fmt.Errorf("%d recordings were asked about", n)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
			took = append(took, d)
		}
		slices.Sort(took)
		what := "not ready"
		if v.listed {
			what = "one file listed, discovered"
		} else {
			out = append(out, figure{"a poll run with nothing due", show(empty), ""})
		}
		out = append(out, figure{fmt.Sprintf("a poll run, %d due: %s", s.due, what), show(took[runs/2]), fmt.Sprintf("median of %d; worst %s", runs, show(took[runs-1]))})
	}
	alone, err := median(func() error {
		held = !held
		_, err := st.Update(ctx, state.Key{Tenant: tenant, RecordID: recordID(s.n / 3)}, state.Do(state.Hold{On: held}))
		return err
	})
	return append(out, figure{"one move of one recording, alone", show(alone), "one fsync"}), err
}

// changed adds a line to the file: all of it is read, one recording is new.
func changed(ctx context.Context, s scale) (out []figure, err error) {
	f, err := os.OpenFile(s.ids(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(f, recordID(s.n))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	st, err := open(ctx, s.state(), func() time.Time { return later(s) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	took, err := timed(func() error { return pollAt(ctx, s, st, begin, 0) })
	return []figure{{"a poll run that finds one more line in the file", show(took), "in the background of a running daemon"}}, err
}
