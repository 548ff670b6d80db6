package conference_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/conference"
	"archiver/internal/meetingapi"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/web"
)

var _ web.Conferences = (*conference.Controller)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a vendor with running conferences, a state, and the controller
// between them.
type world struct {
	*testing.T
	vendor *vendorsim.Server
	path   string
	store  *bolt.Store
	c      *conference.Controller

	tracked atomic.Int32 // calls of Options.Tracked
	mu      sync.Mutex
	onCall  func(vendorsim.Call)
}

// newWorld has the conferences 1 to 4 of acme: 1 runs, 2 has not started, 3 may
// be neither recorded nor streamed, 4 is beta's.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, path: filepath.Join(t.TempDir(), "state.db")}
	w.vendor = vendorsim.New(vendorsim.Options{
		Tenants: map[string]string{"acme": "key-a", "beta": "key-b"}, NoCRC64: true,
		OnCall: func(c vendorsim.Call) {
			w.mu.Lock()
			fn := w.onCall
			w.mu.Unlock()
			if fn != nil {
				fn(c)
			}
		},
	})
	w.ok(w.vendor.Start(""))
	vendor := w.vendor // a test may go to another
	t.Cleanup(func() { w.ok(vendor.Close()) })
	for _, c := range []vendorsim.Conference{
		{Key: "1", Tenant: "acme", Started: true},
		{Key: "2", Tenant: "acme"},
		{Key: "3", Tenant: "acme", Started: true, NoRecording: true, NoLive: true},
		{Key: "4", Tenant: "beta", Started: true},
	} {
		w.vendor.AddConference(c)
	}
	w.open()
	t.Cleanup(func() {
		if err := w.store.Check(context.Background(), func(p string) { t.Errorf("check: %s", p) }); err != nil {
			t.Error(err)
		}
		w.ok(w.store.Close())
	})
	return w
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// open starts the archiver's side (again).
func (w *world) open() {
	w.Helper()
	if w.store != nil {
		w.ok(w.store.Close())
	}
	var err error
	w.store, err = bolt.Open(w.Context(), w.path, bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
	w.ok(err)
	w.use("key-a", 0)
}

// use makes calls with a key, each bounded by a time.
func (w *world) use(auth string, timeout time.Duration) {
	w.Helper()
	client, err := meetingapi.New(meetingapi.Options{
		BaseURL: w.vendor.APIURL(), Auth: func() (string, error) { return auth, nil }, Rate: 100_000, MaxAttempts: 1,
	})
	w.ok(err)
	w.Cleanup(client.Close)
	w.c = conference.New(conference.Options{
		Store: w.store, Logger: zap.NewNop(), Tracked: func() { w.tracked.Add(1) }, Timeout: timeout,
		Vendor: func(tenant string) (conference.Vendor, bool) { return client, tenant == "acme" },
	})
}

// when has something happen after a call took effect, before its reply.
func (w *world) when(call string, fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onCall = func(c vendorsim.Call) {
		if c.Name == call {
			fn()
		}
	}
}

func (w *world) inject(call string, do vendorsim.Action) {
	w.vendor.Inject(vendorsim.Fault{Call: call, Times: 1, Do: do})
}

func (w *world) session(key string, kind state.ConferenceKind) state.Session {
	w.Helper()
	s, err := w.store.Session(w.Context(), state.ConferenceRef{Tenant: "acme", ConferenceKey: key, Kind: kind})
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		w.Fatal(err)
	}
	return s
}

// is compares what is stored of a recording's session.
func (w *world) is(key string, status state.SessionStatus) state.Session {
	w.Helper()
	s := w.session(key, state.KindRecord)
	if s.Status != status {
		w.Fatalf("conference %s is %q (%s), want %q", key, s.Status, s.Error, status)
	}
	return s
}

// recorded holds that a recordId is really the vendor's, and tracked.
func (w *world) recorded(id string) {
	w.Helper()
	if _, ok := w.vendor.Recording(id); !ok {
		w.Errorf("the vendor has no recording %q", id)
	}
	if r, err := w.store.Get(w.Context(), state.Key{Tenant: "acme", RecordID: id}); err != nil || r.Status != state.Waiting {
		w.Errorf("%s is %q, %v, want waiting", id, r.Status, err)
	}
}

// refused holds an error to its status, its code and what its message has to
// say.
func (w *world) refused(got apitype.Conference, err error, status int, code string, says ...string) {
	w.Helper()
	e, ok := errors.AsType[*conference.Error](err)
	if !ok {
		w.Fatalf("%+v, %v, want a *conference.Error", got, err)
	}
	if e.Status != status || e.Code != code {
		w.Errorf("%d %s, want %d %s: %v", e.Status, e.Code, status, code, err)
	}
	for _, s := range says {
		if !strings.Contains(e.Error(), s) {
			w.Errorf("the error does not say %q: %v", s, err)
		}
	}
	if got != (apitype.Conference{}) {
		w.Errorf("beside an error there is %+v", got)
	}
}

func (w *world) calls(name string, want int) {
	w.Helper()
	if n := len(w.vendor.CallsOf(name)); n != want {
		w.Errorf("%d calls of %s, want %d", n, name, want)
	}
}
