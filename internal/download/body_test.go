package download

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"archiver/internal/fault"
)

// size is a small file with an odd length.
const size = 1009

func TestRanges(t *testing.T) {
	file := content(size)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		http.ServeContent(w, r, "a.mp4", time.Time{}, strings.NewReader(file))
	})
	c := loopback(t)
	first, err := c.Stat(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 1, size / 2, size - 1} {
		for _, length := range []int64{1, 2, size - 1, size, size + 1, -1} {
			r := Request{URL: s.URL, Offset: offset, Length: length, Pin: &first.Version}
			resp, got, err := fetch(t, c, r)
			if err != nil {
				t.Errorf("%d+%d: %v", offset, length, err)
				continue
			}
			end := int64(size)
			if length > 0 {
				end = min(end, offset+length)
			}
			if got != file[offset:end] {
				t.Errorf("%d+%d: wrong bytes, %d of them", offset, length, len(got))
			}
			if resp.Ranged != (offset > 0 || length > 0) || resp.Offset != offset || resp.Version != first.Version {
				t.Errorf("%d+%d: ranged %v, offset %d, version %+v", offset, length, resp.Ranged, resp.Offset, resp.Version)
			}
		}
	}
	_, _, err = fetch(t, c, Request{URL: s.URL, Offset: size, Length: 1, Pin: &first.Version})
	wantKind(t, err, fault.Changed)
}

// Lengths around the read buffer, by content length and chunked.
func TestWholeBodies(t *testing.T) {
	c := loopback(t)
	for _, n := range []int{0, 1, readBuffer - 1, readBuffer, readBuffer + 1, 2*readBuffer + 1} {
		file := content(n)
		for _, chunked := range []bool{false, true} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", fmt.Sprint(n))
				} else {
					w.WriteHeader(http.StatusOK)
					w.(http.Flusher).Flush()
				}
				_, _ = io.WriteString(w, file)
			})
			resp, got, err := fetch(t, c, Request{URL: s.URL, Whole: true})
			if err != nil || got != file {
				t.Errorf("%d bytes, chunked %v: %d bytes, %v", n, chunked, len(got), err)
				continue
			}
			want := int64(n)
			if chunked {
				want = -1
			}
			if resp.Version.Length != want || resp.Ranged || resp.Offset != 0 {
				t.Errorf("%d bytes, chunked %v: %+v", n, chunked, resp)
			}
		}
	}
}

