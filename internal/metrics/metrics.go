package metrics

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"archiver/internal/state"
)

// Store is what is asked of the state.
type Store interface {
	// Totals returns counts per tenant, at a cost that does not grow with them.
	Totals(ctx context.Context) (map[string]state.Totals, error)
	// Size returns the size of the state in bytes.
	Size() (int64, error)
	// Events returns up to limit events with Seq > after, oldest first.
	Events(ctx context.Context, after uint64, limit int) ([]state.Event, error)
	// LastEvent returns the Seq of the newest event, 0 if there is none.
	LastEvent(ctx context.Context) (uint64, error)
	// Backlog returns what a tenant has not archived yet, most urgent first.
	Backlog(ctx context.Context, tenant string, limit int) (state.Backlog, error)
	Fact(ctx context.Context, name string) ([]byte, error)
	SetFact(ctx context.Context, name string, value []byte) error
}

// Syncer is what is asked of the syncer. Both are asked at each scrape, and
// the second each ten seconds.
type Syncer struct {
	BufferBytes  func() int64          // of all part buffers in use
	Transferring func() map[string]int // files in flight, by tenant
}

// Options configure Metrics. Store, Syncer and Logger are required.
type Options struct {
	Store   Store
	Syncer  Syncer
	Tenants []string // of the configuration
	Version string   // of the archiver
	Commit  string   // that it was built from, "" if unknown
	Clock   func() time.Time
	Logger  *zap.Logger
}

// Metrics counts. It implements the observers of poller and syncer; all
// methods are safe for concurrent use.
type Metrics struct {
	o        Options
	registry *prometheus.Registry
	vec      vectors

	mu      sync.RWMutex
	tenants map[string]*tenant

	tail   tail
	loaded bool // tail was; Begin and Run alone use both
}

// tenant is one tenant's part: what is told often is at hand here.
type tenant struct {
	name                     string
	configured               bool
	sourceBytes, storedBytes prometheus.Counter
	stored                   prometheus.Observer
	moments                  [momentCount]moment
	backlog                  backlogCache

	rateMu sync.Mutex
	rate   meter
	read   int64 // source bytes that the meter has not seen yet
}

// New returns Metrics with every series that is known beforehand. Run must run
// for those that come from the audit log.
func New(o Options) *Metrics {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	m := &Metrics{o: o, registry: prometheus.NewRegistry(), vec: newVectors(), tenants: map[string]*tenant{}}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "build_info", Help: "1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": o.Version, "commit": o.Commit, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		build, scraped{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.registry.MustRegister(m.vec.all()...)
	m.SetTenants(o.Tenants)
	return m
}

// SetTenants says which tenants the configuration has now, after a reload. The
// counters of those that it no longer has stay; their gauges go, and come back
// with them.
func (m *Metrics) SetTenants(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range names {
		m.make(n)
	}
	for name, t := range m.tenants {
		t.configured = slices.Contains(names, name)
		for i := range t.moments {
			t.moments[i].show(m.vec.moments[i], name, t.configured)
		}
	}
}

// of returns a tenant's part, making it where there is none. Names come from
// the configuration or the state, so there are few.
func (m *Metrics) of(name string) *tenant {
	m.mu.RLock()
	t := m.tenants[name]
	m.mu.RUnlock()
	if t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.make(name)
}

// make is of with m.mu held for writing.
func (m *Metrics) make(name string) *tenant {
	t := m.tenants[name]
	if t == nil {
		t = m.vec.tenant(name)
		m.tenants[name] = t
	}
	return t
}

// configured returns the tenants of the configuration.
func (m *Metrics) configured() []*tenant {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []*tenant
	for _, t := range m.tenants {
		if t.configured {
			out = append(out, t)
		}
	}
	return out
}

// Handler answers a scrape. What cannot be found out is left out, and logged.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: errorLog{m.o.Logger}, ErrorHandling: promhttp.ContinueOnError, Registry: m.registry,
	})
}

// errorLog passes the handler's words on.
type errorLog struct{ log *zap.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) { l.log.Sugar().Errorw("answer a scrape", "cause", v) }
