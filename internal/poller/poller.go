package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	"go.uber.org/zap"

	"archiver/internal/meetingapi"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

// Vendor is the vendor's side of a tenant.
type Vendor interface {
	// GetRecords asks for the files of a recording. Its errors' kinds decide:
	// Unauthorized, BadRequest, Rejected, NotReady and Canceled have a
	// meaning of their own, everything else is temporary.
	GetRecords(ctx context.Context, recordID string, p meetingapi.Priority) (meetingapi.Listing, error)
}

// Recordings is what the poller reads and moves; see state.Records.
type Recordings interface {
	Update(ctx context.Context, k state.Key, decide state.Decide) (state.Recording, error)
	Track(ctx context.Context, keys []state.Key) (isNew []bool, err error)
	Get(ctx context.Context, k state.Key) (state.Recording, error)
}

// Queue is the polls that are due; see state.Queue.
type Queue interface {
	Claim(ctx context.Context, w state.Work, tenant string, now time.Time, n int) ([]state.FileRef, error)
	Release(w state.Work, refs ...state.FileRef)
}

// Facts keep what belongs to no recording; see state.Maintenance.
type Facts interface {
	Fact(ctx context.Context, name string) ([]byte, error)
	SetFact(ctx context.Context, name string, value []byte) error
}

// Store is what the poller needs of a state.Store.
type Store interface {
	Recordings
	Queue
	Facts
}

// LinkSink takes fresh download URLs, which never go into the state.
type LinkSink interface {
	// Seen is told of every listing, before the state is, with the recording
	// that was asked for (it need not be tracked).
	Seen(asked state.Key, listing meetingapi.Listing)
}

// Observer is told of what happens, for metrics. Its methods are called from
// several goroutines.
type Observer interface {
	// Polled is told of each getRecords of a poll; nil: a listing came.
	Polled(tenant string, err error)
	// Tracked is told how many recordings became tracked, if any did.
	Tracked(tenant string, n int)
}

// Tenant is one tenant of the configuration.
type Tenant struct {
	Name   string // required, unique
	Vendor Vendor // required
	// Dest is where new files go.
	Dest state.Destination
	// Key renders object keys, in KeyZone (nil: UTC). Required.
	Key     *objectkey.Template
	KeyZone *time.Location
	// KeyHasFileID reports whether every new key must carry the file id,
	// because the bucket ignores conditions (docs/contract.md, promise 6); nil: no.
	KeyHasFileID func() bool
	// SourceRetention is how long the vendor keeps files; 0: unknown.
	SourceRetention time.Duration
	// RecordIDs are always tracked, and so are those of RecordIDsFile, one a
	// line; it is read again when it changes; "" for none.
	RecordIDs     []string
	RecordIDsFile string
	// APIRate is how many attempts a second Vendor makes at most; 0: no limit.
	APIRate float64
}

// Options configure a Poller. Store, Schedule, and in each tenant what is said
// there are required; a zero duration has the meaning that is said here.
type Options struct {
	Store    Store
	Tenants  []Tenant
	Schedule cron.Schedule  // of the runs
	Location *time.Location // of Schedule; nil: UTC
	// Concurrency is how many recordings of one tenant are asked about at
	// once, at least 1. Every tenant has its own workers.
	Concurrency int
	// Settle is how long nothing must have happened for a listing to be held
	// complete. 0: no time.
	Settle time.Duration
	// MaxInterval is the longest interval between two polls of a recording
	// that waits; required.
	MaxInterval time.Duration
	// Recheck are the later looks, counted from settling; none: no look.
	Recheck []time.Duration
	// GiveUpAfter is how long a recording may have no file; 0: for ever.
	GiveUpAfter time.Duration
	// Clock is the wall clock; nil: time.Now.
	Clock    func() time.Time
	Logger   *zap.Logger // nil: nothing is logged
	Links    LinkSink    // nil: nobody wants links
	Observer Observer    // nil: nobody counts
	// Wake is called when there may be work for the syncer; nil: nobody waits.
	Wake func()
}

// Poller asks the vendor. All methods are safe for concurrent use.
type Poller struct {
	opts    Options
	log     *zap.Logger
	tenants []*tenant
	byName  map[string]*tenant
	trigger chan struct{} // capacity 1: a hint
}

