package download

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"archiver/internal/fault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// newClient returns a client that is closed with the test; loopback is where
// the servers of these tests are, so most tests allow it.
func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func loopback(t testing.TB) *Client {
	t.Helper()
	return newClient(t, Options{AllowLoopback: true})
}

// serve starts a server that is closed with the test.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// raw starts a server that writes answer, whatever it is asked, and then
// hangs up.
func raw(t testing.TB, answer string) *httptest.Server {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString(strings.ReplaceAll(answer, "\n", "\r\n"))
		_ = buf.Flush()
		_ = conn.Close()
	})
}

// content is n bytes, no two neighbouring ones alike.
func content(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return string(b)
}

// fetch does a request and reads its body.
func fetch(t testing.TB, c *Client, r Request) (*Response, string, error) {
	t.Helper()
	resp, err := c.Get(t.Context(), r)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); closeErr != nil {
		t.Errorf("closing the body: %v", closeErr)
	}
	return resp, string(b), err
}

// wantKind checks that err is a fault of that kind.
func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	_ = faultOf(t, err, kind)
}

// faultOf checks that err is a fault of that kind, and returns it.
func faultOf(t testing.TB, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != kind {
		t.Fatalf("error %v (kind %q), want a fault of kind %q", err, fault.KindOf(err), kind)
	}
	return f
}

// wantText checks that err's text has all of parts.
func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

// partial answers 206 with the bytes that s holds of the range asked for.
func partial(w http.ResponseWriter, r *http.Request, s string) {
	var first, last int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n == 1 {
		last = len(s) - 1
	}
	last = min(last, len(s)-1)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(s)))
	w.Header().Set("Content-Length", fmt.Sprint(last-first+1))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = io.WriteString(w, s[first:last+1])
}
