package sync

import (
	"sync"
	"time"

	"archiver/internal/state"
)

// deferrals put off, in memory, work whose postponement cannot stand in the
// state: because the state could not be written (a full disk), or because
// what is due is due until it is answered. Losing them costs a repetition.
type deferrals struct {
	clock func() time.Time

	mu    sync.Mutex
	until map[deferred]time.Time
}

// deferFor is how long, as a rule long enough for a disk or a vendor to be
// looked after, and short enough to go on soon after.
const deferFor = 30 * time.Second

type deferred struct {
	work state.Work
	key  state.Key
}

func newDeferrals(clock func() time.Time) *deferrals {
	return &deferrals{clock: clock, until: map[deferred]time.Time{}}
}

// put keeps the work from being tried for a while.
func (d *deferrals) put(w state.Work, k state.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until[deferred{w, k}] = d.clock().Add(deferFor)
}

// due reports whether the work may be tried now.
func (d *deferrals) due(w state.Work, k state.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.until[deferred{w, k}]
	if ok && d.clock().Before(at) {
		return false
	}
	delete(d.until, deferred{w, k})
	return true
}
