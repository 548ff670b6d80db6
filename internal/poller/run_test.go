package poller_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"

	"archiver/internal/meetingapi"
	"archiver/internal/poller"
	"archiver/internal/state"
)

// script is a vendor without a network, for tests in which time is made: it
// knows recordings whose files become listed at some time, and can be dead.
type script struct {
	now func() time.Time

	mu     sync.Mutex
	listed map[string][]time.Time // when each file of a recording stopped
	hidden bool                   // everything is gone
	dead   bool                   // calls hang until they are cut
	hold   chan struct{}          // calls wait for it to be closed
	asked  map[string][]time.Time
}

func (s *script) GetRecords(ctx context.Context, id string, _ meetingapi.Priority) (meetingapi.Listing, error) {
	s.mu.Lock()
	now := s.now()
	if s.asked == nil {
		s.asked = map[string][]time.Time{}
	}
	s.asked[id] = append(s.asked[id], now)
	dead, hidden, files, hold := s.dead, s.hidden, s.listed[id], s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if dead {
		<-ctx.Done()
		return meetingapi.Listing{}, ctx.Err()
	}
	var l meetingapi.Listing
	for _, at := range files {
		if hidden || at.After(now) {
			continue
		}
		l.Items = append(l.Items, meetingapi.Item{
			RecordID: id, StartTime: at.Add(-time.Minute), StopTime: at, StartRaw: at.String(), StopRaw: at.Format(time.DateTime),
			FileSize: 5, DownURL: "http://h.example/" + at.Format("150405") + ".mp4", Raw: []byte("{}"),
		})
	}
	return l, nil
}

func (s *script) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// polls returns when a recording was asked about, since begin.
func (s *script) polls(id string, begin time.Time) (out []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.asked[id] {
		out = append(out, at.Sub(begin).Round(time.Second))
	}
	return out
}