func TestBodyIsAReader(t *testing.T) {
	file := content(size)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { partial(w, r, file) })
	resp, err := loopback(t).Get(t.Context(), Request{URL: s.URL, Offset: 1, Length: size - 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := iotest.TestReader(resp.Body, []byte(file[1:])); err != nil {
		t.Error(err)
	}
}

func TestIgnoredRange(t *testing.T) {
	file := content(size)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, file) })
	for _, offset := range []int64{0, 100} {
		resp, got, err := fetch(t, loopback(t), Request{URL: s.URL, Offset: offset, Length: 10})
		if err != nil || got != file {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if resp.Ranged || resp.Offset != 0 || resp.Version.Length != size {
			t.Errorf("%+v", resp)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	var ranges []string
	note := func(r *http.Request) { ranges = append(ranges, r.Header.Get("Range")) }
	tests := map[string]struct {
		h    http.HandlerFunc
		etag string
		asks int
	}{
		"416, then 200": {func(w http.ResponseWriter, r *http.Request) {
			note(r)
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes */0")
				http.Error(w, "no such range", http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Header().Set("ETag", `"e"`)
		}, `"e"`, 2},
		"416 without a total": {func(w http.ResponseWriter, r *http.Request) {
			note(r)
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Header().Set("ETag", `"e"`)
		}, `"e"`, 2},
		"416 always": {func(w http.ResponseWriter, r *http.Request) {
			note(r)
			w.Header().Set("Content-Range", "bytes */0")
			http.Error(w, "no such range", http.StatusRequestedRangeNotSatisfiable)
		}, "", 2},
		"200": {func(w http.ResponseWriter, r *http.Request) {
			note(r)
			w.Header().Set("ETag", `"e"`)
		}, `"e"`, 1},
	}
	c := loopback(t)
	for name, tt := range tests {
		s := serve(t, tt.h)
		ranges = nil
		resp, got, err := fetch(t, c, Request{URL: s.URL, Length: 100})
		if err != nil || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		if resp.Version.Length != 0 || resp.Version.ETag != tt.etag || resp.Ranged || len(ranges) != tt.asks {
			t.Errorf("%s: %+v after the ranges %q", name, resp, ranges)
		}
		info, err := c.Stat(t.Context(), s.URL)
		if err != nil || info.Version != resp.Version {
			t.Errorf("%s: Stat: %+v, %v", name, info, err)
		}
	}
	never := raw(t, "HTTP/1.1 416 Range Not Satisfiable\nContent-Length: 0\n\n")
	_, err := c.Stat(t.Context(), never.URL)
	wantKind(t, err, fault.Changed)
}

func TestBodiesThatEndWrongly(t *testing.T) {
	const p = "HTTP/1.1 206 Partial Content\nETag: \"a\"\nContent-Range: bytes 0-4/9\n"
	const chunked = "Transfer-Encoding: chunked\n\n"
	tests := map[string]struct {
		answer string
		got    string
		kind   fault.Kind // "" is a good end
		early  bool
	}{
		"cut":                {p + "Content-Length: 5\n\n012", "012", fault.Temporary, true},
		"cut at once":        {p + "Content-Length: 5\n\n", "", fault.Temporary, true},
		"chunked, exact":     {p + chunked + "5\n01234\n0\n\n", "01234", "", false},
		"chunked, short":     {p + chunked + "3\n012\n0\n\n", "012", fault.Temporary, true},
		"chunked, cut":       {p + chunked + "5\n012", "012", fault.Temporary, true},
		"chunked, no end":    {p + chunked + "5\n01234\n", "01234", fault.Temporary, true},
		"chunked, long":      {p + chunked + "6\n012345\n0\n\n", "01234", fault.Corrupt, false},
		"chunked, much":      {p + chunked + "5\n01234\n4\nabcd\n0\n\n", "01234", fault.Corrupt, false},
		"chunked, nonsense":  {p + chunked + "5\n01234\nxyz\n", "01234", fault.Temporary, false},
		"close, exact":       {p + "Connection: close\n\n01234", "01234", "", false},
		"close, short":       {p + "Connection: close\n\n0123", "0123", fault.Temporary, true},
		"close, long":        {p + "Connection: close\n\n012345", "01234", fault.Corrupt, false},
		"more than asked":    {strings.Replace(p, "0-4/9", "0-7/9", 1) + "Content-Length: 8\n\n01234567", "01234", "", false},
		"200, unknown, fits": {"HTTP/1.1 200 OK\nConnection: close\n\n01234567", "01234567", "", false},
		"200, unknown, long": {"HTTP/1.1 200 OK\nConnection: close\n\n012345678", "01234567", fault.Rejected, false},
		"200, chunked, fits": {"HTTP/1.1 200 OK\n" + chunked + "8\n01234567\n0\n\n", "01234567", "", false},
		"200, chunked, cut":  {"HTTP/1.1 200 OK\n" + chunked + "8\n0123", "0123", fault.Temporary, true},
		"200, chunked, long": {"HTTP/1.1 200 OK\n" + chunked + "9\n012345678\n0\n\n", "01234567", fault.Rejected, false},
		"200, declared":      {"HTTP/1.1 200 OK\nContent-Length: 9\n\n012345678", "012345678", "", false},
	}
	c := newClient(t, Options{AllowLoopback: true, MaxFileSize: 8})
	for name, tt := range tests {
		for _, buffer := range []int{1, 5, 64} {
			resp, err := c.Get(t.Context(), Request{URL: raw(t, tt.answer).URL, Length: 5})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// A plain loop: io.Copy and friends would hide how Read behaves.
			var got []byte
			p := make([]byte, buffer)
			var n int
			for err == nil {
				n, err = resp.Body.Read(p)
				got = append(got, p[:n]...)
			}
			if string(got) != tt.got {
				t.Errorf("%s, buffer %d: got %q, want %q", name, buffer, got, tt.got)
			}
			if tt.kind == "" {
				if err != io.EOF { //nolint:errorlint // io.EOF itself is what io.Reader promises
					t.Errorf("%s, buffer %d: ends with %v", name, buffer, err)
				}
			} else if wantKind(t, err, tt.kind); errors.Is(err, io.ErrUnexpectedEOF) != tt.early {
				t.Errorf("%s, buffer %d: %v; ended early: want %v", name, buffer, err, tt.early)
			}
			if n, again := resp.Body.Read(p); n != 0 || !errors.Is(again, err) {
				t.Errorf("%s: read after the end: %d, %v", name, n, again)
			}
			_ = resp.Body.Close()
		}
	}
}

// Reading exactly what was declared must be enough to see that more came.
func TestVerdictComesWithTheLastByte(t *testing.T) {
	s := raw(t, "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-4/9\nTransfer-Encoding: chunked\n\n6\n012345\n0\n\n")
	resp, err := loopback(t).Get(t.Context(), Request{URL: s.URL, Length: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := resp.Body.Read(make([]byte, 5))
	if n != 5 || fault.KindOf(err) != fault.Corrupt {
		t.Errorf("%d, %v", n, err)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	file := content(size)
	conns := map[string]bool{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conns[r.RemoteAddr] = true
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/a", http.StatusFound)
		case "/gone":
			http.Error(w, "gone", http.StatusGone)
		default:
			partial(w, r, file)
		}
	})
	c := loopback(t)
	for i := range int64(5) {
		resp, err := c.Get(t.Context(), Request{URL: s.URL + "/moved", Offset: i, Length: 100})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if _, err := c.Stat(t.Context(), s.URL); err != nil {
			t.Fatal(err)
		}
		_, err = c.Get(t.Context(), Request{URL: s.URL + "/gone", Length: 1})
		wantKind(t, err, fault.LinkExpired)
	}
	if len(conns) != 1 {
		t.Errorf("%d connections, want 1", len(conns))
	}
}

func TestTLS(t *testing.T) {
	file := content(size)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoken to in %s", r.Proto)
		}
		switch r.URL.Path {
		case "/down":
			http.Redirect(w, r, "http://"+r.Host+"/a?topsecret", http.StatusFound)
		case "/up":
			http.Redirect(w, r, "/a", http.StatusFound)
		default:
			partial(w, r, file)
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{AllowLoopback: true, CAFile: ca})
	plain := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.URL+"/up", http.StatusFound)
	})
	_, got, err := fetch(t, c, Request{URL: plain.URL, Offset: 1, Length: size})
	if err != nil || got != file[1:] {
		t.Errorf("from http to https: %d bytes, %v", len(got), err)
	}
	_, _, err = fetch(t, c, Request{URL: s.URL + "/down", Length: 1})
	wantText(t, faultOf(t, err, fault.Forbidden), "from https to http")
	if strings.Contains(err.Error(), "topsecret") {
		t.Errorf("%q tells too much", err)
	}
	_, _, err = fetch(t, loopback(t), Request{URL: s.URL + "/?topsecret", Length: 1})
	if f := faultOf(t, err, fault.Temporary); !strings.Contains(f.Hint, "ca_file") {
		t.Errorf("the hint %q does not name ca_file", f.Hint)
	}
}