// New returns a poller. It makes no call and reads no file. Errors name the
// option that is missing or impossible.
func New(o Options) (*Poller, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("poller: no store")
	case o.Schedule == nil:
		return nil, errors.New("poller: no schedule")
	case o.Concurrency < 1:
		return nil, fmt.Errorf("poller: concurrency %d is less than 1", o.Concurrency)
	case o.MaxInterval <= 0 || o.Settle < 0 || o.GiveUpAfter < 0:
		return nil, fmt.Errorf("poller: impossible times: settle %s, longest interval %s, give up after %s", o.Settle, o.MaxInterval, o.GiveUpAfter)
	}
	o.Recheck = slices.Sorted(slices.Values(o.Recheck))
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Links == nil {
		o.Links = nobody{}
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	p := &Poller{opts: o, log: o.Logger, byName: map[string]*tenant{}, trigger: make(chan struct{}, 1)}
	for _, t := range o.Tenants {
		if t.Name == "" || t.Vendor == nil || t.Key == nil || p.byName[t.Name] != nil {
			return nil, fmt.Errorf("poller: tenant %q has no name, vendor or key template, or is there twice", t.Name)
		}
		tt := &tenant{Tenant: t, log: p.log.With(zap.String("tenant", t.Name)), file: idsFile{path: t.RecordIDsFile}}
		p.byName[t.Name] = tt
		p.tenants = append(p.tenants, tt)
	}
	return p, nil
}

// nobody is the sink and observer of who wants neither.
type nobody struct{}

func (nobody) Seen(state.Key, meetingapi.Listing) {}
func (nobody) Polled(string, error)               {}
func (nobody) Tracked(string, int)                {}

// Run polls until ctx ends, and then returns nil once everything that it
// started has ended. Every tenant's first run begins at once, the others by
// schedule; one that would overlap with the tenant's last is skipped.
func (p *Poller) Run(ctx context.Context) error {
	log := cronLog{p.log}
	c := cron.New(cron.WithLocation(p.opts.Location), cron.WithLogger(log), cron.WithChain(cron.SkipIfStillRunning(log)))
	jobs := make([]cron.Job, 0, len(p.tenants))
	for _, t := range p.tenants {
		id := c.Schedule(p.opts.Schedule, cron.FuncJob(func() { p.runs(ctx, t) }))
		jobs = append(jobs, c.Entry(id).WrappedJob)
	}
	var running sync.WaitGroup
	defer running.Wait()
	c.Start()
	defer func() { <-c.Stop().Done() }()
	for {
		for _, j := range jobs {
			running.Go(j.Run)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.trigger:
			for _, t := range p.tenants {
				t.again.Store(true) // heard by a run that is under way, too
			}
		}
	}
}

// runs makes one run of a tenant, and another as long as Trigger was called
// meanwhile.
func (p *Poller) runs(ctx context.Context, t *tenant) {
	for ctx.Err() == nil {
		t.again.Store(false)
		// First of all, so that what the configuration lists is due in this run.
		err := p.track(ctx, t)
		if err == nil {
			_, err = p.runTenant(ctx, t, p.opts.Clock())
		}
		if err != nil && ctx.Err() == nil {
			t.log.Error("poll run ended early", zap.Error(err))
		}
		if !t.again.Load() {
			return
		}
	}
}

// Trigger asks for a run soon. It is a hint: it never blocks, and losing it
// costs no more than the time to the next run.
func (p *Poller) Trigger() {
	select {
	case p.trigger <- struct{}{}:
	default:
	}
}

// Suspended returns why the vendor refuses a tenant, for those that it refuses.
// Nobody else should call the vendor for these but with a person waiting.
func (p *Poller) Suspended() map[string]string {
	out := map[string]string{}
	for _, t := range p.tenants {
		if why := t.suspended(); why != "" {
			out[t.Name] = why
		}
	}
	return out
}

// SuspendedWhy is Suspended of one tenant: "" if the vendor does not refuse it.
func (p *Poller) SuspendedWhy(tenant string) string {
	if t := p.byName[tenant]; t != nil {
		return t.suspended()
	}
	return ""
}

// cronLog passes cron's own words on, quietly: skipped runs and wake-ups.
type cronLog struct{ log *zap.Logger }

// Info implements cron.Logger.
func (l cronLog) Info(msg string, kv ...any) { l.log.Sugar().Debugw("schedule: "+msg, kv...) }

// Error implements cron.Logger.
func (l cronLog) Error(err error, msg string, kv ...any) {
	l.log.Sugar().With(zap.Error(err)).Errorw("schedule: "+msg, kv...)
}
