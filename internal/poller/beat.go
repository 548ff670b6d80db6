package poller

import (
	"math"
	"sync"
	"time"
)

// beatWithin is the longest legitimate silence of a run that need not wait for
// its turns. Between two beats lies at most one call of the vendor: four attempts
// of 30 s and three waits of up to 60 s (Retry-After), so 5 minutes; as much
// again is for the state.
const beatWithin = 10 * time.Minute

// attempts are what one call takes of api_rate at most.
const attempts = 4

// silence is beatWithin with the turns under api_rate: every worker's call, and
// an urgent one before each, may take all its attempts before the first of them
// is answered.
func (p *Poller) silence(t *tenant) time.Duration {
	if t.APIRate <= 0 {
		return beatWithin
	}
	turns := float64(2*attempts*p.opts.Concurrency) / t.APIRate * float64(time.Second)
	return beatWithin + time.Duration(min(turns, math.MaxInt64/2))
}

// Stalled returns a tenant whose run has been silent at now for longer than it
// may, and since when; "" if there is none. now carries Go's monotonic reading.
func (p *Poller) Stalled(now time.Time) (tenant string, since time.Time) {
	for _, t := range p.tenants {
		if at, ok := t.beat.last(); ok && now.Sub(at) > p.silence(t) {
			return t.Name, at
		}
	}
	return "", time.Time{}
}

// Beats returns, of each tenant whose run is under way, when it last came on:
// it began, the vendor answered it, or a recording was done.
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
