// Package daemon builds the whole archiver from a configuration and runs it.
// It is the only place that knows the concrete types: everywhere else the
// rooms see each other through small interfaces.
//
//	config ─► state/bolt ─┬─► poller ──(links, wake)──► sync ─► bucket
//	                      │      ▲                        │
//	          meetingapi ─┴──────┴────────(ask)───────────┘◄─ download
//
// Start: state, clients, syncer, poller. Stop: the poller and the syncer take
// no more; what is in flight comes to a recorded step within shutdown_grace,
// or is cut; the state is closed last.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"archiver/internal/bucket"
	"archiver/internal/config"
	"archiver/internal/download"
	"archiver/internal/meetingapi"
	"archiver/internal/poller"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
	archivesync "archiver/internal/sync"
)

// Options are what does not stand in the configuration.
type Options struct {
	Logger    *zap.Logger
	Clock     func() time.Time // nil: time.Now
	UserAgent string
	Backoff   time.Duration // wait after a file's first failed attempt; 0: the syncer's default
	Tick      time.Duration // how often due work is looked for; 0: the syncer's default
}

// Daemon is a built archiver. Close it, whatever happened.
type Daemon struct {
	cfg   *config.Config
	o     Options
	store *bolt.Store
	// instance names this state file, at random, for good.
	instance string
	vendors  map[string]*meetingapi.Client
	sources  []*download.Client
	buckets  []*bucket.Bucket
	poller   *poller.Poller
	syncer   *archivesync.Syncer

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
	d := &Daemon{cfg: cfg, o: o, store: store, vendors: map[string]*meetingapi.Client{}}
	if d.instance, err = instance(ctx, store); err == nil {
		err = d.build(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
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

// Close releases everything, the state last. Idempotent.
func (d *Daemon) Close() error {
	d.closing.Do(func() {
		for _, v := range d.vendors {
			v.Close()
		}
		for _, s := range d.sources {
			s.Close()
		}
		for _, b := range d.buckets {
			b.Close()
		}
		d.closed = d.store.Close()
	})
	return d.closed
}

func (d *Daemon) build(ctx context.Context) error {
	links := archivesync.NewLinks(d.o.Clock)
	destinations := map[state.Destination]archivesync.Destination{}
	var (
		polled []poller.Tenant
		synced []archivesync.Tenant
	)
	for _, name := range d.cfg.TenantNames() {
		t := d.cfg.Tenants[name]
		p, s, err := d.tenant(ctx, t)
		if err != nil {
			return fmt.Errorf("set up tenant %s: %w", name, err)
		}
		destinations[s.Dest] = s.Bucket
		polled, synced = append(polled, p), append(synced, s)
	}
	c := d.cfg
	var err error
	d.syncer, err = archivesync.New(archivesync.Options{
		Store: d.store, Tenants: synced, Destinations: destinations, Links: links,
		Concurrency: c.Transfer.Concurrency, Streams: c.Transfer.Streams, PartSize: c.Transfer.PartSize,
		Memory: c.Transfer.Memory, MaxAttempts: c.Transfer.MaxAttempts, MaxFileSize: c.Transfer.MaxFileSize,
		Suspended: d.suspended, Settle: c.Poll.Settle, Bandwidth: c.Transfer.Bandwidth.LimitAt,
		Backoff: d.o.Backoff, Tick: d.o.Tick, Clock: d.o.Clock, Logger: d.o.Logger,
	})
	if err != nil {
		return err
	}
	d.poller, err = poller.New(poller.Options{
		Store: d.store, Tenants: polled, Schedule: c.Poll.Schedule, Location: c.Poll.Location,
		Concurrency: c.Poll.Concurrency, Settle: c.Poll.Settle, MaxInterval: c.Poll.MaxInterval,
		Recheck: c.Poll.Recheck, GiveUpAfter: c.Poll.GiveUpAfter,
		Clock: d.o.Clock, Logger: d.o.Logger, Links: links, Wake: d.syncer.Wake,
	})
	if err != nil {
		return err
	}
	links.SetAsk(func(ctx context.Context, k state.Key) error {
		_, err := d.poller.Ask(ctx, k)
		return err
	})
	return nil
}

// suspended reports whether the vendor refuses the tenant's key.
func (d *Daemon) suspended(tenant string) bool {
	_, yes := d.poller.Suspended()[tenant]
	return yes
}

// tenant builds a tenant's clients.
func (d *Daemon) tenant(ctx context.Context, t *config.Tenant) (p poller.Tenant, s archivesync.Tenant, err error) {
	vendor, err := vendorClient(t, d.o)
	if err != nil {
		return p, s, err
	}
	d.vendors[t.Name] = vendor
	source, err := download.New(download.Options{
		Hosts: t.DownloadHosts, AllowLoopback: t.AllowLoopback, CAFile: t.CAFile, Proxy: t.Proxy,
		StallTimeout: d.cfg.Transfer.StallTimeout, MaxFileSize: d.cfg.Transfer.MaxFileSize, UserAgent: d.o.UserAgent,
	})
	if err != nil {
		return p, s, err
	}
	d.sources = append(d.sources, source)
	o := bucketOptions(t.Storage)
	o.Clock, o.ProbeID = d.o.Clock, d.instance
	b, err := bucket.New(ctx, o)
	if err != nil {
		return p, s, err
	}
	d.buckets = append(d.buckets, b)
	dest := state.Destination{Endpoint: b.Endpoint(), Bucket: b.Name()}
	p = poller.Tenant{
		Name: t.Name, Vendor: vendor, Dest: dest, Key: t.Storage.Key, KeyZone: t.Storage.Location,
		KeyHasFileID:    func() bool { return ignoresConditions(b.Capabilities()) },
		SourceRetention: t.SourceRetention, RecordIDs: t.RecordIDs, RecordIDsFile: t.RecordIDsFile,
	}
	s = archivesync.Tenant{
		Name: t.Name, Vendor: vendor, Source: source, Dest: dest, Bucket: b,
		ManifestKey: manifestKey(t), Readback: t.Storage.Verify == config.VerifyReadback,
		Delete: func() archivesync.DeletePolicy {
			return archivesync.DeletePolicy{
				Enabled: t.Delete.Enabled, After: t.Delete.After,
				Require: state.Level(t.Delete.Require), MaxPerHour: t.Delete.MaxPerHour,
			}
		},
	}
	return p, s, nil
}

// ignoresConditions reports that the bucket was shown to overwrite what it was
// asked not to: then every key has to carry the file id.
func ignoresConditions(c state.Capabilities) bool {
	return !c.ProbedAt.IsZero() && (!c.ConditionalPut || !c.ConditionalComplete)
}

func bucketOptions(s config.Storage) bucket.Options {
	o := bucket.Options{
		Endpoint: s.Endpoint, PublicEndpoint: s.PublicEndpoint, Region: s.Region, Bucket: s.Bucket, PathStyle: s.PathStyle,
		CAFile: s.CAFile, Proxy: s.Proxy, StorageClass: s.StorageClass, SSE: s.SSE, SSEKMSKeyID: s.SSEKMSKeyID,
		LockMode: s.ObjectLock.Mode, LockDays: s.ObjectLock.Days, Tags: s.Tags,
	}
	if !s.AccessKeyID.IsZero() {
		o.Credentials = func() (string, string, error) {
			id, err := s.AccessKeyID.Reveal()
			if err != nil {
				return "", "", err
			}
			secret, err := s.SecretAccessKey.Reveal()
			return id, secret, err
		}
	}
	return o
}

// Run works until take ends; then what is in flight may come to a recorded
// step until work ends or shutdown_grace is over. It stops likewise, and
// returns an error, once the state refuses everything.
func (d *Daemon) Run(take, work context.Context) error {
	work, cut := context.WithCancel(work)
	defer cut()
	taking, stopping := context.WithCancel(take)
	defer stopping()
	var (
		wg    sync.WaitGroup
		perr  error
		ended = make(chan struct{})
	)
	wg.Go(func() {
		select {
		case <-d.store.Failed():
			stopping()
		case <-taking.Done():
		}
		d.o.Logger.Info("stopping: no more work is taken", zap.Duration("grace", d.cfg.ShutdownGrace))
		grace := time.NewTimer(d.cfg.ShutdownGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			cut()
		case <-ended:
		}
	})
	wg.Go(func() {
		defer stopping() // one without the other would be half a daemon
		perr = d.poller.Run(taking)
	})
	serr := d.syncer.Run(taking, work)
	stopping()
	close(ended)
	wg.Wait()
	return errors.Join(perr, serr, d.stateFailed(context.WithoutCancel(take)))
}

// stateFailed returns why the state refuses everything, if it does.
func (d *Daemon) stateFailed(ctx context.Context) error {
	select {
	case <-d.store.Failed():
		_, why := d.store.Totals(ctx) // as every other call would
		return fmt.Errorf("stopped, because state %s cannot be used any further; restart the archiver, which goes on from what the disk has: %w", d.cfg.State.Path, why)
	default:
		return nil
	}
}
