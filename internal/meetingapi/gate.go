package meetingapi

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Priority orders the calls that wait for the tenant's rate limit.
type Priority int

// The priorities: a waiting Urgent call goes before every waiting Background
// one; within a priority the order is first come, first served.
const (
	Background Priority = iota // polls
	Urgent                     // link refreshes, warrants, record start and stop
)

// gate is a token bucket with two queues. A token is not promised to anybody
// while it is awaited: whoever stands first when it arrives takes it, so an
// urgent call overtakes polls that came long before it.
type gate struct {
	limiter *rate.Limiter

	mu      sync.Mutex
	queues  [2][]chan struct{} // by Urgent first; closed channels are grants
	timer   *time.Timer        // fires when pending's token is there; nil if nobody waits
	pending *rate.Reservation  // the token that timer waits for
}

func newGate(limit rate.Limit, burst int) *gate {
	return &gate{limiter: rate.NewLimiter(limit, burst)}
}

// wait returns when the call may be made, or with ctx's error.
func (g *gate) wait(ctx context.Context, p Priority) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	granted := make(chan struct{})
	g.mu.Lock()
	if g.timer == nil && g.limiter.Allow() {
		g.mu.Unlock()
		return nil
	}
	q := &g.queues[queueOf(p)]
	*q = append(*q, granted)
	g.schedule()
	g.mu.Unlock()

	select {
	case <-granted:
		return nil
	case <-ctx.Done():
		g.leave(p, granted)
		return ctx.Err()
	}
}

func queueOf(p Priority) int {
	if p == Urgent {
		return 0
	}
	return 1
}

// leave takes a waiter out of its queue. If it was granted a token in the same
// instant, the token goes to the next one in the queues. When nobody waits any
// more, the token that was awaited goes back to the bucket.
func (g *gate) leave(p Priority, granted chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := &g.queues[queueOf(p)]
	if i := slices.Index(*q, granted); i >= 0 {
		*q = slices.Delete(*q, i, i+1)
	} else {
		g.grant()
	}
	if g.timer != nil && !g.waiting() && g.timer.Stop() {
		g.pending.Cancel()
		g.timer = nil
	}
}

// schedule reserves the next token if somebody waits and none is awaited yet.
// g.mu is held.
func (g *gate) schedule() {
	if g.timer != nil || !g.waiting() {
		return
	}
	g.pending = g.limiter.Reserve()
	g.timer = time.AfterFunc(g.pending.Delay(), g.arrive)
}

// arrive hands the awaited token out.
func (g *gate) arrive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = nil
	g.grant()
	g.schedule()
}

// grant lets the first waiter go. g.mu is held.
func (g *gate) grant() {
	for i := range g.queues {
		if q := &g.queues[i]; len(*q) > 0 {
			close((*q)[0])
			*q = slices.Delete(*q, 0, 1)
			return
		}
	}
}

func (g *gate) waiting() bool { return len(g.queues[0])+len(g.queues[1]) > 0 }
