package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/apitype"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// manyKeys are more than are tracked at once.
func manyKeys() *state.KeySet {
	var b state.KeySetBuilder
	for i := range 20_500 {
		b.Add(key(fmt.Sprintf("r%05d", i)))
	}
	return b.Set()
}

// waiting is how many recordings wait.
func waiting(t *testing.T, d *daemon.Daemon) int {
	t.Helper()
	totals, err := d.Store().Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return totals["acme"].Recordings[state.Waiting]
}

// TestFollowTracksAllTheSame: whoever handed a list over may go.
func TestFollowTracksAllTheSame(t *testing.T) {
	t.Parallel()
	d := newWorld(t, worldOptions{vendor: quiet}).open()
	keys := manyKeys()
	gone := errors.New("the client has gone")
	told := 0
	_, err := d.Follow(t.Context(), keys, time.Minute, func(p apitype.Progress) error {
		if told++; p.Recordings != keys.Len() || p.Done != 0 {
			t.Errorf("%+v", p)
		}
		return gone
	})
	if !errors.Is(err, gone) || told != 1 {
		t.Errorf("told %d times, ended with %v", told, err)
	}
	if n := waiting(t, d); n != keys.Len() {
		t.Errorf("%d of %d are tracked", n, keys.Len())
	}

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if _, err := d.Follow(ctx, state.KeySetOf(key("late")), time.Minute, func(apitype.Progress) error { leave(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if n := waiting(t, d); n != keys.Len()+1 {
		t.Errorf("%d are tracked", n)
	}
}

// TestFollowIsToldToStop while it tracks: it tracks no more, and says what is
// true.
func TestFollowIsToldToStop(t *testing.T) {
	t.Parallel()
	d := newWorld(t, worldOptions{vendor: quiet}).open()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	begun := make(chan struct{})
	var (
		running sync.WaitGroup
		rerr    error
	)
	keys := manyKeys()
	sum, err := d.Follow(t.Context(), keys, time.Minute, func(apitype.Progress) error {
		select {
		case <-begun:
		default:
			close(begun)
			running.Go(func() { rerr = d.Run(ctx, ctx) })
			running.Wait() // it has ended before anything is tracked
		}
		return nil
	})
	if err != nil || rerr != nil || !sum.Interrupted || sum.Stuck {
		t.Fatalf("%+v, %v, %v", sum, err, rerr)
	}
	n := waiting(t, d)
	if n == 0 || n >= keys.Len() {
		t.Errorf("%d of %d are tracked", n, keys.Len())
	}
	if sum.Recordings[state.Waiting] != n || len(sum.Attention) != daemon.NamedAttention || sum.MoreAttention != n-daemon.NamedAttention {
		t.Errorf("of %d waiting the summary counts %d, names %d and leaves out %d", n, sum.Recordings[state.Waiting], len(sum.Attention), sum.MoreAttention)
	}
	if sum.Attention[0].Key != key("r00000") || sum.Attention[999].Key != key("r00999") {
		t.Errorf("%s to %s are named", sum.Attention[0].Key, sum.Attention[999].Key)
	}
}

// TestFollowBesideOthers: what becomes so without an event is seen though the
// others' events never end.
func TestFollowBesideOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("empty")
	d := w.open()
	other := key("other")
	if _, err := d.Store().Track(t.Context(), []state.Key{other}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var toggling sync.WaitGroup
	toggling.Go(func() {
		for on := true; ctx.Err() == nil; on = !on {
			if _, err := d.Store().Update(ctx, other, state.Do(state.Hold{On: on})); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	defer toggling.Wait()
	defer stop()
	run, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sum, err := d.Backfill(run, ctx, []state.Key{key("empty")}, time.Second)
	if err != nil || sum.Interrupted || sum.Recordings[state.Waiting] != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestFollowAgain: what an earlier run was led to is followed once more, and
// counted.
func TestFollowAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("first", mib)
	w.recording("second", 1000)
	w.recording("other", 500)
	w.leads("asked", "first", "second")
	d := w.open()
	want := daemon.Summary{Recordings: map[state.Status]int{state.Redirected: 1, state.Archived: 2}, Files: 2, Bytes: mib + 1000}
	if d := cmp.Diff(want, w.backfill(d, "asked")); d != "" {
		t.Error(d)
	}
	w.backfill(d, "other")
	if d := cmp.Diff(want, w.backfill(d, "asked")); d != "" {
		t.Errorf("again: %s", d)
	}
}

// TestFollowAll counts what was done long ago with what is still to be done.
func TestFollowAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("first", mib)
	w.recording("second", 2000)
	w.recording("late", 300)
	w.leads("asked", "first")
	w.leads("asked-too", "second")
	d := w.open()
	w.backfill(d, "asked")
	if _, err := d.Store().Track(t.Context(), []state.Key{key("asked-too")}); err != nil {
		t.Fatal(err)
	}
	var last apitype.Progress
	sum := w.following(d, func(p apitype.Progress) error {
		last = p
		// Another one, behind what was listed: nobody asked us to wait for it.
		_, err := d.Store().Track(t.Context(), []state.Key{key("late")})
		return err
	})
	want := daemon.Summary{Recordings: map[state.Status]int{state.Redirected: 2, state.Archived: 2}, Files: 2, Bytes: mib + 2000}
	if d := cmp.Diff(want, sum); d != "" {
		t.Error(d)
	}
	wantLast := apitype.Progress{Recordings: 4, Done: 4, Files: 2, FilesDone: 2, Bytes: mib + 2000, BytesDone: mib + 2000, InFlight: []apitype.InFlight{}}
	if d := cmp.Diff(wantLast, last); d != "" {
		t.Error(d)
	}
}

// leads adds a recording whose listing names others alone.
func (w *world) leads(id string, others ...string) {
	w.t.Helper()
	if err := w.vendor.AddRecording(vendorsim.Recording{ID: id, Tenant: "acme", ConferenceKey: "1866", Also: others}); err != nil {
		w.t.Fatal(err)
	}
}

// following runs the daemon while everything is followed.
func (w *world) following(d *daemon.Daemon, progress func(apitype.Progress) error) daemon.Summary {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), time.Minute)
	var (
		running sync.WaitGroup
		rerr    error
	)
	running.Go(func() { rerr = d.Run(ctx, ctx) })
	sum, err := d.Follow(ctx, nil, 20*time.Second, progress)
	stop()
	running.Wait()
	if err != nil || rerr != nil {
		w.t.Fatalf("%v; %v", err, rerr)
	}
	return sum
}
