package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The moments that are kept across restarts; the fact stores them in this
// order.
const (
	polled = iota
	archived
	tracked
	momentCount
)

// moment is when something last happened. It is told only while the
// configuration has its tenant, and remembered all the same: an alert on a
// tenant that was taken out would never end.
type moment struct {
	mu    sync.Mutex
	gauge prometheus.Gauge // nil: not told
	at    float64          // seconds since 1970; 0: never
}

// show tells it from now on, or no longer, as the tenant's series of vec.
func (o *moment) show(vec *prometheus.GaugeVec, tenant string, yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !yes {
		o.gauge = nil
		vec.DeleteLabelValues(tenant)
		return
	}
	o.gauge = vec.WithLabelValues(tenant)
	o.gauge.Set(o.at)
}

// reach takes what happened last, also where a clock that was wrong had told a
// later time before.
func (o *moment) reach(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.set(inSeconds(t))
}

func inSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// recall takes what was saved, or happened before, unless something is known
// to have happened since.
func (o *moment) recall(s float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at == 0 {
		o.set(s)
	}
}

// set moves it. o.mu is held.
func (o *moment) set(s float64) {
	o.at = s
	if o.gauge != nil {
		o.gauge.Set(s)
	}
}

func (o *moment) seconds() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}
