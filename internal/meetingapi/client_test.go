package meetingapi

import (
	"bufio"
	"encoding/pem"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"archiver/internal/fault"
)

const success = `{"code":"200","state":1,"data":[]}`

func succeed(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, success) }

func TestNewRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Options{BaseURL: "https://api.example.com", Auth: func() (string, error) { return "k", nil }}
	tests := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no URL", func(o *Options) { o.BaseURL = "" }, "api_url"},
		{"no scheme", func(o *Options) { o.BaseURL = "api.example.com" }, "api_url"},
		{"scheme", func(o *Options) { o.BaseURL = "ftp://x" }, "api_url"},
		{"user info", func(o *Options) { o.BaseURL = "https://u:hunter2@x" }, "user info"},
		{"query", func(o *Options) { o.BaseURL = "https://x/?key=hunter2" }, "query"},
		{"broken", func(o *Options) { o.BaseURL = "https://u:hunter2@x:y" }, "api_url"},
		{"no auth", func(o *Options) { o.Auth = nil }, "Auth"},
		{"negative rate", func(o *Options) { o.Rate = -1 }, "rate -1"},
		{"NaN rate", func(o *Options) { o.Rate = math.NaN() }, "rate NaN"},
		{"infinite rate", func(o *Options) { o.Rate = math.Inf(1) }, "rate +Inf"},
		{"attempts", func(o *Options) { o.MaxAttempts = -1 }, "-1 attempts"},
		{"no such ca_file", func(o *Options) { o.CAFile = empty + "x" }, "ca_file"},
		{"empty ca_file", func(o *Options) { o.CAFile = empty }, "no PEM certificate"},
		{"proxy scheme", func(o *Options) { o.Proxy = "ftp://u:hunter2@p" }, "proxy p: the scheme"},
		{"proxy word", func(o *Options) { o.Proxy = "auto" }, "proxy"},
		{"proxy host", func(o *Options) { o.Proxy = "http://" }, "no host"},
		{"proxy broken", func(o *Options) { o.Proxy = "http://u:hunter2@[" }, "proxy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

func TestBaseURLPath(t *testing.T) {
	v := &vendor{replies: []reply{{body: success}}}
	srv := httptest.NewServer(v)
	defer srv.Close()
	c, _ := dial(t, Options{BaseURL: srv.URL + "/gateway/v1//"})
	if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil || v.requests()[0].Path != "/gateway/v1/meeting/getRecords" {
		t.Errorf("%v, %+v", err, v.requests())
	}
}

func TestCAFile(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(succeed))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the refused certificate
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := dial(t, Options{BaseURL: srv.URL, CAFile: ca})
	if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil {
		t.Error(err)
	}
	if err := c.DelRecordFile(t.Context(), "R1", nil); err != nil {
		t.Error(err)
	}
	c, o := dial(t, Options{BaseURL: srv.URL})
	err := c.DelRecordFile(t.Context(), "R1", nil)
	if fault.KindOf(err) != fault.Temporary || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("untrusted: %v", err)
	}
	if _, err := c.GetRecords(t.Context(), "R1", Background); err == nil || len(o.labels) != 2 {
		t.Errorf("untrusted: %v, observed %q", err, o.labels)
	}
}

// proxy is a small forward proxy that also tunnels.
type proxy struct {
	forwarded, tunnelled atomic.Int32
	refuse               bool
	credentials          atomic.Value
	tunnels              sync.WaitGroup
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.credentials.Store(r.Header.Get("Proxy-Authorization"))
	if p.refuse {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method == http.MethodConnect {
		p.tunnelled.Add(1)
		p.tunnel(w, r)
		return
	}
	p.forwarded.Add(1)
	r.RequestURI = ""
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	var d net.Dialer
	up, err := d.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = up.Close()
		return
	}
	pass := func(dst net.Conn, src io.Reader) {
		_, _ = io.Copy(dst, src)
		_ = dst.Close()
	}
	p.tunnels.Go(func() { pass(up, bufio.NewReader(rw)) })
	p.tunnels.Go(func() { pass(conn, up) })
}

func TestProxy(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(succeed))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(succeed))
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	ps := httptest.NewServer(p)
	defer ps.Close()
	withUser, err := url.Parse(ps.URL)
	if err != nil {
		t.Fatal(err)
	}
	withUser.User = url.UserPassword("joe", "hunter2")

	for _, base := range []string{plain.URL, secure.URL} {
		c, _ := dial(t, Options{BaseURL: base, CAFile: ca, Proxy: withUser.String()})
		if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil {
			t.Error(err)
		}
		if err := c.DelRecordFile(t.Context(), "R1", nil); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	if p.forwarded.Load() != 2 || p.tunnelled.Load() != 2 || p.credentials.Load() != "Basic am9lOmh1bnRlcjI=" {
		t.Errorf("forwarded %d, tunnelled %d, credentials %q", p.forwarded.Load(), p.tunnelled.Load(), p.credentials.Load())
	}

	p.refuse = true
	for _, base := range []string{plain.URL, secure.URL} {
		c, _ := dial(t, Options{BaseURL: base, CAFile: ca, Proxy: withUser.String()})
		err := c.DelRecordFile(t.Context(), "R1", nil)
		if fault.KindOf(err) != fault.Temporary || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v is %s", base, err, fault.KindOf(err))
		}
	}
	p.tunnels.Wait()
}

// TestProxyFromEnvironment: it is used only if asked for; an empty setting
// means none.
func TestProxyFromEnvironment(t *testing.T) {
	c, _ := dial(t, Options{BaseURL: "http://vendor.test"})
	if c.transport.Proxy != nil || c.fresh.Proxy != nil {
		t.Error("a proxy without being told")
	}
	c, _ = dial(t, Options{BaseURL: "http://vendor.test", Proxy: "environment"})
	if c.transport.Proxy == nil || c.fresh.Proxy == nil {
		t.Error("the environment is not asked")
	}
}

// TestConnections: repeatable calls share one connection, also after errors
// and pages; calls made once take a fresh one each.
func TestConnections(t *testing.T) {
	var opened atomic.Int32
	v := &vendor{replies: []reply{{body: success}, {status: 400, body: strings.Repeat("x", 100_000)}, {body: success}}}
	srv := httptest.NewUnstartedServer(v)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, _ := dial(t, Options{BaseURL: srv.URL})
	for range 10 {
		_, _ = c.GetRecords(t.Context(), "R1", Background)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 10 polls", n)
	}
	for range 3 {
		if err := c.DelRecordFile(t.Context(), "R1", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 4 {
		t.Errorf("%d connections after 3 deletions", n)
	}
}

// TestStaleConnection: the vendor hangs up on an idle connection; a call made
// once must not become ambiguous by that.
func TestStaleConnection(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(succeed))
	defer srv.Close()
	c, _ := dial(t, Options{BaseURL: srv.URL})
	for range 20 {
		if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil {
			t.Fatal(err)
		}
		srv.CloseClientConnections()
		if err := c.DelRecordFile(t.Context(), "R1", nil); err != nil {
			t.Fatal(err)
		}
	}
}
