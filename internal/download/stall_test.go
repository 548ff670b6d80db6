package download

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"archiver/internal/fault"
)

func TestCancel(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("01"))
			w.(http.Flusher).Flush()
		}
		<-release
	})
	t.Cleanup(func() { close(release) })
	c := loopback(t)
	why := errors.New("shutting down")

	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
	_, err := c.Get(ctx, Request{URL: s.URL + "/header", Whole: true})
	wantKind(t, err, fault.Canceled)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("%v hides who cancelled", err)
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	resp, err := c.Get(ctx, Request{URL: s.URL + "/body", Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { cancel(nil) })
	_, err = io.ReadAll(resp.Body)
	wantKind(t, err, fault.Canceled)
	_ = resp.Body.Close()

	expired, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	_, err = c.Get(expired, Request{URL: s.URL + "/header", Whole: true})
	wantKind(t, err, fault.Canceled)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a deadline", err)
	}
}

func TestNoHeaderIsTemporary(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	c := newClient(t, Options{AllowLoopback: true, StallTimeout: 50 * time.Millisecond})
	_, err := c.Get(t.Context(), Request{URL: s.URL + "/?topsecret", Whole: true})
	wantText(t, faultOf(t, err, fault.Temporary), "timeout awaiting response headers")
}

// inBubble gives c an in-memory server that answers the first request's header
// and then does what script says.
func inBubble(t *testing.T, c *Client, script func(net.Conn)) {
	var servers sync.WaitGroup
	t.Cleanup(func() {
		c.Close()
		servers.Wait()
	})
	c.direct.DialContext = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		servers.Go(func() {
			defer func() { _ = server.Close() }()
			if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
				return
			}
			script(server)
		})
		return client, nil
	}
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{})
		inBubble(t, c, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0")
			// Slow, but not silent.
			for range 3 {
				<-time.After(59 * time.Second)
				_, _ = io.WriteString(conn, "x")
			}
			_, _ = conn.Read(make([]byte, 1)) // until the client hangs up
		})
		start := time.Now()
		_, got, err := fetch(t, c, Request{URL: "http://host/a?topsecret", Whole: true})
		wantText(t, faultOf(t, err, fault.Temporary), "no byte for 1m0s")
		if errors.Is(err, context.Canceled) {
			t.Error("the stall looks like a cancellation")
		}
		if passed := time.Since(start); got != "0xxx" || passed != (3*59+60)*time.Second {
			t.Errorf("%q after %s", got, passed)
		}
	})
}

func TestSlowReaderIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{})
		inBubble(t, c, func(conn net.Conn) {
			// A pipe does not buffer: each byte waits for the reader to come.
			for _, piece := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "0", "1", "2"} {
				_, _ = io.WriteString(conn, piece)
			}
			_, _ = conn.Read(make([]byte, 1))
		})
		resp, err := c.Get(t.Context(), Request{URL: "http://host/", Whole: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			<-time.After(time.Hour)
			if n, err := resp.Body.Read(make([]byte, 1)); n != 1 || (err != nil && !errors.Is(err, io.EOF)) {
				t.Fatalf("%d, %v", n, err)
			}
		}
		_ = resp.Body.Close()
	})
}

// An error page that never ends must not hold the request.
func TestStallInErrorPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{})
		inBubble(t, c, func(conn net.Conn) {
			_, err := io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 4000\r\n\r\n")
			for err == nil { // drip
				<-time.After(7 * time.Second)
				_, err = io.WriteString(conn, "y ")
			}
		})
		start := time.Now()
		_, err := c.Get(t.Context(), Request{URL: "http://host/", Whole: true})
		wantText(t, faultOf(t, err, fault.LinkExpired), "403 Forbidden: y y")
		if passed := time.Since(start); passed != time.Minute {
			t.Errorf("gave up after %s", passed)
		}
	})
}

// All declared bytes came, but not the end of the chunked body.
func TestStallAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{})
		inBubble(t, c, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-2/3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n")
			_, _ = conn.Read(make([]byte, 1))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		resp, err := c.Get(ctx, Request{URL: "http://host/", Length: 3})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		wantText(t, faultOf(t, err, fault.Temporary), "no byte for 1m0s")
		if string(got) != "012" {
			t.Errorf("got %q", got)
		}
		_ = resp.Body.Close()
	})
}

// Who did not answer is told from who refused, or broke off.
func TestUnanswered(t *testing.T) {
	gone := serve(t, func(http.ResponseWriter, *http.Request) {})
	gone.Close()
	dead := raw(t, "")
	refuses := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	breaks := raw(t, "HTTP/1.1 200 OK\nContent-Length: 10\n\n01")
	for name, c := range map[string]struct {
		url  string
		want bool
	}{
		"nobody listens": {gone.URL, true}, "hangs up": {dead.URL, true}, "503": {refuses.URL, false}, "breaks off": {breaks.URL, false},
		"refused by us": {"http://169.254.169.254/", false},
	} {
		_, _, err := fetch(t, loopback(t), Request{URL: c.url, Whole: true})
		if err == nil || Unanswered(err) != c.want {
			t.Errorf("%s: %v is taken for unanswered: %v", name, err, Unanswered(err))
		}
	}
}
