package poller_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"archiver/internal/meetingapi"
	"archiver/internal/objectkey"
	"archiver/internal/poller"
	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

const settle = 10 * time.Minute

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// sink keeps what the syncer would be told.
type sink struct {
	mu    sync.Mutex
	urls  map[state.Key][]string
	wakes int
	polls []error
	heard func(state.Key) // of Seen, may be nil
}

func (s *sink) Seen(k state.Key, l meetingapi.Listing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urls[k] = nil
	for _, it := range l.Items {
		s.urls[k] = append(s.urls[k], it.DownURL)
	}
	if s.heard != nil {
		s.heard(k)
	}
}

func (s *sink) Polled(_ string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls = append(s.polls, err)
}

func (s *sink) Tracked(string, int) {}

func (s *sink) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakes++
}

func (s *sink) links(k state.Key) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.urls[k])
}

// world is a poller on a real state and, where a test does not say otherwise,
// real clients of a simulated vendor with the tenants acme and other.
type world struct {
	*poller.Poller
	t      *testing.T
	clock  *clock
	vendor *vendorsim.Server
	store  state.Store
	path   string
	sink   *sink
	logs   *observer.ObservedLogs
	opts   poller.Options
}

func newWorld(t *testing.T, change ...func(*poller.Options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: start}, path: filepath.Join(t.TempDir(), "state.db")}
	w.vendor = vendorsim.New(vendorsim.Options{
		Tenants: map[string]string{"acme": "key-a", "other": "key-b"}, Clock: w.clock.Now, NoCRC64: true,
	})
	if err := w.vendor.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.vendor.Close(); err != nil {
			t.Error(err)
		}
	})
	w.opts = options(t, w.clock.Now)
	w.opts.Tenants = []poller.Tenant{
		tenant(t, "acme", client(t, w.vendor.APIURL(), "key-a")),
		tenant(t, "other", client(t, w.vendor.APIURL(), "key-b")),
	}
	for _, c := range change {
		c(&w.opts)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// open opens the state and builds the poller, as a start of the daemon does.
func (w *world) open() { w.openAt(w.clock.Now) }

func (w *world) openAt(now func() time.Time) {
	w.t.Helper()
	st, err := bolt.Open(w.t.Context(), w.path, bolt.Options{Clock: now, Logger: zap.NewNop()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = st
	core, logs := observer.New(zapcore.InfoLevel)
	w.sink, w.logs = &sink{urls: map[state.Key][]string{}}, logs
	o := w.opts
	if o.Store == nil {
		o.Store = st
	}
	if f, ok := o.Store.(*failing); ok {
		f.Store = st
	}
	o.Logger, o.Links, o.Observer, o.Wake = zap.New(core), w.sink, w.sink, w.sink.wake
	if w.Poller, err = poller.New(o); err != nil {
		w.t.Fatal(err)
	}
}

// close checks the state's invariants and closes it.
func (w *world) close() {
	ctx := context.WithoutCancel(w.t.Context())
	if err := w.store.Check(ctx, func(problem string) { w.t.Errorf("state: %s", problem) }); err != nil {
		w.t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

func options(t *testing.T, now func() time.Time) poller.Options {
	t.Helper()
	s, err := cron.ParseStandard("@every 1m")
	if err != nil {
		t.Fatal(err)
	}
	return poller.Options{
		Schedule: s, Concurrency: 4, Settle: settle, MaxInterval: 6 * time.Hour, Clock: now,
		Recheck: []time.Duration{72 * time.Hour, time.Hour, 24 * time.Hour}, GiveUpAfter: 30 * 24 * time.Hour,
	}
}

func client(t *testing.T, url, key string) *meetingapi.Client {
	t.Helper()
	c, err := meetingapi.New(meetingapi.Options{
		BaseURL: url, Auth: func() (string, error) { return key, nil }, Rate: 100_000, MaxAttempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func tenant(t *testing.T, name string, v poller.Vendor) poller.Tenant {
	t.Helper()
	tpl, err := objectkey.Parse("{tenant}/{record_id}/{filename}")
	if err != nil {
		t.Fatal(err)
	}
	return poller.Tenant{Name: name, Vendor: v, Dest: state.Destination{Bucket: "b"}, Key: tpl}
}

func key(id string) state.Key { return state.Key{Tenant: "acme", RecordID: id} }

// file is a file that stopped at start+stop and is ready then.
func file(stop time.Duration, size int64) vendorsim.File {
	at := start.Add(stop)
	return vendorsim.File{Start: at.Add(-time.Minute), Stop: at, ReadyAt: at, Content: content.Generate(1, size)}
}

// add makes a recording of acme known to the vendor, without tracking it.
func (w *world) add(id string, files ...vendorsim.File) {
	w.t.Helper()
	w.addRecording(vendorsim.Recording{ID: id, Tenant: "acme", ConferenceKey: "1866", EntID: 52, Files: files})
}

func (w *world) addRecording(r vendorsim.Recording) {
	w.t.Helper()
	if err := w.vendor.AddRecording(r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) track(ids ...string) {
	w.t.Helper()
	var keys []state.Key
	for _, id := range ids {
		keys = append(keys, key(id))
	}
	if _, err := w.store.Track(w.t.Context(), keys); err != nil {
		w.t.Fatal(err)
	}
}

// run makes a poll run after d more.
func (w *world) run(d time.Duration) poller.Result {
	w.t.Helper()
	w.clock.advance(d)
	r, err := w.PollOnce(w.t.Context(), w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) get(id string) state.Recording {
	w.t.Helper()
	r, err := w.store.Get(w.t.Context(), key(id))
	if err != nil {
		w.t.Fatalf("%s: %v", id, err)
	}
	return r
}

func (w *world) is(id string, s state.Status) state.Recording {
	w.t.Helper()
	r := w.get(id)
	if r.Status != s {
		w.t.Errorf("%s is %s (%s %s), want %s", id, r.Status, r.Reason, r.Detail, s)
	}
	return r
}

// asked returns the recordIds that getRecords was called for since the last
// call of asked, sorted.
func (w *world) asked(after int) (ids []string, last int) {
	last = after
	for _, c := range w.vendor.Calls() {
		if c.Seq > after && c.Name == "getRecords" {
			ids = append(ids, c.RecordID)
		}
		last = max(last, c.Seq)
	}
	slices.Sort(ids)
	return ids, last
}

// said counts log lines with this message.
func (w *world) said(msg string) int { return w.logs.FilterMessage(msg).Len() }

// failing is a store whose Update fails as the test says, before or after it
// took effect, or waits.
type failing struct {
	state.Store
	gate   chan struct{} // Update waits for it to be closed; nil: it does not wait
	looked atomic.Int64  // recordIds that Track was given
	mu     sync.Mutex
	before map[string]error // by recordId
	after  map[string]error
	times  int // how often; 0: always
	failed int
}

func (f *failing) Track(ctx context.Context, keys []state.Key) ([]bool, error) {
	f.looked.Add(int64(len(keys)))
	return f.Store.Track(ctx, keys)
}

func (f *failing) Update(ctx context.Context, k state.Key, d state.Decide) (state.Recording, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return state.Recording{}, ctx.Err()
		}
	}
	f.mu.Lock()
	before, after := f.before[k.RecordID], f.after[k.RecordID]
	if before != nil || after != nil {
		if f.failed++; f.times > 0 && f.failed > f.times {
			before, after = nil, nil
		}
	}
	f.mu.Unlock()
	if before != nil {
		return state.Recording{}, before
	}
	r, err := f.Store.Update(ctx, k, d)
	if err == nil && after != nil {
		return state.Recording{}, after
	}
	return r, err
}
