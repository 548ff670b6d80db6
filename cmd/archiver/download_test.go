package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/socket"
)

// archive is an archiver with one file, whose answers are cut off after a
// number of bytes each.
type archive struct {
	content []byte
	cut     []int // per answer; none left: whole
	asked   atomic.Int32
	ranges  bool
}

func (s *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(socket.StateHeader, "state.db")
	n := int(s.asked.Add(1)) - 1
	if !s.ranges {
		r.Header.Del("Range")
	}
	if n < len(s.cut) {
		w = &cutting{w, s.cut[n]}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
}

// cutting hangs up in the middle.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	if c.left < 0 { // not even a header
		panic(http.ErrAbortHandler)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// fetched downloads the archive's file as if sum had been archived.
func fetched(t *testing.T, s *archive, sum string) (path string, err error) {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	a := &client{state: "state.db", http: &http.Client{Transport: &toServer{srv.Listener.Addr().String()}}}
	d := download{a: a, pause: time.Microsecond, path: filepath.Join(t.TempDir(), "a.mp4"), w: wantedFile{
		tenant: "acme", recordID: "one",
		FileDetail: apitype.FileDetail{File: apitype.File{FileID: "f", Size: int64(len(s.content)), SHA256: sum}},
	}}
	_, err = d.run(t.Context(), nil)
	return d.path, err
}

// toServer sends every request to one address.
type toServer struct{ addr string }

func (s *toServer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = s.addr
	return http.DefaultTransport.RoundTrip(r)
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestDownloadGoesOn(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, c := range []struct {
		name   string
		cut    []int
		ranges bool
		asked  int32
	}{
		{"whole", nil, true, 1},
		{"broken twice", []int{400_000, 300_000}, true, 3},
		{"broken in the last byte", []int{999_999}, true, 2},
		{"without ranges it starts over", []int{400_000}, false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &archive{content: content, cut: c.cut, ranges: c.ranges}
			path, err := fetched(t, s, sumOf(content))
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes differ from what was archived: %v", len(got), err)
			}
			if n := s.asked.Load(); n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
		})
	}
}

// What does not match, or never comes whole, leaves nothing behind.
func TestDownloadLeavesNothing(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 1000)
	for _, c := range []struct {
		name string
		s    *archive
		sum  string
		want string
		code int
	}{
		{"other bytes", &archive{content: content, ranges: true}, sumOf([]byte("x")), "nothing was left here", exitAttention},
		{"never whole", &archive{content: content, ranges: true, cut: []int{5000, 0, 0, 0, 0, 0}}, sumOf(content), "gave ended after 4.9 KiB (5000 bytes), and 9.8 KiB (10000 bytes) were archived: ", exitAttention},
		{"nothing at all", &archive{content: content, ranges: true, cut: []int{0, 0, 0, 0, 0, 0}}, sumOf(content), "archiver verify --deep", exitAttention},
		{"no answer", &archive{content: content, ranges: true, cut: []int{-1, -1, -1, -1, -1, -1}}, sumOf(content), "gave ended after 0 B", exitAttention},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, err := fetched(t, c.s, c.sum)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			tally := tally{c: &cli{stderr: &bytes.Buffer{}}}
			tally.add(err)
			if tally.code != c.code {
				t.Errorf("exit code %d, want %d", tally.code, c.code)
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
