package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/fault"
	"archiver/internal/socket"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an API on a real store, served on TCP and on the socket.
type world struct {
	t      *testing.T
	store  *bolt.Store
	api    *web.API
	ports  *ports
	tcp    string // address
	client *http.Client
	local  *http.Client
}

// ports are an archiver that does its work in memory.
type ports struct {
	mu       sync.Mutex
	tenants  []string
	listed   map[state.Key]string
	listErr  error
	token    string
	tokenErr error
	hosts    []string
	alive    error
	health   apitype.Health
	woken    int
	objects  map[state.FileRef][]byte
	failAt   int64 // an object's bytes end in an error here; -1: never
	sessions map[[2]string]apitype.Conference
	backfill func(ctx context.Context, keys []state.Key, wait time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error)
}

func (p *ports) Tenants() []string { return p.tenants }

func (p *ports) Listed(k state.Key) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listed[k], p.listErr
}

func (p *ports) Recording(_ context.Context, r state.Recording) apitype.Recording {
	return apitype.OfRecording(r, -1, nil)
}

func (p *ports) Detail(ctx context.Context, r state.Recording, events []state.Event) apitype.Detail {
	return apitype.OfDetail(p.Recording(ctx, r), r, false, events)
}

func (p *ports) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken++
}

func (p *ports) Stats(context.Context) (apitype.Stats, error) {
	return apitype.Stats{Tenants: []apitype.TenantStats{}, InFlight: []apitype.InFlight{}}, nil
}

func (p *ports) Alive(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}

func (p *ports) Ready(context.Context) apitype.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

func (p *ports) Verify(_ context.Context, k state.Key, deep bool) (apitype.Verification, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := apitype.Verification{Tenant: k.Tenant, RecordID: k.RecordID, OK: true, Files: []apitype.VerifiedFile{}}
	for ref, b := range p.objects {
		if ref.Key == k {
			out.Files = append(out.Files, apitype.VerifiedFile{FileID: ref.FileID, Size: int64(len(b)), Result: apitype.VerifyOK, Readback: deep})
		}
	}
	if len(out.Files) == 0 {
		return out, state.ErrNotFound
	}
	return out, nil
}

func (p *ports) Content(_ context.Context, f state.FileRef, offset int64) (io.ReadCloser, state.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.objects[f]
	if !ok {
		return nil, state.File{}, &fault.Error{Op: "read", Subject: f.String(), Kind: fault.NotFound}
	}
	if p.failAt < 0 {
		return io.NopCloser(bytes.NewReader(b[offset:])), state.File{}, nil
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b[offset:max(p.failAt, offset)]), broken{})), state.File{}, nil
}

// broken is a source that has failed.
type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, &fault.Error{Op: "s3 GetObject", Subject: "bucket/key", Kind: fault.Temporary}
}

func (p *ports) Link(_ context.Context, f state.FileRef, ttl time.Duration) (apitype.Link, error) {
	return apitype.Link{URL: "https://bucket.example/" + f.FileID, ExpiresAt: time.Now().Add(ttl).UTC()}, nil
}

func (p *ports) begin(kind, tenant, key string) (apitype.Conference, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := apitype.Conference{Tenant: tenant, ConferenceKey: key, Kind: kind, Status: "open"}
	p.sessions[[2]string{kind, key}] = c
	return c, nil
}

func (p *ports) end(kind, key string) (apitype.Conference, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.sessions[[2]string{kind, key}]
	delete(p.sessions, [2]string{kind, key})
	c.Status = "closed"
	return c, nil
}

func (p *ports) StartRecord(_ context.Context, tenant, key string) (apitype.Conference, error) {
	return p.begin("record", tenant, key)
}

func (p *ports) StopRecord(_ context.Context, _, key string) (apitype.Conference, error) {
	return p.end("record", key)
}

func (p *ports) StartLive(_ context.Context, tenant, key string) (apitype.Conference, error) {
	return p.begin("live", tenant, key)
}

func (p *ports) StopLive(_ context.Context, _, key string) (apitype.Conference, error) {
	return p.end("live", key)
}

