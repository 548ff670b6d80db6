package sync

import (
	"errors"
	"sync"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// gate pauses the transfers of a tenant whose bucket refuses it or is not
// there. A pause doubles from least (30 s by default) to ten times that while
// it goes on; the first success ends it. Tenants that share a bucket but not
// their credentials are apart.
type gate struct {
	clock func() time.Time
	least time.Duration

	mu      sync.Mutex
	closed  map[door]closure
	success map[door]time.Time          // the last one
	refused map[state.FileRef]time.Time // the last refusal of a file
}

type door struct {
	tenant string
	dest   state.Destination
}

type closure struct {
	why   string // the newest refusal's
	told  map[cause]bool
	until time.Time
	wait  time.Duration
}

// cause is what of a refusal is the same for every file that meets it: its
// text names the object.
type cause struct {
	op, code, hint string
	status         int
}

func causeOf(err error) cause {
	fe, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return cause{}
	}
	return cause{op: fe.Op, code: fe.Code, hint: fe.Hint, status: fe.Status}
}

func newGate(clock func() time.Time, least time.Duration) *gate {
	return &gate{
		clock: clock, least: least, closed: map[door]closure{},
		success: map[door]time.Time{}, refused: map[state.FileRef]time.Time{},
	}
}

// pause closes the gate, or keeps it closed for longer. It returns until when,
// and whether the refusal has a cause that was not met since the gate was last
// open: a passing one must not hide the one that lasts, and a lasting one, of
// which each kind of call may have its own, is news once.
func (g *gate) pause(tenant string, d state.Destination, why error) (until time.Time, news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := door{tenant, d}
	c, was := g.closed[at]
	if !was {
		c.told = map[cause]bool{}
	}
	if now := g.clock(); !now.Before(c.until) { // else several files met the wall
		c.wait = min(max(c.wait*2, g.least), 10*g.least)
		c.until = now.Add(c.wait)
	}
	of := causeOf(why)
	news = !c.told[of]
	c.told[of], c.why = true, why.Error()
	g.closed[at] = c
	return c.until, news
}

// alone reports whether a refusal is of this file alone: it was refused
// before, and others succeeded since.
func (g *gate) alone(f state.FileRef, d state.Destination) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, again := g.refused[f]
	if again && g.success[door{f.Tenant, d}].After(before) {
		delete(g.refused, f)
		return true
	}
	g.refused[f] = g.clock()
	return false
}

// open ends a pause, since something succeeded, and reports whether there was
// one. Only a file tells something of other files: a bucket over its quota may
// still take a small manifest.
func (g *gate) open(tenant string, d state.Destination, file bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := door{tenant, d}
	_, was := g.closed[at]
	delete(g.closed, at)
	if file {
		g.success[at] = g.clock()
	}
	return was
}

// done forgets what was refused of a file that has arrived.
func (g *gate) done(f state.FileRef) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.refused, f)
}

// shut reports whether the gate is closed now. After a pause it lets work
// through to try, still remembering the pause until a success.
func (g *gate) shut(tenant string, d state.Destination) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.closed[door{tenant, d}]
	return ok && g.clock().Before(c.until)
}

// paused returns which tenants are paused, and why: what the newest refusal
// said. A pause after which nobody has tried again for as long as it took says
// nothing of now: the only file that met it may be untracked.
func (g *gate) paused() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]string{}
	for at, c := range g.closed {
		if !g.clock().After(c.until.Add(c.wait)) {
			out[at.tenant] = c.why
		}
	}
	return out
}
