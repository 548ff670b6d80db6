package metrics

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a real state with metrics on it.
type world struct {
	*Metrics
	t     *testing.T
	path  string
	store *counting
	now   time.Time
}

// counting counts how often the backlog is asked for.
type counting struct {
	*bolt.Store
	backlogs atomic.Int64
}

func (c *counting) Backlog(ctx context.Context, tenant string, limit int) (state.Backlog, error) {
	c.backlogs.Add(1)
	return c.Store.Backlog(ctx, tenant, limit)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "state.db"), now: start}
	w.open()
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

// open starts on the state as it is, as a restart does.
func (w *world) open() {
	w.t.Helper()
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	clock := func() time.Time { return w.now }
	st, err := bolt.Open(w.t.Context(), w.path, bolt.Options{Clock: clock, Logger: zap.NewNop(), Horizon: 400 * 24 * time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = &counting{Store: st}
	w.Metrics = New(Options{
		Store: w.store, Tenants: []string{"acme", "other"}, Version: "1.2.3", Commit: "abc", Clock: clock, Logger: zap.NewNop(),
		Syncer: Syncer{
			BufferBytes:  func() int64 { return 42 },
			Transferring: func() map[string]int { return map[string]int{"acme": 2} },
		},
	})
}

// run is a Run that is told to end once it has begun.
func (w *world) run(meanwhile func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	meanwhile()
	cancel()
	<-ended
}

func key(id string) state.Key { return state.Key{Tenant: "acme", RecordID: id} }

func (w *world) track(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		if _, err := w.store.Track(w.t.Context(), []state.Key{key(id)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) update(id string, changes ...state.Change) {
	w.t.Helper()
	if _, err := w.store.Update(w.t.Context(), key(id), state.Do(changes...)); err != nil {
		w.t.Fatal(err)
	}
}

// discovered is a file of size bytes that the vendor keeps until deadline.
func discovered(id string, size int64, deadline time.Time) state.Discover {
	return state.Discover{
		FileID: id, Filename: id + ".mp4", Dest: state.Destination{Bucket: "b"}, Keys: []string{id},
		Listing: state.Listing{DeclaredSize: size, Start: start.Add(-time.Hour), Stop: start, Deadline: deadline},
	}
}

// scrape is what Prometheus is told.
func (w *world) scrape() string {
	w.t.Helper()
	r := httptest.NewRecorder()
	w.Handler().ServeHTTP(r, httptest.NewRequestWithContext(w.t.Context(), "GET", "/metrics", nil))
	if r.Code != 200 {
		w.t.Errorf("a scrape answers %d", r.Code)
	}
	return r.Body.String()
}
