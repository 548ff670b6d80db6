package sync

import (
	"maps"
	"sync"
	"time"

	"archiver/internal/state"
)

// gate pauses the transfers of a bucket that refuses us or is not there. A
// pause doubles from least (30 s by default) to ten times that while it goes
// on; the first success ends it.
type gate struct {
	clock func() time.Time
	least time.Duration

	mu     sync.Mutex
	closed map[state.Destination]closure
}

type closure struct {
	why   string
	until time.Time
	wait  time.Duration
}

func newGate(clock func() time.Time, least time.Duration) *gate {
	return &gate{clock: clock, least: least, closed: map[state.Destination]closure{}}
}

// pause closes the gate, or keeps it closed for longer. It returns until when,
// and whether it was open before.
func (g *gate) pause(d state.Destination, why string) (until time.Time, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, was := g.closed[d]
	now := g.clock()
	if was && now.Before(c.until) {
		return c.until, false // several files met the same wall
	}
	c.wait = min(max(c.wait*2, g.least), 10*g.least)
	c.why, c.until = why, now.Add(c.wait)
	g.closed[d] = c
	return c.until, !was
}

// open ends a pause and reports whether there was one.
func (g *gate) open(d state.Destination) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, was := g.closed[d]
	delete(g.closed, d)
	return was
}

// shut reports whether the gate is closed now. After a pause it lets work
// through to try, still remembering the pause until a success.
func (g *gate) shut(d state.Destination) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.closed[d]
	return ok && g.clock().Before(c.until)
}

func (g *gate) paused() map[state.Destination]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[state.Destination]string{}
	for d := range maps.Keys(g.closed) {
		out[d] = g.closed[d].why
	}
	return out
}
