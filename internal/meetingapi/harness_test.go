package meetingapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const testAuth = "s3cr3t+Auth/value=="

// reply is one scripted answer; the last one of a script is given from then on.
type reply struct {
	status int // 0: 200
	body   string
	header map[string]string
	cut    bool // hang up instead of answering
}

// seen is a request as the vendor got it.
type seen struct {
	Method, Path, Auth, ContentType, UserAgent string
	Body                                       map[string]string
}

// vendor is a real HTTP server that follows a script.
type vendor struct {
	mu      sync.Mutex
	replies []reply
	seen    []seen
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := seen{
		Method: r.Method, Path: r.URL.Path, Auth: r.Header.Get("auth"),
		ContentType: r.Header.Get("Content-Type"), UserAgent: r.UserAgent(),
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &s.Body) != nil {
		http.Error(w, "bad request body", http.StatusTeapot)
		return
	}
	v.mu.Lock()
	v.seen = append(v.seen, s)
	a := v.replies[min(len(v.seen), len(v.replies))-1]
	v.mu.Unlock()
	if a.cut {
		panic(http.ErrAbortHandler)
	}
	for k, h := range a.header {
		w.Header().Set(k, h)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (v *vendor) requests() []seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen
}

// observed collects what Observe is told.
type observed struct {
	mu     sync.Mutex
	labels []string
}

func (o *observed) observe(call, code string, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.labels = append(o.labels, call+" "+code)
}

func serve(t *testing.T, replies ...reply) (*Client, *vendor, *observed) {
	t.Helper()
	v := &vendor{replies: replies}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	c, o := dial(t, Options{BaseURL: srv.URL})
	return c, v, o
}

// dial makes a client that waits next to nothing between attempts.
func dial(t *testing.T, o Options) (*Client, *observed) {
	t.Helper()
	obs := &observed{}
	if o.Auth == nil {
		o.Auth = func() (string, error) { return testAuth, nil }
	}
	if o.Rate == 0 {
		o.Rate = 10_000
	}
	o.Observe = obs.observe
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.firstPause = time.Microsecond
	t.Cleanup(c.Close)
	return c, obs
}

// inMemory makes a client and a vendor that talk over pipes, for synctest,
// where only what happens inside of the bubble lets the clock move.
func inMemory(t *testing.T, o Options, h http.Handler) *Client {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	o.BaseURL = "http://vendor.test"
	if o.Auth == nil {
		o.Auth = func() (string, error) { return testAuth, nil }
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.transport.DialContext = l.dial
	c.fresh.DialContext = l.dial
	t.Cleanup(func() {
		c.Close()
		_ = srv.Close()
		wg.Wait()
	})
	return c
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// sample returns an answer of the vendor's document.
func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// do makes one of the six calls by name.
func do(ctx context.Context, c *Client, call string) (string, error) {
	switch call {
	case "getRecords":
		_, err := c.GetRecords(ctx, "R1", Background)
		return "", err
	case "delRecordFile":
		return "", c.DelRecordFile(ctx, "R1", nil)
	case "openRecord":
		return c.OpenRecord(ctx, "1866")
	case "closeRecord":
		return c.CloseRecord(ctx, "1866")
	case "openLive":
		return c.OpenLive(ctx, "1866")
	case "closeLive":
		return "", c.CloseLive(ctx, "1866")
	}
	return "", errors.New("no such call: " + call)
}
