package vendorsim_test

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
)

func TestLinkMustComeBackAsIssued(t *testing.T) {
	w := newWorld(t, vendorsim.Options{LinkTTL: time.Hour})
	w.add("r1", content.Generate(1, 1000))
	raw, escaped := 0, 0
	for range 30 {
		link := w.url("r1")
		_, query, _ := strings.Cut(link, "?sign=")
		if strings.Contains(query, "%") {
			escaped++
		} else if strings.ContainsAny(query, "+/") {
			raw++
		}
		if g := w.must(link); g.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", link, g.StatusCode, g.body)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		again := *u
		again.RawQuery = u.Query().Encode() // + has become a space: the classic mistake
		if again.RawQuery != u.RawQuery {
			if g := w.must(again.String()); g.StatusCode != http.StatusForbidden || !bytes.Contains(g.body, []byte("<Code>")) {
				t.Errorf("re-encoded %s: %d %s", again.RawQuery, g.StatusCode, g.body)
			}
		}
		again.RawQuery, again.Path = u.RawQuery, "/2019-05-31/other.mp4"
		if g := w.must(again.String()); g.StatusCode != http.StatusForbidden {
			t.Errorf("another path under the same signature: %d", g.StatusCode)
		}
	}
	if raw == 0 || escaped == 0 {
		t.Errorf("%d raw and %d escaped links: want both", raw, escaped)
	}
	for _, bad := range []string{"", "?sign=", "?sign=%zz", "?sign=AAAA", "?x=1"} {
		if g := w.must(w.DownloadURL() + "/2019-05-31/1866_094309.mp4" + bad); g.StatusCode != http.StatusForbidden {
			t.Errorf("query %q: %d", bad, g.StatusCode)
		}
	}
}

func TestLinkExpires(t *testing.T) {
	w := newWorld(t, vendorsim.Options{LinkTTL: time.Hour})
	w.add("r1", content.Generate(1, 1000))
	link := w.url("r1")
	w.clock.Advance(time.Hour - time.Second)
	if g := w.must(link); g.StatusCode != http.StatusOK {
		t.Errorf("a second before: %d", g.StatusCode)
	}
	w.clock.Advance(time.Second)
	if g := w.must(link); g.StatusCode != http.StatusForbidden || !bytes.Contains(g.body, []byte("expired")) || g.Header.Get("Content-Type") != "application/xml" {
		t.Errorf("expired: %d %s", g.StatusCode, g.body)
	}
	if g := w.must(w.url("r1")); g.StatusCode != http.StatusOK {
		t.Errorf("fresh: %d", g.StatusCode)
	}
	err := w.AddRecording(vendorsim.Recording{ID: "short", Tenant: "acme", LinkTTL: -1, Files: []vendorsim.File{{Start: start, Content: content.Generate(1, 5)}}})
	if err != nil {
		t.Fatal(err)
	}
	if g := w.must(w.url("short")); g.StatusCode != http.StatusForbidden {
		t.Errorf("born expired: %d", g.StatusCode)
	}
}

func TestDownloadHeaders(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	c := content.Generate(1, 3<<20+5)
	w.add("r1", c)
	all, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		t.Fatal(err)
	}
	g := w.must(w.url("r1"))
	if !bytes.Equal(g.body, all) {
		t.Error("the bytes differ")
	}
	crc := strconv.FormatUint(crc64.Checksum(all, crc64.MakeTable(crc64.ECMA)), 10)
	for name, want := range map[string]string{
		"Content-Type": "video/mp4", "Accept-Ranges": "bytes", "Content-Length": "3145733", "Last-Modified": "Fri, 31 May 2019 01:43:23 GMT",
		"X-Cos-Hash-Crc64ecma": crc, "Date": "Sat, 01 Jun 2019 01:43:09 GMT",
	} {
		if got := g.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if calls := w.CallsOf(vendorsim.Download); len(calls) != 1 || calls[0].Bytes != int64(len(all)) || calls[0].Status != 200 || calls[0].HasAuth || calls[0].RecordID != "r1" {
		t.Errorf("log %+v", calls)
	}
	head, err := w.do(http.MethodHead, w.url("r1"))
	if err != nil || head.StatusCode != http.StatusForbidden {
		t.Errorf("HEAD: %v %v", head.Response, err)
	}
	if post, err := w.do(http.MethodPost, w.url("r1")); err != nil || post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", post.Response, err)
	}
}

