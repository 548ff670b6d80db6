package metrics

import (
	"math"
	"time"
)

const (
	rateEvery = 10 * time.Second // how often the meters are read
	rateSpan  = time.Hour        // of work, over which a rate is averaged
	rateLeast = time.Minute      // of work, before which a rate says nothing
)

// meter is a moving average of bytes per second over the last hour of work:
// the weight of what was measured shrinks with the work done since. Time in
// which nothing was in flight does not count, or a quiet night would make the
// first file of the morning look hopeless.
type meter struct {
	bytes   float64
	seconds float64
	worked  time.Duration
}

// add takes what d of work brought.
func (m *meter) add(bytes int64, d time.Duration) {
	if d <= 0 {
		return
	}
	keep := math.Exp(-d.Seconds() / rateSpan.Seconds())
	m.bytes = m.bytes*keep + float64(bytes)
	m.seconds = m.seconds*keep + d.Seconds()
	m.worked += d
}

// rate returns bytes per second; not known while too little is measured.
func (m *meter) rate() (rate float64, known bool) {
	if m.worked < rateLeast {
		return 0, false
	}
	return m.bytes / m.seconds, true
}

// Rate returns how many bytes a second come from a tenant's sources while
// anything is in flight, averaged over the last hour of that, weighted by how
// recent it is; not known while less than a minute was measured. A rate of 0
// that is known is that of sources that give nothing. Run measures.
func (m *Metrics) Rate(tenant string) (rate float64, known bool) {
	t := m.of(tenant)
	t.rateMu.Lock()
	defer t.rateMu.Unlock()
	return t.rate.rate()
}

// measure reads the meters d after the last time.
func (m *Metrics) measure(d time.Duration) {
	flight := m.o.Syncer.Transferring()
	for _, t := range m.configured() {
		t.rateMu.Lock()
		if flight[t.name] > 0 || t.read > 0 {
			t.rate.add(t.read, d)
		}
		t.read = 0
		t.rateMu.Unlock()
	}
}
