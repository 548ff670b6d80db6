package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"archiver/internal/socket"
)

// asked makes one call to a server that answers as h does.
func asking(t *testing.T, h http.HandlerFunc, path string) error {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	a := &client{state: "state.db", http: &http.Client{Transport: &toServer{srv.Listener.Addr().String()}}}
	var out struct{ X int }
	return a.call(t.Context(), http.MethodGet, path, nil, nil, &out)
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, state, form, body string
		status, code            int
		want                    string
	}{
		{"fine", "state.db", "application/json", `{"X":1}`, 200, exitFine, ""},
		{"not tracked", "state.db", "application/problem+json", `{"title":"Not Found","status":404,"detail":"it is\nnot tracked","code":"not_found"}`, 404, exitFailed, "it is not tracked"},
		{"wrong usage", "state.db", "application/problem+json", `{"detail":"limit: 0"}`, 422, exitUsage, "limit: 0"},
		{"bad request", "state.db", "application/problem+json", `{"detail":"x"}`, 400, exitUsage, "x"},
		{"unresolved", "state.db", "application/problem+json", `{"detail":"x","code":"unresolved"}`, 409, exitAttention, "x"},
		{"no answer of the vendor", "state.db", "application/problem+json", `{"detail":"x"}`, 504, exitAttention, "x"},
		{"no detail", "state.db", "text/html", `<h1>oops`, 502, exitFailed, "502 Bad Gateway"},
		{"another state", "other.db", "application/json", `{"X":1}`, 200, exitFailed, `has "other.db" as its state`},
		{"no archiver", "", "text/html", "hello", 200, exitFailed, `has "" as its state`},
		{"half an answer", "state.db", "application/json", `{"X":`, 200, exitFailed, "gone away in the middle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := asking(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.state != "" {
					w.Header().Set(socket.StateHeader, c.state)
				}
				w.Header().Set("Content-Type", c.form)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}, "/stats")
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			tally := tally{c: &cli{stderr: io.Discard}}
			tally.add(err)
			if tally.code != c.code {
				t.Errorf("exit code %d, want %d", tally.code, c.code)
			}
		})
	}
}

// Whatever a recordId is, it is one element of the path.
func TestRecordingPath(t *testing.T) {
	for _, id := range []string{"a", ".", "..", "a/b", "../x", "%2F", "a b?c#d", "é"} {
		mux := http.NewServeMux()
		got := ""
		mux.HandleFunc("GET /api/v1/recordings/{tenant}/{record_id}", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(socket.StateHeader, "state.db")
			got = r.PathValue("record_id")
			_, _ = io.WriteString(w, "{}")
		})
		if err := asking(t, mux.ServeHTTP, recordingPath("acme", id)); err != nil || got != id {
			t.Errorf("%q arrived as %q: %v", id, got, err)
		}
	}
}

// An archiver that goes away before or in its answer is told from one that
// refuses.
func TestGoneAway(t *testing.T) {
	err := asking(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "/stats")
	if err == nil || !strings.HasPrefix(err.Error(), "the running archiver has gone away in the middle: ") || strings.Contains(err.Error(), "localhost") {
		t.Error(err)
	}
}

func TestPipes(t *testing.T) {
	p := newPipes()
	go func() {
		c, err := p.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	}()
	c, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	_ = p.Close()
	_ = p.Close()
	if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := p.dial(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
