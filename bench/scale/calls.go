package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// calls counts how often the vendor is asked about one recording that becomes
// ready some time after it was tracked, minute by minute for four days, and
// would be deleted after seven. A warrant asks twice more: for its fresh
// listing, and whether the source is gone.
func calls(ctx context.Context, s scale) (out []figure, err error) {
	for _, c := range []struct {
		name  string
		ready time.Duration // after it was tracked
	}{
		{"ready when tracked (a backfill)", 0},
		{"tracked at its end, ready 10 minutes later", 10 * time.Minute},
		{"tracked at the start of an hour, ready 10 minutes after it", 70 * time.Minute},
	} {
		settled, all, err := asked(ctx, filepath.Join(s.dir, fmt.Sprintf("calls-%d.db", c.ready/time.Minute)), c.ready)
		if err != nil {
			return nil, err
		}
		out = append(out, figure{"getRecords per recording, " + c.name, fmt.Sprintf("%d until settled", settled), fmt.Sprintf("%d with the later looks; a warrant adds 2", all)})
	}
	return out, nil
}

// patient is a vendor that has a recording's file ready at some time, and
// counts.
type patient struct {
	ready time.Time
	now   func() time.Time
	calls int
}

// GetRecords implements poller.Vendor.
func (p *patient) GetRecords(ctx context.Context, recordID string, prio meetingapi.Priority) (meetingapi.Listing, error) {
	p.calls++
	v := vendor{listed: !p.now().Before(p.ready)}
	l, err := v.GetRecords(ctx, recordID, prio)
	for i := range l.Items {
		l.Items[i].StartTime, l.Items[i].StopTime = p.ready.Add(-70*time.Minute), p.ready.Add(-10*time.Minute)
	}
	return l, err
}

func asked(ctx context.Context, path string, ready time.Duration) (settled, all int, err error) {
	now := begin
	clock := func() time.Time { return now }
	st, err := open(ctx, path, clock)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	k := state.Key{Tenant: tenant, RecordID: recordID(0)}
	if _, err := st.Track(ctx, []state.Key{k}); err != nil {
		return 0, 0, err
	}
	v := &patient{ready: begin.Add(ready), now: clock}
	p, err := newPollerAt(st, v, "", clock)
	if err != nil {
		return 0, 0, err
	}
	for range 4 * 24 * 60 {
		if _, err := p.PollOnce(ctx, now); err != nil {
			return 0, 0, err
		}
		if r, err := st.Get(ctx, k); err != nil {
			return 0, 0, err
		} else if settled == 0 && !r.SettledAt.IsZero() {
			settled = v.calls
			if err := archiveOne(ctx, st, k); err != nil {
				return 0, 0, err
			}
		}
		now = now.Add(time.Minute)
	}
	return settled, v.calls, nil
}
