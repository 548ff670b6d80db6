package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// reads measures what is asked for while people look on.
func reads(ctx context.Context, s scale) (out []figure, err error) {
	st, err := open(ctx, s.state(), func() time.Time { return later(s) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	last, err := st.LastEvent(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		what string
		fn   func() error
	}{
		{fmt.Sprintf("Claim of %d polls", s.due), func() error {
			got, err := st.Claim(ctx, state.WorkPoll, tenant, later(s).Add(24*time.Hour), s.due)
			st.Release(state.WorkPoll, got...)
			return err
		}},
		{"Claim of transfers", func() error {
			got, err := st.Claim(ctx, state.WorkTransfer, tenant, later(s), 16)
			st.Release(state.WorkTransfer, got...)
			return err
		}},
		{"Totals", func() error { _, err := st.Totals(ctx); return err }},
		{"Backlog, 10,000 files at most", func() error { _, err := st.Backlog(ctx, tenant, 10_000); return err }},
		{"LastEvent", func() error { _, err := st.LastEvent(ctx); return err }},
		{"Events, the last 256", func() error { _, err := st.Events(ctx, last-256, 256); return err }},
		{"Get", func() error {
			_, err := st.Get(ctx, state.Key{Tenant: tenant, RecordID: recordID(s.n / 2)})
			return err
		}},
	} {
		d, err := median(c.fn)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.what, err)
		}
		out = append(out, figure{c.what, show(d), ""})
	}
	pages, err := lists(ctx, s, st)
	return append(out, pages...), err
}

// median is that of eleven calls.
func median(fn func() error) (time.Duration, error) {
	var took []time.Duration
	for range 11 {
		d, err := timed(fn)
		if err != nil {
			return 0, err
		}
		took = append(took, d)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// lists measures pages of 100: the first, one in the middle, the last.
func lists(ctx context.Context, s scale, st *bolt.Store) (out []figure, err error) {
	for _, q := range []struct {
		what  string
		query state.Query
	}{
		{"List by time", state.Query{}},
		{"List by tenant", state.Query{Tenant: tenant}},
		{"List by status", state.Query{Statuses: []state.Status{state.Waiting}}},
		{"List by conference", state.Query{Tenant: tenant, ConferenceKey: "1866334455"}},
	} {
		note, first := "", time.Duration(0)
		for _, at := range []struct {
			name  string
			until time.Time
		}{
			{"first", time.Time{}},
			{"middle", begin.Add(time.Duration(s.n/2) * time.Second)},
			{"last", begin.Add(100 * time.Second)},
		} {
			asked := q.query
			asked.Until = at.until
			d, err := median(func() error { _, err := st.List(ctx, asked); return err })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.what, err)
			}
			if first == 0 {
				first = d
				continue
			}
			note += fmt.Sprintf("%s %s; ", at.name, show(d))
		}
		out = append(out, figure{q.what + ", the first 100", show(first), note[:len(note)-2]})
	}
	return out, nil
}

// readLog reads the audit log from its beginning, as metrics do that have
// nothing saved.
func readLog(ctx context.Context, s scale) (out []figure, err error) {
	st, err := open(ctx, s.state(), func() time.Time { return later(s) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	after := uint64(0)
	took, err := timed(func() error {
		for {
			events, err := st.Events(ctx, after, 256)
			if err != nil || len(events) == 0 {
				return err
			}
			after = events[len(events)-1].Seq
		}
	})
	return []figure{{"the whole audit log", show(took), fmt.Sprintf("%d events, %.1f µs each", after, took.Seconds()*1e6/float64(max(after, 1)))}}, err
}

// check is what `archiver state check` does.
func check(ctx context.Context, s scale) (out []figure, err error) {
	st, err := open(ctx, s.state(), func() time.Time { return later(s) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	problems := 0
	took, err := timed(func() error { return st.Check(ctx, func(string) { problems++ }) })
	return []figure{{"Check", show(took), fmt.Sprintf("%d problems", problems)}}, err
}
