// Package daemon builds the whole archiver from a configuration and runs it.
// It is the only place that knows the concrete types: everywhere else the
// rooms see each other through small interfaces.
//
//	config ─► state/bolt ─┬─► poller ──(links, wake)──► sync ─► bucket
//	                      │      ▲                        │
//	          meetingapi ─┴──────┴────────(ask)───────────┘◄─ download
//	                      └─► web (socket, TCP) ─► conference, metrics
//
// Start: state, clients, web, syncer, poller, ready. Stop: the poller and the
// syncer take no more, and no conference is started or stopped; what is in
// flight comes to a recorded step within shutdown_grace, or is cut; then web
// ends, and the state is closed last.
//
// What a configuration decides is a generation: clients, poller and syncer. A
// reload builds the next one beside the present one, lets that one stop as if
// the daemon did, and goes on with the next: there is no key that has to be
// changed in flight, but for what forbids a deletion, which is always read from
// the newest. Only log.level and http.* are not worth a stop: they count at once
// for the generation that runs.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"archiver/internal/conference"
	"archiver/internal/config"
	"archiver/internal/metrics"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
	archivesync "archiver/internal/sync"
	"archiver/internal/web"
)

// Options are what does not stand in the configuration.
type Options struct {
	Logger    *zap.Logger
	Clock     func() time.Time // nil: time.Now
	UserAgent string
	Version   string        // of the archiver
	Commit    string        // that it was built from
	Listen    bool          // Run also serves http.listen, as the daemon does
	Ready     func()        // called by Run once everything works; nil: nobody waits
	Backoff   time.Duration // wait after a file's first failed attempt; 0: the syncer's default
	Tick      time.Duration // how often due work is looked for; 0: the syncer's default
}

// Daemon is a built archiver. Close it, whatever happened.
type Daemon struct {
	o     Options
	store *bolt.Store
	// instance names this state file, at random, for good.
	instance    string
	links       *archivesync.Links
	metrics     *metrics.Metrics
	conferences *conference.Controller
	api         *web.API

	reloading sync.Mutex    // held while a configuration is taken over
	replaced  chan struct{} // capacity 1: a hint that current is another one

	mu       sync.Mutex // guards what follows
	current  *generation
	working  *generation // the one that runs: behind current while it ends; nil: none
	overtook time.Time   // when current left working behind; zero: it hasn't
	run      *running    // the one under way, or the next

	closing sync.Once
	closed  error
}

// Open opens the state and builds everything around it. It makes no call to
// the outside. Errors: *state.OpenError for the state, otherwise what is wrong
// with the configuration's files (CAs, proxies).
func Open(ctx context.Context, cfg *config.Config, o Options) (*Daemon, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	store, err := bolt.Open(ctx, cfg.State.Path, bolt.Options{Clock: o.Clock, Logger: o.Logger, Horizon: horizon(cfg)})
	if err != nil {
		return nil, err
	}
	d := &Daemon{
		o: o, store: store,
		replaced: make(chan struct{}, 1), run: newRunning(),
	}
	if err := d.build(ctx, cfg); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// build makes what lives as long as the daemon, and the first generation.
func (d *Daemon) build(ctx context.Context, cfg *config.Config) error {
	var err error
	if d.instance, err = instance(ctx, d.store); err != nil {
		return err
	}
	d.buildMetrics(cfg)
	d.links = archivesync.NewLinks(d.o.Clock, d.metrics.LinkRefreshed)
	if d.current, err = d.generate(ctx, cfg); err != nil {
		return err
	}
	d.links.SetAsk(func(ctx context.Context, k state.Key) error {
		_, err := d.generation().poller.Ask(ctx, k)
		return err
	})
	d.buildConferences()
	return d.buildAPI(cfg)
}

// generation is what the newest configuration has made.
func (d *Daemon) generation() *generation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// atWork is the generation that runs, else the one that will. Who asks what is
// going on asks it: the newest configuration's has not begun while another one
// comes to its end.
func (d *Daemon) atWork() *generation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.working != nil {
		return d.working
	}
	return d.current
}

// horizon is longer than anything is ever put off.
func horizon(cfg *config.Config) time.Duration {
	const spare = 8 * 24 * time.Hour // daily retries, and what others ask us to wait
	longest := max(cfg.Poll.MaxInterval, cfg.Poll.Settle)
	for _, after := range cfg.Poll.Recheck {
		longest = max(longest, after)
	}
	return spare + longest
}

// instance returns the name of this state, which its first start chose.
func instance(ctx context.Context, s state.Maintenance) (string, error) {
	const fact = "instance"
	b, err := s.Fact(ctx, fact)
	if err != nil || b != nil {
		return string(b), err
	}
	name := strings.ToLower(rand.Text())
	return name, s.SetFact(ctx, fact, []byte(name))
}

// heapBase is what the archiver needs besides its part buffers.
const heapBase = 48 << 20

// LimitHeap makes the garbage collector of this process keep to the promised
// memory: transfer.memory (bytes) and a fixed base. The buffers are long-lived,
// so without it the heap would be let grow to twice their size. A GOMEMLIMIT of
// the operator's goes first.
func LimitHeap(pool int64) {
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(pool + heapBase)
	}
}

// Store is the daemon's state.
func (d *Daemon) Store() state.Store { return d.store }

// Handler serves the API to this process and over the socket: without a token.
func (d *Daemon) Handler() http.Handler { return d.api.Local() }

// Close releases everything, the state last. Idempotent.
func (d *Daemon) Close() error {
	d.closing.Do(func() {
		if g := d.generation(); g != nil {
			g.close()
		}
		d.closed = d.store.Close()
	})
	return d.closed
}