func TestRanges(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Bytes([]byte("0123456789")))
	tests := []struct {
		spec, body, contentRange string
		status                   int
	}{
		{"bytes=0-0", "0", "bytes 0-0/10", 206},
		{"bytes=3-5", "345", "bytes 3-5/10", 206},
		{"bytes=7-", "789", "bytes 7-9/10", 206},
		{"bytes=-2", "89", "bytes 8-9/10", 206},
		{"bytes=-20", "0123456789", "bytes 0-9/10", 206},
		{"bytes=5-99", "56789", "bytes 5-9/10", 206},
		{"bytes=10-", "", "bytes */10", 416},
		{"bytes=-0", "", "bytes */10", 416},
		{"bytes=5-3", "0123456789", "", 200},
		{"bytes=0-1,4-5", "0123456789", "", 200},
		{"lines=1-2", "0123456789", "", 200},
		{"bytes=a-b", "0123456789", "", 200},
	}
	for _, tt := range tests {
		g := w.must(w.url("r1"), "Range", tt.spec)
		if g.StatusCode != tt.status || g.Header.Get("Content-Range") != tt.contentRange || tt.status != 416 && string(g.body) != tt.body {
			t.Errorf("%s: %d %q %q", tt.spec, g.StatusCode, g.Header.Get("Content-Range"), g.body)
		}
	}
	w.add("empty", content.Bytes(nil))
	if g := w.must(w.url("empty"), "Range", "bytes=0-"); g.StatusCode != 416 {
		t.Errorf("range of nothing: %d", g.StatusCode)
	}
	if g := w.must(w.url("empty")); g.StatusCode != 200 || len(g.body) != 0 || g.Header.Get("Content-Length") != "0" {
		t.Errorf("nothing: %d %q", g.StatusCode, g.body)
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Bytes([]byte("0123456789")))
	etag := w.must(w.url("r1")).Header.Get("ETag")
	const before, at = "Fri, 31 May 2019 01:43:22 GMT", "Fri, 31 May 2019 01:43:23 GMT"
	for _, tt := range []struct {
		name, value string
		status      int
	}{
		{"If-Match", etag, 206},
		{"If-Match", "*", 206},
		{"If-Match", `"x", ` + etag, 206},
		{"If-Match", `"x"`, 412},
		{"If-Match", "W/" + etag, 206},
		{"If-Unmodified-Since", at, 206},
		{"If-Unmodified-Since", before, 412},
		{"If-None-Match", etag, 304},
		{"If-None-Match", `"x"`, 206},
		{"If-Modified-Since", at, 304},
		{"If-Modified-Since", before, 206},
		{"If-Range", etag, 206},
		{"If-Range", `"x"`, 200},
		{"If-Range", at, 206},
	} {
		if g := w.must(w.url("r1"), "Range", "bytes=1-2", tt.name, tt.value); g.StatusCode != tt.status {
			t.Errorf("%s: %s: %d, want %d", tt.name, tt.value, g.StatusCode, tt.status)
		}
	}
	if !w.ReplaceContent("r1", 0, content.Bytes([]byte("abcdefghij"))) {
		t.Fatal("not replaced")
	}
	if g := w.must(w.url("r1"), "If-Match", etag); g.StatusCode != 412 {
		t.Errorf("replaced, but %d", g.StatusCode)
	}
	if g := w.must(w.url("r1")); string(g.body) != "abcdefghij" || g.Header.Get("ETag") == etag {
		t.Errorf("replaced: %q %s", g.body, g.Header.Get("ETag"))
	}
}

func TestLargeFileCostsNothing(t *testing.T) {
	w := newWorld(t, vendorsim.Options{NoCRC64: true})
	c, err := content.MP4(9, 20<<30, content.Faststart)
	if err != nil {
		t.Fatal(err)
	}
	w.add("r1", c)
	g := w.must(w.url("r1"), "Range", fmt.Sprintf("bytes=%d-", int64(20<<30-1000)))
	want := make([]byte, 1000)
	if _, err := c.ReadAt(want, 20<<30-1000); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.body, want) || g.Header.Get("X-Cos-Hash-Crc64ecma") != "" {
		t.Errorf("%d bytes at the end of 20 GiB, header %v", len(g.body), g.Header)
	}
}
