package daemon

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/bucket"
	"archiver/internal/conference"
	"archiver/internal/config"
	"archiver/internal/explain"
	"archiver/internal/fault"
	"archiver/internal/metrics"
	"archiver/internal/poller"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
	"archiver/internal/web"
)

var (
	_ archivesync.Observer = (*metrics.Metrics)(nil)
	_ poller.Observer      = (*metrics.Metrics)(nil)
)

// api is the daemon as the API sees it.
type api struct{ *Daemon }

var (
	_ web.Archiver    = api{}
	_ web.Objects     = api{}
	_ web.Conferences = (*conference.Controller)(nil)
	_ web.Backfills   = api{}
)

func (d *Daemon) buildMetrics(cfg *config.Config) {
	d.metrics = metrics.New(metrics.Options{
		Store: d.store, Tenants: cfg.TenantNames(), Version: d.o.Version, Commit: d.o.Commit, Clock: d.o.Clock, Logger: d.o.Logger,
		Syncer: metrics.Syncer{
			BufferBytes:  func() int64 { return d.atWork().syncer.BufferBytes() },
			Transferring: func() map[string]int { return d.atWork().syncer.TransferringBy() },
		},
	})
}

func (d *Daemon) buildConferences() {
	d.conferences = conference.New(conference.Options{
		Store: d.store, Logger: d.o.Logger, Tracked: d.wake, Stopping: func() bool { return d.present().stops() },
		Vendor: func(tenant string) (conference.Vendor, bool) {
			v, ok := d.generation().vendors[tenant]
			return v, ok
		},
	})
}

func (d *Daemon) buildAPI(cfg *config.Config) (err error) {
	d.api, err = web.New(web.Options{
		Store: d.store, Archiver: api{d}, Objects: api{d}, Conferences: d.conferences, Backfills: api{d},
		Metrics: d.metrics.Handler(),
		Token:   func() (string, error) { return d.generation().cfg.HTTP.Token.Reveal() },
		Hosts:   func() []string { return d.generation().cfg.HTTP.AllowedHosts },
		Version: d.o.Version, StateName: filepath.Base(cfg.State.Path),
	})
	return err
}

// wake hints that there may be something to poll or to transfer.
func (d *Daemon) wake() {
	g := d.generation()
	g.poller.Trigger()
	g.syncer.Wake()
}

// Wake implements web.Archiver.
func (a api) Wake() { a.wake() }

// Tenants implements web.Archiver.
func (a api) Tenants() []string { return a.generation().cfg.TenantNames() }

// Listed implements web.Archiver.
func (a api) Listed(k state.Key) (string, error) {
	cfg := a.generation().cfg
	t := cfg.Tenants[k.Tenant]
	if t == nil {
		return "", nil
	}
	if slices.Contains(t.RecordIDs, k.RecordID) {
		return fmt.Sprintf("tenants.%s.record_ids in %s", k.Tenant, cfg.Path), nil
	}
	if t.RecordIDsFile == "" {
		return "", nil
	}
	line, err := poller.FindID(t.RecordIDsFile, k.RecordID)
	if err != nil || line == 0 {
		return "", err
	}
	return fmt.Sprintf("%s:%d, the record_ids_file of tenant %s", t.RecordIDsFile, line, k.Tenant), nil
}

// Recording implements web.Archiver.
func (a api) Recording(ctx context.Context, r state.Recording) apitype.Recording {
	g, works := a.generation(), a.atWork()
	grace := time.Duration(-1)
	if t := g.cfg.Tenants[r.Tenant]; t != nil && t.Delete.Enabled {
		grace = t.Delete.After
	}
	out := apitype.OfRecording(r, grace, func(f state.File) int64 { return a.transferred(ctx, r, f) })
	out.Why, out.Next = explain.Recording(r, g.cfg, explain.Facts{
		Now: a.o.Clock(), Suspended: works.poller.SuspendedWhy(r.Tenant), Paused: works.syncer.Paused()[r.Tenant],
		Stored: func(d state.Destination) bool { return g.destinations[d] != nil },
	})
	out.Attention = explain.Attention(r)
	return out
}

// transferred is how many bytes of an unfinished file the bucket has
// acknowledged; 0 if that can't be read, which is not worth failing for.
func (d *Daemon) transferred(ctx context.Context, r state.Recording, f state.File) int64 {
	if f.Upload == nil {
		return 0
	}
	parts, err := d.store.Parts(ctx, state.FileRef{Key: r.ID(), FileID: f.ID})
	if err != nil {
		return 0
	}
	var n int64
	for _, p := range parts {
		n += p.Size
	}
	return n
}

// Detail implements web.Archiver.
func (a api) Detail(ctx context.Context, r state.Recording, events []state.Event) apitype.Detail {
	t := a.generation().cfg.Tenants[r.Tenant]
	return apitype.OfDetail(a.Recording(ctx, r), r, t != nil && t.Delete.Enabled, events)
}

