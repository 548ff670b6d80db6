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
	if g.shut("acme", a) || g.open("acme", a, true) {
		t.Error("closed from the start")
	}
	one, two := denied("PutObject", "1"), denied("PutObject", "2")
	until, news := g.pause("acme", a, one)
	if !news || until != now.Add(30*time.Second) {
		t.Errorf("paused until %v, news %v", until, news)
	}
	if again, news := g.pause("acme", a, two); news || again != until {
		t.Errorf("a second file made it %v, news %v", again, news)
	}
	if why := g.paused()["acme"]; !g.shut("acme", a) || why != two.Error() {
		t.Errorf("not shut for %q, but %q", two, why)
	}
	if g.shut("acme", b) {
		t.Error("the other bucket is paused too")
	}
	if g.shut("globex", a) {
		t.Error("a tenant with other credentials is paused too")
	}
	now = until
	if g.shut("acme", a) {
		t.Error("nothing is tried after the pause")
	}
	if got := g.paused(); len(got) != 1 || got["acme"] != two.Error() {
		t.Errorf("forgotten before a success: %v", got)
	}
	var waits []time.Duration
	for range 6 {
		until, news = g.pause("acme", a, one)
		if news {
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
	if !g.open("acme", a, true) || g.open("acme", a, true) || len(g.paused()) != 0 {
		t.Error("a success does not end it, once")
	}
	if until, news = g.pause("acme", a, one); !news || until != now.Add(30*time.Second) {
		t.Errorf("a new pause until %v, news %v", until, news)
	}
}

// TestGateAlone tells a file that is refused by itself from a bucket that
// refuses everything.
func TestGateAlone(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g := newGate(func() time.Time { return now }, 30*time.Second)
	at := state.Destination{Bucket: "a"}
	f := state.FileRef{Key: state.Key{Tenant: "acme", RecordID: "r"}, FileID: "f"}
	if g.alone(f, at) {
		t.Error("blamed at its first refusal")
	}
	now = now.Add(time.Second)
	if g.alone(f, at) {
		t.Error("blamed though nothing succeeded since")
	}
	now = now.Add(time.Second)
	g.open("acme", at, false)
	if g.alone(f, at) {
		t.Error("blamed though only a manifest succeeded")
	}
	now = now.Add(time.Second)
	g.open("acme", at, true)
	now = now.Add(time.Second)
	if !g.alone(f, at) {
		t.Error("not blamed though another succeeded since")
	}
	if g.alone(f, at) {
		t.Error("blamed again without another success")
	}
	g.done(f)
	if len(g.refused) != 0 {
		t.Error("not forgotten when it arrived")
	}
}
