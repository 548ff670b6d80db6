package web_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

func TestContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const text = "0123456789"
	w.archive(state.Key{Tenant: "acme", RecordID: "r"}, "f", text)
	path, tag := at("r")+"/files/f/content", `"`+sum(text)+`"`
	for _, c := range []struct {
		rng, cond string
		status    int
		body, at  string
	}{
		{"", "", 200, text, ""},
		{"bytes=0-0", "", 206, "0", "bytes 0-0/10"},
		{"Bytes=0-0", "", 206, "0", "bytes 0-0/10"},
		{"bytes=9-9", "", 206, "9", "bytes 9-9/10"},
		{"bytes=9-", "", 206, "9", "bytes 9-9/10"},
		{"bytes=0-", "", 206, text, "bytes 0-9/10"},
		{"bytes=3-99", "", 206, "3456789", "bytes 3-9/10"},
		{"bytes=-1", "", 206, "9", "bytes 9-9/10"},
		{"bytes=-99", "", 206, text, "bytes 0-9/10"},
		{"bytes=10-", "", 416, "", "bytes */10"},
		{"bytes=-0", "", 416, "", "bytes */10"},
		{"bytes=5-4", "", 200, text, ""},
		{"bytes=0-1,3-4", "", 200, text, ""},
		{"bytes=x", "", 200, text, ""},
		{"lines=0-1", "", 200, text, ""},
		{"bytes=0-1", tag, 206, "01", "bytes 0-1/10"},
		{"bytes=0-1", `"other"`, 200, text, ""},
		{"bytes=0-1", "W/" + tag, 200, text, ""},
		{"bytes=10-", `"other"`, 200, text, ""},
	} {
		with := []string{}
		for name, v := range map[string]string{"Range": c.rng, "If-Range": c.cond} {
			if v != "" {
				with = append(with, name+": "+v)
			}
		}
		a := w.ask("GET", path, "", with...)
		if a.status != c.status || a.header.Get("Content-Range") != c.at || c.status != 416 && (a.body != c.body || a.header.Get("ETag") != tag) {
			t.Errorf("%+v: %d %s %q %v", c, a.status, a.header.Get("Content-Range"), a.body, a.header)
		}
		if c.status == 416 {
			a.wants(t, 416, "range")
		}
	}
	a := w.ask("HEAD", path, "", "Range: bytes=0-1")
	if a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "10" || a.header.Get("Accept-Ranges") != "bytes" ||
		a.header.Get("Content-Disposition") != `attachment; filename="a b.mp4"` {
		t.Errorf("HEAD: %d %q %v", a.status, a.body, a.header)
	}
	w.ask("GET", at("r")+"/files/other/content", "").wants(t, 404, "no_such_file")
	w.ask("GET", at("r")+"/files/other/link", "").wants(t, 404, "no_such_file")
}

func TestContentOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive(state.Key{Tenant: "acme", RecordID: "r"}, "f", "")
	if a := w.ask("GET", at("r")+"/files/f/content", ""); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "0" {
		t.Errorf("%d %q %v", a.status, a.body, a.header)
	}
	w.ask("GET", at("r")+"/files/f/content", "", "Range: bytes=0-").wants(t, 416, "range")
}

// TestContentFails: what can still be told is told; what can't breaks the
// connection, so that a part is never taken for the whole.
func TestContentFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, k := strings.Repeat("x", 1<<20), state.Key{Tenant: "acme", RecordID: "r"}
	w.archive(k, "f", text)
	path := at("r") + "/files/f/content"
	w.set(func(p *ports) { p.failAt = 0 })
	a := w.ask("GET", path, "")
	a.wants(t, 503, "temporary")
	if a.header.Get("ETag") != "" || a.header.Get("Content-Disposition") != "" {
		t.Errorf("a problem has the object's headers: %v", a.header)
	}
	w.set(func(p *ports) { p.failAt = 700_000 })
	if a := w.ask("GET", path, ""); a.status != 200 || a.err == nil || len(a.body) > 700_000 {
		t.Errorf("failed in the middle: %d %v after %d bytes", a.status, a.err, len(a.body))
	}
	w.set(func(p *ports) { p.failAt, p.objects[state.FileRef{Key: k, FileID: "f"}] = -1, []byte(text[:600_000]) })
	if a := w.ask("GET", path, ""); a.status != 200 || a.err == nil {
		t.Errorf("an object that is too short: %d %v after %d bytes", a.status, a.err, len(a.body))
	}
	w.set(func(p *ports) { p.objects[state.FileRef{Key: k, FileID: "f"}] = nil })
	if a := w.ask("GET", path, ""); a.status != 500 {
		t.Errorf("an object without a byte: %d", a.status)
	}
	w.set(func(p *ports) { clear(p.objects) })
	w.ask("GET", path, "").wants(t, 404, "not_found")
}

func TestLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive(state.Key{Tenant: "acme", RecordID: "r"}, "f", "x")
	for ttl, want := range map[string]time.Duration{"": time.Hour, "1s": time.Second, "168h": 168 * time.Hour, "1h30m": 90 * time.Minute} {
		before := time.Now()
		l := into[apitype.Link](t, w.ask("GET", at("r")+"/files/f/link?ttl="+ttl, ""))
		if l.ExpiresAt.Before(before.Add(want)) || l.ExpiresAt.After(time.Now().Add(want)) {
			t.Errorf("ttl %q: until %v", ttl, l.ExpiresAt)
		}
	}
	for _, ttl := range []string{"0s", "999ms", "-1h", "168h0m1s", "x", "1", "9999999h"} {
		w.ask("GET", at("r")+"/files/f/link?ttl="+ttl, "").wants(t, 422, "invalid")
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 50 {
		w.track(state.Key{Tenant: "acme", RecordID: fmt.Sprint(i)})
	}
	a := w.ask("GET", "/api/v1/state/backup", "")
	if a.status != 200 || a.err != nil {
		t.Fatalf("%d %v", a.status, a.err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := writeFile(path, a.body); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(t.Context(), path, bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
	totals, err := s.Totals(t.Context())
	if err != nil || totals["acme"].Recordings[state.Waiting] != 50 {
		t.Errorf("%v %v", totals, err)
	}
	_, r := dialed(t, w.tcp, "GET /api/v1/state/backup HTTP/1.0\r\nHost: localhost\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusHTTPVersionNotSupported {
		t.Errorf("HTTP/1.0: %s", resp.Status)
	}
}