// Stats implements web.Archiver.
func (a api) Stats(ctx context.Context) (apitype.Stats, error) {
	totals, err := a.store.Totals(ctx)
	if err != nil {
		return apitype.Stats{}, err
	}
	size, err := a.store.Size() //nolint:contextcheck // it takes none
	if err != nil {
		return apitype.Stats{}, err
	}
	g := a.generation()
	out := apitype.Stats{Tenants: []apitype.TenantStats{}, StateSize: size, BufferBytes: a.atWork().syncer.BufferBytes(), InFlight: a.inFlight()}
	names := slices.Collect(maps.Keys(totals))
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(names, g.cfg.TenantNames()...)))) {
		backlog, err := a.metrics.Backlog(ctx, name)
		if err != nil {
			return out, err
		}
		rate, _ := a.metrics.Rate(name)
		t := apitype.TenantStats{
			Tenant: name, Configured: g.cfg.Tenants[name] != nil, Bytes: totals[name].Bytes,
			Recordings: map[string]int{}, Files: map[string]int{},
			BytesPerSecond: int64(rate), AtRisk: backlog.AtRisk,
		}
		if !backlog.Oldest.IsZero() {
			oldest := backlog.Oldest.UTC()
			t.OldestUnarchived = &oldest
		}
		for s, n := range totals[name].Recordings {
			t.Recordings[string(s)] = n
		}
		for p, n := range totals[name].Files {
			t.Files[string(p)] = n
		}
		out.Tenants = append(out.Tenants, t)
	}
	return out, nil
}

func (d *Daemon) inFlight() []apitype.InFlight {
	out := []apitype.InFlight{}
	for _, p := range d.atWork().syncer.InFlight() {
		out = append(out, apitype.InFlight{
			Tenant: p.Ref.Tenant, RecordID: p.Ref.RecordID, FileID: p.Ref.FileID, Filename: p.Filename,
			Size: p.Size, Transferred: p.Transferred,
		})
	}
	return out
}

// Verify implements web.Objects.
func (a api) Verify(ctx context.Context, k state.Key, deep bool) (apitype.Verification, error) {
	out := apitype.Verification{Tenant: k.Tenant, RecordID: k.RecordID, OK: true, Files: []apitype.VerifiedFile{}}
	files, err := a.generation().syncer.Verify(ctx, k, deep)
	if err != nil {
		return out, err
	}
	for _, v := range files {
		f := apitype.VerifiedFile{
			FileID: v.File.ID, Bucket: v.File.Dest.Bucket, Key: v.File.Key, Size: v.File.Size,
			Result: v.Result, Level: string(v.Level), Readback: v.Readback,
		}
		if v.Err != nil {
			f.Error = v.Err.Error()
			a.o.Logger.Error("verify", zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID), zap.String("file_id", v.File.ID),
				zap.String("result", v.Result), zap.Error(v.Err))
		}
		out.OK = out.OK && v.Result == archivesync.ResultOK
		out.Files = append(out.Files, f)
	}
	out.OK = out.OK && len(out.Files) > 0 // nothing is no proof
	return out, nil
}

// Content implements web.Objects.
func (a api) Content(ctx context.Context, f state.FileRef, offset int64) (io.ReadCloser, state.File, error) {
	return a.generation().syncer.Open(ctx, f, offset)
}

// Link implements web.Objects.
func (a api) Link(ctx context.Context, ref state.FileRef, ttl time.Duration) (apitype.Link, error) {
	r, err := a.store.Get(ctx, ref.Key)
	if err != nil {
		return apitype.Link{}, err
	}
	f, ok := r.File(ref.FileID)
	if !ok || f.Phase != state.Verified {
		return apitype.Link{}, fmt.Errorf("sign a link to %s: there is no such archived file: %w", ref, state.ErrNotFound)
	}
	b := a.generation().bucketOf(ref.Tenant, f.Dest)
	if b == nil {
		return apitype.Link{}, &fault.Error{
			Op: "sign a link to", Subject: ref.String(), Kind: fault.Forbidden,
			Err:  fmt.Errorf("destination_unconfigured: bucket %s is no longer in the configuration", f.Dest.Bucket),
			Hint: "put the bucket back into the configuration",
		}
	}
	url, until, err := b.Presign(ctx, f.Key, f.Object.VersionID, f.Filename, ttl)
	return apitype.Link{URL: url, ExpiresAt: until.UTC()}, err
}

// bucketOf leads to where a file of the tenant lies; nil if no tenant has that
// bucket any more.
func (g *generation) bucketOf(tenant string, d state.Destination) *bucket.Bucket {
	if b := g.buckets[tenant]; b != nil && b.Endpoint() == d.Endpoint && b.Name() == d.Bucket {
		return b
	}
	return g.destinations[d]
}

// Backfill implements web.Backfills.
func (a api) Backfill(ctx context.Context, keys *state.KeySet, wait time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error) {
	sum, err := a.Follow(ctx, keys, wait, progress)
	out := apitype.Summary{
		Recordings: map[string]int{}, Files: sum.Files, Bytes: sum.Bytes,
		Attention: []apitype.Attention{}, MoreAttention: sum.MoreAttention, Stuck: sum.Stuck, Interrupted: sum.Interrupted,
	}
	for s, n := range sum.Recordings {
		out.Recordings[string(s)] = n
	}
	for _, x := range sum.Attention {
		out.Attention = append(out.Attention, apitype.Attention{Tenant: x.Key.Tenant, RecordID: x.Key.RecordID, Status: string(x.Status), Why: x.Why})
	}
	return out, err
}

// DryRun implements web.Backfills.
func (a api) DryRun(ctx context.Context, keys *state.KeySet, each func(apitype.Planned) error) error {
	g := a.generation()
	return dryRun(ctx, g.cfg, g.vendors, a.store, keys, func(p Planned) error { return each(p.api()) })
}
