package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"archiver/internal/apitype"
	"archiver/internal/state"
	"archiver/internal/web"
)

// served is a server that a test ends by itself.
type served struct {
	at   string
	end  context.CancelFunc
	done chan error
}

func serveFor(t *testing.T, h http.HandlerFunc, log *zap.Logger, grace time.Duration) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{at: l.Addr().String(), end: cancel, done: make(chan error, 1)}
	go func() { s.done <- web.ServeFor(ctx, l, h, log, grace) }()
	t.Cleanup(cancel)
	return s
}

func dialed(t *testing.T, address, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

const plainGet = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	in, out := make(chan struct{}), make(chan struct{})
	s := serveFor(t, func(w http.ResponseWriter, r *http.Request) {
		close(in)
		<-out
		if r.Context().Err() != nil {
			t.Error("its context ended though it had time")
		}
		_, _ = io.WriteString(w, "whole")
	}, zap.NewNop(), time.Hour)
	_, r := dialed(t, s.at, plainGet)
	<-in
	s.end()
	select {
	case err := <-s.done:
		t.Fatalf("ended with a handler running: %v", err)
	default:
	}
	close(out)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "whole" {
		t.Errorf("%q %v", b, err)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

// TestShutdownCuts a handler that would go on, even one whose body nobody reads,
// so that net/http does not see its connection end.
func TestShutdownCuts(t *testing.T) {
	t.Parallel()
	for _, request := range []string{plainGet, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"} {
		in, ended := make(chan struct{}), make(chan struct{})
		s := serveFor(t, func(_ http.ResponseWriter, r *http.Request) {
			close(in)
			<-r.Context().Done()
			close(ended)
		}, zap.NewNop(), time.Millisecond)
		dialed(t, s.at, request)
		<-in
		s.end()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
		default:
			t.Error("returned with a handler running")
		}
	}
}

type failing struct{ net.Listener }

var errAccept = errors.New("no more")

func (failing) Accept() (net.Conn, error) { return nil, errAccept }

func TestListenerFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := web.Serve(t.Context(), failing{l}, http.NotFoundHandler(), zap.NewNop()); !errors.Is(err, errAccept) {
		t.Errorf("%v", err)
	}
}

func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.ErrorLevel)
	s := serveFor(t, func(http.ResponseWriter, *http.Request) { panic("a fault of ours") }, zap.New(core), time.Hour)
	_, r := dialed(t, s.at, plainGet)
	if resp, err := http.ReadResponse(r, nil); err == nil {
		resp.Body.Close()
		t.Errorf("an answer: %s", resp.Status)
	}
	s.end()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	if n := logs.FilterField(zap.Any("panic", "a fault of ours")).Len(); n != 1 {
		t.Errorf("%v", logs.All())
	}
}

func stalling(d time.Duration) func(*web.API) { return func(a *web.API) { a.SetStall(d) } }

// TestClientStopsReading: its handler ends all the same.
func TestClientStopsReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stalling(50*time.Millisecond))
	left := make(chan error, 1)
	w.ports.backfill = func(_ context.Context, _ []state.Key, _ time.Duration, progress func(apitype.Progress) error) (apitype.Summary, error) {
		for {
			if err := progress(apitype.Progress{InFlight: []apitype.InFlight{{Filename: strings.Repeat("x", 1<<16)}}}); err != nil {
				left <- err
				return apitype.Summary{}, err
			}
		}
	}
	dialed(t, w.tcp, "POST /api/v1/backfill?all=true HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if err := <-left; err == nil {
		t.Error("it ended without an error")
	}
}

// TestBodyNeverComes: whoever announces a body and sends none gets an answer,
// and its connection ends; also where nobody reads the body, or who it is was
// never shown.
func TestBodyNeverComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stalling(400*time.Millisecond))
	for _, c := range []struct {
		call, host string
		want       int
	}{
		{"POST /api/v1/recordings", "localhost", 400},
		{"POST /api/v1/backfill", "localhost", 400},
		{"POST /api/v1/recordings/acme/r/retry", "localhost", 404},
		{"POST /nothing", "localhost", 404},
		{"POST /api/v1/recordings", "evil.example", 421},
	} {
		_, r := dialed(t, w.tcp, c.call+" HTTP/1.1\r\nHost: "+c.host+"\r\nContent-Length: 500\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.call, err)
		}
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.call, resp.Status, c.want)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%s: %v", c.call, err)
		}
		resp.Body.Close()
		if _, err := r.ReadByte(); err == nil {
			t.Errorf("%s: the connection goes on", c.call)
		}
	}
}

// TestLongAnswer outlasts the deadlines of the body that was read before it.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	const stall = 20 * time.Millisecond
	w := newWorld(t, stalling(stall))
	w.ports.backfill = func(ctx context.Context, _ []state.Key, _ time.Duration, _ func(apitype.Progress) error) (apitype.Summary, error) {
		select {
		case <-ctx.Done():
			return apitype.Summary{}, ctx.Err()
		case <-time.After(5 * stall):
			return apitype.Summary{Recordings: map[string]int{}, Attention: []apitype.Attention{}}, nil
		}
	}
	for _, query := range []string{"", "?all=true"} {
		body := `"a"`
		if query != "" {
			body = ""
		}
		if lines := told(t, w.ask("POST", "/api/v1/backfill"+query, body)); lines[len(lines)-1].Summary == nil {
			t.Errorf("%q: %+v", query, lines)
		}
	}
}

// TestConnectionIsUsedAgain after the write deadline of the answer before,
// for an answer without a body, which no handler writes.
func TestConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	const stall = 20 * time.Millisecond
	w := newWorld(t, stalling(stall))
	w.track(state.Key{Tenant: "acme", RecordID: "r"})
	conn, r := dialed(t, w.tcp, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for _, want := range []int{200, 204} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
			t.Errorf("%s %v, want %d", resp.Status, err, want)
		}
		resp.Body.Close()
		<-time.After(3 * stall) // its deadline is over
		if _, err := io.WriteString(conn, "DELETE /api/v1/recordings/acme/r HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
}
