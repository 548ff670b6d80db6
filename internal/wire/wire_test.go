package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

const mib = 1 << 20

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// content is n bytes that don't repeat.
func content(n int) []byte {
	out := make([]byte, n)
	x := uint32(n)*2654435761 + 1
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = byte(x)
	}
	return out
}

// serve starts a server of h, plain or TLS, that is closed with the test.
func serve(t testing.TB, secured bool, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if secured {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// trust makes a server's certificate the only one that is trusted.
func trust(s *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	if c := s.Certificate(); c != nil {
		pool.AddCert(c)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// counted counts the calls of a connection beneath.
type counted struct {
	net.Conn
	writes *atomic.Int32
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// rig is a transport over this package's connections.
type rig struct {
	*http.Transport
	dials, writes atomic.Int32
}

func newRig(t testing.TB, s *httptest.Server) *rig {
	t.Helper()
	r := &rig{}
	d := Dialer{TLS: trust(s), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		r.dials.Add(1)
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return counted{c, &r.writes}, err
	}}
	r.Transport = &http.Transport{DialContext: d.DialContext, DialTLSContext: d.DialTLSContext}
	t.Cleanup(r.CloseIdleConnections)
	return r
}

// both runs a test over plain connections and over TLS.
func both(t *testing.T, test func(t *testing.T, secured bool)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("TLS", func(t *testing.T) { test(t, true) })
}

// closes counts.
type closes struct{ n atomic.Int32 }

func (c *closes) Close() error {
	c.n.Add(1)
	return nil
}

// put sends p with the given body, and drains the answer.
func (r *rig) put(t testing.TB, url string, size int, body io.ReadCloser) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(size)
	resp, err := r.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// TestBodiesArrive sends what lies in memory and what does not, and looks at
// how it was written.
func TestBodiesArrive(t *testing.T) {
	both(t, func(t *testing.T, secured bool) {
		var mu sync.Mutex
		var got []byte
		s := serve(t, secured, func(_ http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			got = b
			mu.Unlock()
		})
		r := newRig(t, s)
		for _, size := range []int{1, oneRecord, gathered, piece - 1, piece, piece + 1, 8*mib + 3} {
			for _, lies := range []bool{true, false} {
				want := content(size)
				var other closes
				var body io.ReadCloser = NewBody(want, &other)
				if !lies {
					body = struct {
						io.Reader
						io.Closer
					}{bytes.NewBuffer(bytes.Clone(want)), &other}
				}
				r.writes.Store(0)
				status, err := r.put(t, s.URL, size, body)
				if b, ok := body.(*Body); ok {
					b.Release()
				}
				mu.Lock()
				same := bytes.Equal(got, want)
				mu.Unlock()
				if err != nil || status != http.StatusOK || !same || other.n.Load() != 1 {
					t.Errorf("%d bytes, in memory %v: %d, %v, the same %v, closed %d times", size, lies, status, err, same, other.n.Load())
				}
				most := 4 + size/piece
				if secured {
					most = 4 + size/gathered
				}
				if n := int(r.writes.Load()); lies && n > most {
					t.Errorf("%d bytes in %d writes, at most %d were due", size, n, most)
				}
			}
		}
		if n := r.dials.Load(); n != 1 {
			t.Errorf("%d connections: they are not used again", n)
		}
	})
}

// TestReleaseEndsTheLending: an answer comes while the body is still on its
// way. What is lent is written over at once, which -race sees if anybody still
// reads it.
func TestReleaseEndsTheLending(t *testing.T) {
	both(t, func(t *testing.T, secured bool) {
		s := serve(t, secured, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		r := newRig(t, s)
		p := content(64 * mib)
		for range 3 {
			b := NewBody(p, nil)
			// The server hangs up; whether the answer is seen before that is luck.
			if status, err := r.put(t, s.URL, len(p), b); err == nil && status != http.StatusForbidden {
				t.Errorf("status %d", status)
			}
			b.Release()
			clear(p)
			if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errReleased) {
				t.Errorf("read after Release: %d, %v", n, err)
			}
			b.Release()
		}
	})
}

// TestReleaseCutsAWrite: the other side takes nothing more, and says nothing.
func TestReleaseCutsAWrite(t *testing.T) {
	both(t, func(t *testing.T, secured bool) {
		arrived, done := make(chan struct{}), make(chan struct{})
		s := serve(t, secured, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 1))
			close(arrived)
			<-done
		})
		defer close(done)
		r := newRig(t, s)
		p := content(64 * mib)
		b := NewBody(p, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.URL, b)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = int64(len(p))
		resp, err := r.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		b.Release()
		clear(p)
	})
}

// TestBodyIsAReader is for the connections of a proxy, which only read.
func TestBodyIsAReader(t *testing.T) {
	want := content(100_000)
	b := NewBody(want, nil)
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