// bubble runs a poller over scripted vendors in time that is made.
func bubble(t *testing.T, tenants map[string]*script, change func(*poller.Options), body func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range tenants {
			s.now = time.Now
		}
		w := &world{t: t, path: filepath.Join(t.TempDir(), "state.db")}
		w.opts = options(t, time.Now)
		for name, s := range tenants {
			w.opts.Tenants = append(w.opts.Tenants, tenant(t, name, s))
		}
		if change != nil {
			change(&w.opts)
		}
		w.openAt(time.Now)
		defer w.close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		body(w)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// sleep lets time pass until just after d more.
func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestRunOverTime(t *testing.T) {
	v := &script{listed: map[string][]time.Time{}}
	bubble(t, map[string]*script{"acme": v}, nil, func(w *world) {
		begin := time.Now()
		v.listed["R"] = []time.Time{begin.Add(3*time.Minute + 30*time.Second)}
		w.track("R")
		w.Trigger()
		sleep(100 * time.Hour)
		w.is("R", state.Archiving)
		want := []time.Duration{
			0, time.Minute, 2 * time.Minute, 3 * time.Minute, // waiting
			4 * time.Minute,  // there
			14 * time.Minute, // 10 m after the listing changed: settled
			74 * time.Minute, 24*time.Hour + 14*time.Minute, 72*time.Hour + 14*time.Minute,
			96*time.Hour + 14*time.Minute, // it is still on its way: daily
		}
		if d := cmp.Diff(want, v.polls("R", begin)); d != "" {
			t.Errorf("polls (-want +got):\n%s", d)
		}
		if r := w.get("R"); !r.SettledAt.Equal(begin.Add(14 * time.Minute)) {
			t.Errorf("settled after %s", r.SettledAt.Sub(begin))
		}
	})
}

func TestRunGivesUp(t *testing.T) {
	v := &script{}
	change := func(o *poller.Options) { o.Schedule = cron.Every(10 * time.Minute) }
	bubble(t, map[string]*script{"acme": v}, change, func(w *world) {
		begin := time.Now()
		w.track("R")
		sleep(30*24*time.Hour - time.Minute)
		w.is("R", state.Waiting)
		sleep(12 * time.Minute)
		if r := w.is("R", state.Quarantined); r.Reason != state.NeverProduced {
			t.Errorf("%s", r.Reason)
		}
		n := len(v.polls("R", begin))
		if n < 110 || n > 150 { // every 10 m in the first hour, then growing to 6 h
			t.Errorf("%d polls", n)
		}
		v.set(func() { v.listed = map[string][]time.Time{"R": {begin}} })
		sleep(25 * time.Hour)
		w.is("R", state.Archiving)
	})
}

func TestRunSourceGone(t *testing.T) {
	v := &script{listed: map[string][]time.Time{}}
	bubble(t, map[string]*script{"acme": v}, nil, func(w *world) {
		v.listed["R"] = []time.Time{time.Now().Add(-time.Hour)}
		w.track("R")
		sleep(2 * time.Minute)
		w.is("R", state.Archiving)
		v.set(func() { v.hidden = true })
		sleep(time.Hour + 5*time.Minute)
		w.is("R", state.Archiving)
		sleep(10 * time.Minute)
		if r := w.is("R", state.Quarantined); r.Reason != state.SourceGone || r.SourceGoneAt.IsZero() {
			t.Errorf("%s, gone at %s", r.Reason, r.SourceGoneAt)
		}
	})
}

// TestDeadTenant: one tenant's calls all hang; the other's recordings are
// polled at every run, and the dead one is not asked again meanwhile.
func TestDeadTenant(t *testing.T) {
	dead, alive := &script{dead: true}, &script{}
	change := func(o *poller.Options) { o.Concurrency = 2 }
	bubble(t, map[string]*script{"dead": dead, "acme": alive}, change, func(w *world) {
		begin := time.Now()
		var keys []state.Key
		for _, id := range []string{"d1", "d2", "d3", "d4"} {
			keys = append(keys, state.Key{Tenant: "dead", RecordID: id})
		}
		if _, err := w.store.Track(w.t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		w.track("R1", "R2", "R3")
		w.Trigger()
		sleep(10*time.Minute + time.Second)
		for _, id := range []string{"R1", "R2", "R3"} {
			if n := len(alive.polls(id, begin)); n != 11 {
				t.Errorf("%s was polled %d times", id, n)
			}
		}
		var n int
		for _, k := range keys {
			n += len(dead.polls(k.RecordID, begin))
		}
		if n != 2 {
			t.Errorf("the dead tenant was asked %d times", n)
		}
		dead.set(func() { dead.dead = false })
	})
}

// TestTrigger runs ahead of the schedule, also when it comes during a run.
func TestTrigger(t *testing.T) {
	v := &script{}
	change := func(o *poller.Options) { o.Schedule = never{} }
	bubble(t, map[string]*script{"acme": v}, change, func(w *world) {
		begin := time.Now()
		sleep(time.Hour)
		w.track("R")
		w.Trigger()
		w.Trigger()
		synctest.Wait()
		if got := v.polls("R", begin); len(got) == 0 || got[0] != time.Hour {
			t.Errorf("polls: %v", got)
		}
		sleep(time.Hour)
		if got := v.polls("R", begin); slices.Max(got) != time.Hour {
			t.Errorf("polls: %v", got)
		}
	})
}

// TestTriggerDuringRun is heard when the run has ended.
func TestTriggerDuringRun(t *testing.T) {
	v := &script{}
	change := func(o *poller.Options) { o.Schedule = never{} }
	bubble(t, map[string]*script{"acme": v}, change, func(w *world) {
		begin := time.Now()
		sleep(time.Minute)
		hold := make(chan struct{})
		v.set(func() { v.hold = hold })
		w.track("R1")
		w.Trigger()
		sleep(time.Minute) // it asks about R1 since a minute
		w.track("R2")
		w.Trigger()
		sleep(time.Minute)
		if got := v.polls("R2", begin); len(got) != 0 {
			t.Errorf("R2 was polled by a run that overlaps: %v", got)
		}
		close(hold)
		sleep(time.Second)
		if got := v.polls("R2", begin); len(got) != 1 {
			t.Errorf("polls of R2: %v", got)
		}
	})
}

// never is a schedule that never fires.
type never struct{}

func (never) Next(time.Time) time.Time { return time.Time{} }
