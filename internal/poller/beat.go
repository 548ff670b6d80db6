package poller

import (
	"sync"
	"time"
)

// BeatWithin is the longest legitimate silence of a run. Between two beats lies
// at most one call of the vendor: four attempts of 30 s and three waits of up
// to 60 s (Retry-After), so 5 minutes; as much again is for its turns under
// api_rate, and for the state.
const BeatWithin = 10 * time.Minute

// Beat returns, of the tenants whose run is under way, when the one that has
// been silent for the longest last came on: its run began, the vendor answered
// it, or a recording was done. Zero: no run is under way. It carries Go's
// monotonic reading: compare it by time.Since.
func (p *Poller) Beat() time.Time {
	var oldest time.Time
	for _, at := range p.Beats() {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// Beats is Beat of each tenant whose run is under way.
func (p *Poller) Beats() map[string]time.Time {
	out := map[string]time.Time{}
	for _, t := range p.tenants {
		if at, ok := t.beat.last(); ok {
			out[t.Name] = at
		}
	}
	return out
}

// pulse is when a tenant's runs last came on.
type pulse struct {
	mu   sync.Mutex
	runs int // under way
	at   time.Time
}

func (p *pulse) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs++
	p.at = time.Now()
}

func (p *pulse) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs--
}

func (p *pulse) strike() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = time.Now()
}

func (p *pulse) last() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.runs > 0
}
