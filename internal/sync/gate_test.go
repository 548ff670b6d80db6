package sync

import (
	"testing"
	"time"

	"archiver/internal/state"
)

func TestGate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g := newGate(func() time.Time { return now }, 30*time.Second)
	a, b := state.Destination{Bucket: "a"}, state.Destination{Bucket: "b"}
	if g.shut(a) || g.open(a) {
		t.Error("closed from the start")
	}
	until, first := g.pause(a, "403")
	if !first || until != now.Add(30*time.Second) {
		t.Errorf("paused until %v, first %v", until, first)
	}
	if again, first := g.pause(a, "another"); first || again != until {
		t.Errorf("a second file made it %v, first %v", again, first)
	}
	if why := g.paused()[a]; !g.shut(a) || why != "403" {
		t.Errorf("not shut for 403, but %q", why)
	}
	if g.shut(b) {
		t.Error("the other bucket is paused too")
	}
	now = until
	if g.shut(a) {
		t.Error("nothing is tried after the pause")
	}
	if got := g.paused(); len(got) != 1 || got[a] != "403" {
		t.Errorf("forgotten before a success: %v", got)
	}
	var waits []time.Duration
	for range 6 {
		until, first = g.pause(a, "still 403")
		if first {
			t.Error("said again")
		}
		waits = append(waits, until.Sub(now))
		now = until
	}
	for i, want := range []float64{60, 120, 240, 300, 300, 300} {
		if waits[i].Seconds() != want {
			t.Errorf("waits %v", waits)
			break
		}
	}
	if !g.open(a) || g.open(a) || len(g.paused()) != 0 {
		t.Error("a success does not end it, once")
	}
	if until, first = g.pause(a, "403"); !first || until != now.Add(30*time.Second) {
		t.Errorf("a new pause until %v, first %v", until, first)
	}
}
