package daemon

import (
	"context"
	"fmt"

	"archiver/internal/bucket"
	"archiver/internal/config"
	"archiver/internal/download"
	"archiver/internal/meetingapi"
	"archiver/internal/poller"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// generation is everything that one configuration decides. close may be called
// at any time: what is in flight is not cut by it. Two generations may differ in
// cfg alone: then they are the same works under a configuration of which only
// such keys have changed that are read anew each time.
type generation struct {
	cfg          *config.Config
	vendors      map[string]*meetingapi.Client // by tenant
	buckets      map[string]*bucket.Bucket     // by tenant
	destinations map[state.Destination]*bucket.Bucket
	sources      []*download.Client
	poller       *poller.Poller
	syncer       *archivesync.Syncer
}

// sameWorks reports whether one need not stop for the other to begin.
func (g *generation) sameWorks(o *generation) bool { return g.syncer == o.syncer }

// under returns the same works under another configuration.
func (g *generation) under(cfg *config.Config) *generation {
	next := *g
	next.cfg = cfg
	return &next
}

func (g *generation) close() {
	for _, v := range g.vendors {
		v.Close()
	}
	for _, s := range g.sources {
		s.Close()
	}
	for _, b := range g.buckets {
		b.Close()
	}
}

// generate builds what a configuration asks for. It makes no call.
func (d *Daemon) generate(ctx context.Context, cfg *config.Config) (*generation, error) {
	g := &generation{
		cfg: cfg, vendors: map[string]*meetingapi.Client{}, buckets: map[string]*bucket.Bucket{},
		destinations: map[state.Destination]*bucket.Bucket{},
	}
	if err := d.fill(ctx, g); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (d *Daemon) fill(ctx context.Context, g *generation) error {
	destinations := map[state.Destination]archivesync.Destination{}
	var (
		polled []poller.Tenant
		synced []archivesync.Tenant
	)
	for _, name := range g.cfg.TenantNames() {
		t := g.cfg.Tenants[name]
		p, s, err := d.tenant(ctx, g, t)
		if err != nil {
			return fmt.Errorf("set up tenant %s: %w", name, err)
		}
		destinations[s.Dest], g.destinations[s.Dest] = s.Bucket, g.buckets[name]
		polled, synced = append(polled, p), append(synced, s)
	}
	c := g.cfg
	var err error
	g.syncer, err = archivesync.New(archivesync.Options{
		Store: d.store, Tenants: synced, Destinations: destinations, Links: d.links,
		Concurrency: c.Transfer.Concurrency, Streams: c.Transfer.Streams, PartSize: c.Transfer.PartSize,
		Memory: c.Transfer.Memory, MaxAttempts: c.Transfer.MaxAttempts, MaxFileSize: c.Transfer.MaxFileSize,
		Suspended: g.suspended, Observer: d.metrics, Settle: c.Poll.Settle, Bandwidth: c.Transfer.Bandwidth.LimitAt,
		Backoff: d.o.Backoff, Tick: d.o.Tick, Clock: d.o.Clock, Logger: d.o.Logger,
	})
	if err != nil {
		return err
	}
	g.poller, err = poller.New(poller.Options{
		Store: d.store, Tenants: polled, Schedule: c.Poll.Schedule, Location: c.Poll.Location,
		Concurrency: c.Poll.Concurrency, Settle: c.Poll.Settle, MaxInterval: c.Poll.MaxInterval,
		Recheck: c.Poll.Recheck, GiveUpAfter: c.Poll.GiveUpAfter,
		Clock: d.o.Clock, Logger: d.o.Logger, Links: d.links, Wake: g.syncer.Wake, Observer: d.metrics,
	})
	return err
}

// suspended reports whether the vendor refuses the tenant's key.
func (g *generation) suspended(tenant string) bool {
	return g.poller.SuspendedWhy(tenant) != ""
}

// tenant builds a tenant's clients.
func (d *Daemon) tenant(ctx context.Context, g *generation, t *config.Tenant) (p poller.Tenant, s archivesync.Tenant, err error) {
	vendor, err := vendorClient(t, d.o, d.metrics.Vendor(t.Name))
	if err != nil {
		return p, s, err
	}
	g.vendors[t.Name] = vendor
	source, err := download.New(download.Options{
		Hosts: t.DownloadHosts, AllowLoopback: t.AllowLoopback, CAFile: t.CAFile, Proxy: t.Proxy,
		StallTimeout: g.cfg.Transfer.StallTimeout, MaxFileSize: g.cfg.Transfer.MaxFileSize, UserAgent: d.o.UserAgent,
	})
	if err != nil {
		return p, s, err
	}
	g.sources = append(g.sources, source)
	o := bucketOptions(t.Storage)
	o.Clock, o.ProbeID, o.Observe = d.o.Clock, d.instance, d.metrics.S3(t.Name)
	b, err := bucket.New(ctx, o)
	if err != nil {
		return p, s, err
	}
	g.buckets[t.Name] = b
	dest := state.Destination{Endpoint: b.Endpoint(), Bucket: b.Name()}
	p = poller.Tenant{
		Name: t.Name, Vendor: vendor, Dest: dest, Key: t.Storage.Key, KeyZone: t.Storage.Location,
		KeyHasFileID:    func() bool { return ignoresConditions(b.Capabilities()) },
		SourceRetention: t.SourceRetention, RecordIDs: t.RecordIDs, RecordIDsFile: t.RecordIDsFile,
		APIRate: t.APIRate,
	}
	s = archivesync.Tenant{
		Name: t.Name, Vendor: vendor, Source: source, Dest: dest, Bucket: b,
		ManifestKey: manifestKey(t), Readback: t.Storage.Verify == config.VerifyReadback,
		Delete: func() archivesync.DeletePolicy { return d.deletePolicy(t.Name) },
	}
	return p, s, nil
}

// deletePolicy is what the newest configuration says: who forbids a deletion
// does not wait for a generation to end.
func (d *Daemon) deletePolicy(tenant string) archivesync.DeletePolicy {
	t := d.generation().cfg.Tenants[tenant]
	if t == nil {
		return archivesync.DeletePolicy{}
	}
	return archivesync.DeletePolicy{
		Enabled: t.Delete.Enabled, After: t.Delete.After,
		Require: state.Level(t.Delete.Require), MaxPerHour: t.Delete.MaxPerHour,
	}
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
