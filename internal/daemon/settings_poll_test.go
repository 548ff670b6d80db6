package daemon_test

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestSettingSchedule looks at when the next run is planned for: poll.schedule
// in poll.timezone.
func TestSettingSchedule(t *testing.T) {
	sink, logs := observer.New(zap.DebugLevel)
	w := settled(t, worldOptions{sink: sink})
	w.runs(w.with(keys{"poll.schedule": "17 4 * * *", "poll.timezone": "Asia/Tokyo"}))
	var next time.Time
	until(t, "the next run planned", func() bool {
		for _, e := range logs.FilterMessage("schedule: schedule").All() {
			if at, ok := e.ContextMap()["next"].(time.Time); ok {
				next = at
			}
		}
		return !next.IsZero()
	})
	if got := next.UTC().Format("15:04"); got != "19:17" {
		t.Errorf("the next run is at %s UTC, want 19:17", got)
	}
}

// TestSettingPollConcurrency counts the listings that are asked for at once.
func TestSettingPollConcurrency(t *testing.T) {
	w := settled(t, worldOptions{vendor: twoTenants()})
	w.second("")
	w.recordingOf("beta", "other")
	ids := []string{"one", "two", "three", "four", "five"}
	for _, id := range ids[1:] {
		w.recording(id, 1000)
	}
	held := make(chan struct{})
	for _, id := range ids {
		w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: id, Do: vendorsim.Hold{Until: held}})
	}
	d := w.with(keys{"poll.concurrency": 3, "tenants.acme.record_ids": ids, "tenants.beta.record_ids": []string{"other"}})
	w.runs(d)
	asked := func() (n int) {
		for _, id := range ids {
			n += w.asked(id)
		}
		return n
	}
	until(t, "three listings asked for", func() bool { return asked() >= 3 })
	w.rounds("other", 2)
	if n := asked(); n != 3 {
		t.Errorf("%d listings were asked for at once, want 3", n)
	}
	close(held)
	for _, id := range ids {
		w.becomes(d, id, state.Archived)
	}
}

// TestSettingSettle archives only what has been quiet for long enough.
func TestSettingSettle(t *testing.T) {
	for settle, want := range map[string]state.Status{"1h": state.Archiving, "1s": state.Archived} {
		t.Run(settle, func(t *testing.T) {
			w := settled(t, worldOptions{})
			stop := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
			f := vendorsim.File{Start: stop.Add(-time.Minute), Stop: stop, Content: movie(t, "fresh", 0, 1000)}
			if err := w.vendor.AddRecording(vendorsim.Recording{ID: "fresh", Tenant: "acme", ConferenceKey: "1866", Files: []vendorsim.File{f}}); err != nil {
				t.Fatal(err)
			}
			d := w.with(keys{"poll.settle": settle})
			w.run(d, time.Second, key("fresh"))
			if r := w.get(d, "fresh"); r.Status != want || len(r.Files) != 1 || r.Files[0].Phase != state.Verified {
				t.Errorf("%s, want %s: %+v", r.Status, want, r.Files)
			}
			if want == state.Archived {
				return
			}
			w.advance(time.Hour)
			w.run(d, 20*time.Second, key("fresh"))
			w.archived(d, "fresh")
		})
	}
}

// TestSettingMaxInterval bounds how seldom a recording that waits is asked
// about.
func TestSettingMaxInterval(t *testing.T) {
	w := settled(t, worldOptions{tenantIDs: []string{"none"}})
	w.recording("none")
	d := w.with(keys{"poll.max_interval": "30s"})
	w.runs(d)
	until(t, "none polled", func() bool { return w.asked("none") > 0 })
	w.advance(2 * time.Hour) // it is not asked about at every run any more
	until(t, "an interval", func() bool { return w.get(d, "none").Poll.Interval > 0 })
	if p := w.get(d, "none").Poll; p.Interval != 30*time.Second {
		t.Errorf("asked about every %s, want 30s", p.Interval)
	}
}

// TestSettingRecheck looks again when poll.recheck says so, and then no more.
func TestSettingRecheck(t *testing.T) {
	w := settled(t, worldOptions{})
	d := w.with(keys{"poll.recheck": []string{"3h", "50h"}})
	for _, after := range []time.Duration{3 * time.Hour, 50 * time.Hour} {
		w.backfill(d, "one")
		r := w.get(d, "one")
		if got := r.Poll.NextAt.Sub(r.SettledAt).Round(time.Minute); got != after {
			t.Errorf("asked about again after %s, want %s", got, after)
		}
		w.advance(after)
	}
	w.backfill(d, "one")
	if r := w.get(d, "one"); !r.Poll.NextAt.IsZero() {
		t.Errorf("asked about again at %s", r.Poll.NextAt)
	}
}

// TestSettingGiveUp sets aside what has had no file for too long.
func TestSettingGiveUp(t *testing.T) {
	w := settled(t, worldOptions{tenantIDs: []string{"none"}})
	w.recording("none")
	d := w.with(keys{"poll.give_up_after": "2h"})
	w.runs(d)
	until(t, "none polled", func() bool { return w.asked("none") > 0 })
	w.becomes(d, "none", state.Waiting)
	w.advance(3 * time.Hour)
	w.becomes(d, "none", state.Quarantined)
	if r := w.get(d, "none"); r.Reason != state.NeverProduced {
		t.Errorf("%s: %s", r.Reason, r.Detail)
	}
}