func (p *ports) List(context.Context, string) (out []apitype.Conference, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sessions {
		out = append(out, c)
	}
	return out, nil
}

func (p *ports) Backfill(ctx context.Context, keys *state.KeySet, wait time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error) {
	var listed []state.Key
	for _, k := range keys.All() {
		listed = append(listed, k)
	}
	return p.backfill(ctx, listed, wait, progress)
}

func (p *ports) DryRun(_ context.Context, keys *state.KeySet, each func(apitype.Planned) error) error {
	for _, k := range keys.All() {
		if err := each(apitype.Planned{Tenant: k.Tenant, RecordID: k.RecordID, Others: []string{}}); err != nil {
			return err
		}
	}
	return nil
}

// set changes what the archiver says.
func (w *world) set(f func(*ports)) {
	w.ports.mu.Lock()
	defer w.ports.mu.Unlock()
	f(w.ports)
}

func newWorld(t *testing.T, adjust ...func(*web.API)) *world {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	store, err := bolt.Open(t.Context(), path, bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &ports{
		tenants: []string{"acme"}, listed: map[state.Key]string{}, health: apitype.Health{Status: apitype.HealthOK, Reasons: []string{}},
		objects: map[state.FileRef][]byte{}, failAt: -1, sessions: map[[2]string]apitype.Conference{},
	}
	p.backfill = func(_ context.Context, keys []state.Key, _ time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error) {
		err := progress(apitype.Progress{Recordings: len(keys), InFlight: []apitype.InFlight{}})
		return apitype.Summary{Recordings: map[string]int{}, Attention: []apitype.Attention{}}, err
	}
	w := &world{t: t, store: store, ports: p}
	w.api, err = web.New(web.Options{
		Store: store, Archiver: p, Objects: p, Conferences: p, Backfills: p,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "archiver_build_info 1\n") }),
		Token: func() (string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.token, p.tokenErr
		},
		Hosts: func() []string {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.hosts
		},
		Version: "1.2.3", StateName: "state.db",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range adjust {
		f(w.api)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.tcp = tcp.Addr().String()
	unix, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	w.serve(tcp, w.api.Public(w.tcp))
	w.serve(unix, w.api.Local())
	w.client = w.dialing(func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", w.tcp) })
	w.local = w.dialing(func(ctx context.Context) (net.Conn, error) { return socket.Dial(ctx, path) })
	return w
}

// serve runs until the test ends, and sees that it ends.
func (w *world) serve(l net.Listener, h http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, l, h, zap.NewNop()) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) dialing(dial func(context.Context) (net.Conn, error)) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, DisableCompression: true}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// ask makes a request; with are "Name: value" headers.
func (w *world) ask(method, path, body string, with ...string) answer {
	w.t.Helper()
	return w.over(w.client, method, path, strings.NewReader(body), with...)
}

func (w *world) over(c *http.Client, method, path string, body io.Reader, with ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.tcp+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range with {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
}

// wants fails unless the answer is a problem with that status and code.
func (a answer) wants(t *testing.T, status int, code string) {
	t.Helper()
	var p web.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" ||
		a.status != status || p.Status != status || p.Code != code || p.Detail == "" || p.Title == "" || p.Type != "about:blank" {
		t.Errorf("%d %s %s, want a problem %d %s", a.status, a.header.Get("Content-Type"), a.body, status, code)
	}
}

// into reads a JSON answer.
func into[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

func (w *world) track(keys ...state.Key) {
	w.t.Helper()
	if _, err := w.store.Track(w.t.Context(), keys); err != nil {
		w.t.Fatal(err)
	}
}

// served reports whether a Host is accepted where that address is listened on.
func (w *world) served(listen, host string) bool {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/readyz", http.NoBody)
	r.Host = host
	rec := httptest.NewRecorder()
	w.api.Public(listen).ServeHTTP(rec, r)
	return rec.Code == http.StatusOK
}

func writeFile(path, content string) error { return os.WriteFile(path, []byte(content), 0o600) }
