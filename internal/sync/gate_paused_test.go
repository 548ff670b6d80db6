package sync

import (
	"testing"
	"time"

	"archiver/internal/state"
)

// TestGatePausedNoLonger: a pause that nobody tries to end is not told for
// ever, and goes on to grow when somebody does.
func TestGatePausedNoLonger(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g := newGate(func() time.Time { return now }, 30*time.Second)
	at := state.Destination{Bucket: "a"}
	g.pause("acme", at, "403")
	now = now.Add(time.Minute)
	if len(g.paused()) != 1 {
		t.Error("forgotten before anybody could try")
	}
	now = now.Add(time.Second)
	if got := g.paused(); len(got) != 0 {
		t.Errorf("still told: %v", got)
	}
	if until, first := g.pause("acme", at, "403"); first || until != now.Add(time.Minute) {
		t.Errorf("paused again until %v, first %v", until, first)
	}
	if len(g.paused()) != 1 {
		t.Error("paused again, and not told")
	}
}
