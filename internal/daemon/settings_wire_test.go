package daemon_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"archiver/internal/sandbox/s3stub"
)

// wire is a server that keeps what it is asked, and lets another one answer.
// It is asked as a proxy, too: requests for plain http come to it whole.
type wire struct {
	*httptest.Server
	mu   sync.Mutex // guards what follows
	seen []*http.Request
}

// tap serves what answer answers, over TLS if there is a configuration for it.
func tap(t *testing.T, answer http.Handler, secure *tls.Config) *wire {
	t.Helper()
	w := &wire{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r.Clone(r.Context()))
		w.mu.Unlock()
		answer.ServeHTTP(rw, r)
	}))
	if secure != nil {
		w.TLS = secure
		w.StartTLS()
	} else {
		w.Start()
	}
	t.Cleanup(w.Close)
	return w
}

// of returns the requests with this method ("" is any) whose path contains part.
func (w *wire) of(method, part string) []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*http.Request
	for _, r := range w.seen {
		if (method == "" || r.Method == method) && strings.Contains(r.URL.Path, part) {
			out = append(out, r)
		}
	}
	return out
}

// stub is a bucket "stub" that keeps no bytes, behind a wire.
func stub(t *testing.T, secure *tls.Config) *wire {
	t.Helper()
	s, err := s3stub.Start(t.Context(), "", s3stub.Options{Buckets: []string{"stub"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return tap(t, virtualHost(s), secure)
}

// virtualHost gives the stub, which knows paths only, the bucket of a Host such
// as stub.s3.test.
func virtualHost(s http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bucket, ok := strings.CutSuffix(r.Host, ".s3.test"); ok {
			r = r.Clone(r.Context())
			r.URL.Path = "/" + bucket + r.URL.Path
		}
		s.ServeHTTP(w, r)
	})
}

// forward passes on what a proxy is asked.
func forward() http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host }}
}

// before passes everything on to a server, signatures and all.
func before(t *testing.T, server string) http.Handler {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host
	}}
}

// fetched is what a server answers: the status and the body.
func fetched(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// headers are these headers of a request.
func headers(r *http.Request, names ...string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		out[n] = r.Header.Get(n)
	}
	return out
}

// credential is whose signature a request carries, and for which region.
func credential(r *http.Request) (id, region string) {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	if f := strings.Split(scope, "/"); len(f) == 5 && slices.Contains(f, "s3") {
		return f[0], f[2]
	}
	return "", ""
}
