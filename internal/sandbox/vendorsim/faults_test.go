package vendorsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
)

func TestFaultCounting(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Generate(1, 10))
	w.add("r2", content.Generate(2, 10))
	w.Inject(vendorsim.Fault{Call: "getRecords", Subject: "r1", After: 1, Times: 2, Do: vendorsim.Status{Code: 503, RetryAfter: 7 * time.Second}})
	for i, want := range []int{200, 503, 503, 200} {
		if status, _, _ := w.post("key-a", "getRecords", `{"recordId":"r1"}`); status != want {
			t.Errorf("call %d: %d, want %d", i, status, want)
		}
		if status, _, _ := w.post("key-a", "getRecords", `{"recordId":"r2"}`); status != 200 {
			t.Errorf("another recording: %d", status)
		}
	}
	if n := w.Counts()["getRecords"]; n != 8 {
		t.Errorf("counted %d calls", n)
	}
}

func TestAPIFaults(t *testing.T) {
	tests := map[string]struct {
		do     vendorsim.Action
		status int
		body   string // part of it
		fails  bool
	}{
		"500":              {do: vendorsim.Status{Code: 500}, status: 500, body: "Internal Server Error"},
		"429":              {do: vendorsim.Status{Code: 429, RetryAfter: time.Second}, status: 429},
		"envelope 403":     {do: vendorsim.Envelope{Code: "403"}, status: 200, body: `"code": "403"`},
		"html":             {do: vendorsim.HTML{}, status: 200, body: "<html>"},
		"reset":            {do: vendorsim.Reset{}, fails: true},
		"reply lost":       {do: vendorsim.Reset{AfterEffect: true}, fails: true},
		"truncated":        {do: vendorsim.Truncate{At: 9}, status: 200, fails: true},
		"truncated, lying": {do: vendorsim.Truncate{At: 9, Lying: true}, status: 200, body: "{\n    \"co"},
		"chunked":          {do: vendorsim.NoLength{}, status: 200, body: `"state": 1`},
		"slow":             {do: vendorsim.Slow{BytesPerSecond: 1 << 20}, status: 200, body: `"state": 1`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vendorsim.Options{})
			w.add("r1", content.Generate(1, 10))
			w.Inject(vendorsim.Fault{Call: "delRecordFile", Do: tt.do})
			status, body, err := w.post("key-a", "delRecordFile", `{"recordId":"r1"}`)
			if status != tt.status || !strings.Contains(body, tt.body) || (err != nil) != tt.fails {
				t.Errorf("%d %q %v", status, body, err)
			}
			truth, _ := w.Recording("r1")
			deleted := strings.HasPrefix(name, "trunc") || name == "reply lost" || name == "chunked" || name == "slow"
			if truth.Deleted != deleted || w.Calls()[0].Effective != deleted {
				t.Errorf("deleted %t, want %t", truth.Deleted, deleted)
			}
		})
	}
}

func TestListingFaults(t *testing.T) {
	tests := map[string]struct {
		do   vendorsim.Action
		want string
	}{
		"size":    {vendorsim.WrongFileSize(json.Number("1.027797E6")), `"fileSize": 1.027797E6`},
		"times":   {vendorsim.WithoutMembers("startTime", "stopTime"), "!Time"},
		"extra":   {vendorsim.ExtraMembers(), `"cid": "a15f`},
		"numeric": {vendorsim.NumericIDs(), `"recordId": 4711`},
		"foreign": {vendorsim.ForeignIDs("x1", "x2"), `"recordId": "x1"`},
		"none":    {vendorsim.EditItems(func([]vendorsim.Item) []vendorsim.Item { return nil }), "!downUrl"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vendorsim.Options{})
			w.add("4711", content.Generate(1, 10))
			w.Inject(vendorsim.Fault{Call: "getRecords", Times: 1, Do: tt.do})
			_, body, err := w.post("key-a", "getRecords", `{"recordId":"4711"}`)
			part, absent := strings.CutPrefix(tt.want, "!")
			if err != nil || strings.Contains(body, part) == absent {
				t.Errorf("%q, %v: want %s", body, err, tt.want)
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("no JSON: %s", body)
			}
		})
	}
}

// downloadFault is what becomes of a request for 200 of 1,000 bytes.
type downloadFault struct {
	do     vendorsim.Action
	status int
	n      int // bytes of the body, -1 for any
	cut    bool
	check  func(*got) error
}

func downloadFaults() map[string]downloadFault {
	const size = 1000
	head := func(name, want string) func(*got) error {
		return func(g *got) error {
			if h := g.Header.Get(name); h != want {
				return fmt.Errorf("%s: %q, want %q", name, h, want)
			}
			return nil
		}
	}
	return map[string]downloadFault{
		"403":               {do: vendorsim.Status{Code: 403}, status: 403, n: -1, check: head("Content-Type", "application/xml")},
		"404":               {do: vendorsim.Status{Code: 404}, status: 404, n: -1},
		"410":               {do: vendorsim.Status{Code: 410}, status: 410, n: -1},
		"429":               {do: vendorsim.Status{Code: 429, RetryAfter: 3 * time.Second}, status: 429, n: -1, check: head("Retry-After", "3")},
		"html":              {do: vendorsim.HTML{}, status: 200, n: -1, check: head("Content-Type", "text/html; charset=utf-8")},
		"truncated":         {do: vendorsim.Truncate{At: 50}, status: 206, n: 50, cut: true},
		"truncated, lying":  {do: vendorsim.Truncate{At: 50, Lying: true}, status: 206, n: 50, check: head("Content-Range", "bytes 100-299/1000")},
		"truncated, reset":  {do: vendorsim.Truncate{At: 50, Reset: true}, status: 206, n: -1, cut: true},
		"no length":         {do: vendorsim.NoLength{}, status: 206, n: 200, check: head("Content-Length", "")},
		"no ranges":         {do: vendorsim.NoRanges{}, status: 200, n: size, check: head("Accept-Ranges", "")},
		"no etag":           {do: vendorsim.Validators{NoETag: true, NoLastModified: true}, status: 206, n: 200, check: head("ETag", "")},
		"no last-modified":  {do: vendorsim.Validators{NoLastModified: true}, status: 206, n: 200, check: head("Last-Modified", "")},
		"beyond the range":  {do: vendorsim.Excess{Bytes: 7}, status: 206, n: 207, check: head("Content-Range", "bytes 100-299/1000")},
		"no crc":            {do: vendorsim.CRCHeader{}, status: 206, n: 200, check: head("X-Cos-Hash-Crc64ecma", "")},
		"wrong crc":         {do: vendorsim.CRCHeader{Value: "1"}, status: 206, n: 200, check: head("X-Cos-Hash-Crc64ecma", "1")},
		"redirect":          {do: vendorsim.Redirect{Base: "http://other:1"}, status: 302, n: 0},
		"permanent, itself": {do: vendorsim.Redirect{Status: 308}, status: 308, n: 0},
		"slow":              {do: vendorsim.Slow{BytesPerSecond: 1 << 20}, status: 206, n: 200},
		"weak etag": {do: vendorsim.Validators{WeakETag: true}, status: 206, n: 200, check: func(g *got) error {
			if !strings.HasPrefix(g.Header.Get("ETag"), `W/"`) {
				return errors.New("strong")
			}
			return nil
		}},
	}
}

func TestDownloadFaults(t *testing.T) {
	const size = 1000
	for name, tt := range downloadFaults() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vendorsim.Options{})
			w.add("r1", content.Generate(1, size))
			link := w.url("r1")
			w.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: "r1", File: "1866_094309.mp4", Times: 1, Do: tt.do})
			g := w.must(link, "Range", "bytes=100-299")
			if g.StatusCode != tt.status || tt.n >= 0 && len(g.body) != tt.n || (g.err != nil) != tt.cut {
				t.Errorf("%d, %d bytes, %v", g.StatusCode, len(g.body), g.err)
			}
			if tt.check != nil {
				if err := tt.check(&g); err != nil {
					t.Error(err)
				}
			}
			if loc := g.Header.Get("Location"); loc != "" && !strings.HasSuffix(loc, strings.TrimPrefix(link, w.DownloadURL())) {
				t.Errorf("redirected to %s", loc)
			}
			if g := w.must(link); g.StatusCode != 200 || len(g.body) != size {
				t.Errorf("afterwards: %d", g.StatusCode)
			}
		})
	}
}

func TestResetsAreResets(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Generate(1, 10))
	link := w.url("r1")
	w.Inject(vendorsim.Fault{Do: vendorsim.Reset{}})
	if _, err := w.get(link); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("download: %v", err)
	}
	if calls := w.CallsOf(vendorsim.Download); calls[0].Status != 0 || calls[0].Bytes != 0 {
		t.Errorf("log %+v", calls)
	}
	w.ClearFaults()
	if g := w.must(link); g.StatusCode != 200 {
		t.Errorf("afterwards: %d", g.StatusCode)
	}
}

func TestTruncatedChunkedIsNoCleanEnd(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Generate(1, 1000))
	link := w.url("r1")
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.NoLength{}})
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.Truncate{At: 700}})
	if g := w.must(link); !errors.Is(g.err, io.ErrUnexpectedEOF) || len(g.body) != 700 {
		t.Errorf("%d bytes, %v", len(g.body), g.err)
	}
}

func TestWholeFileBeyondItsLength(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Generate(1, 1000))
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.Excess{Bytes: 5}})
	g := w.must(w.url("r1"))
	if g.ContentLength != 1000 || len(g.body) != 1000 {
		t.Errorf("declared %d, read %d", g.ContentLength, len(g.body))
	}
}

func TestChangedContent(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Generate(1, 1000))
	link := w.url("r1")
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, After: 1, Times: 2, Do: vendorsim.ChangedContent{From: 600}})
	old := w.must(link)
	changed := w.must(link)
	if !bytes.Equal(old.body[:600], changed.body[:600]) || bytes.Equal(old.body[600:], changed.body[600:]) {
		t.Error("not changed from byte 600 on")
	}
	for _, name := range []string{"ETag", "Last-Modified", "X-Cos-Hash-Crc64ecma"} {
		if old.Header.Get(name) == changed.Header.Get(name) {
			t.Errorf("%s is the same", name)
		}
	}
	if g := w.must(link, "If-Match", old.Header.Get("ETag")); g.StatusCode != 412 {
		t.Errorf("If-Match on the old version: %d", g.StatusCode)
	}
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.ChangedContent{From: 600, KeepValidators: true}})
	if g := w.must(link); g.Header.Get("ETag") != old.Header.Get("ETag") || bytes.Equal(g.body, old.body) {
		t.Error("a silent change told itself, or changed nothing")
	}
}

func TestMissingMoov(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	c, err := content.MP4(1, 1000, content.Faststart)
	if err != nil {
		t.Fatal(err)
	}
	w.add("r1", c)
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, Times: 1, Do: vendorsim.MissingMoov{}})
	if g := w.must(w.url("r1")); bytes.Contains(g.body, []byte("moov")) || len(g.body) != 1000 {
		t.Error("moov is there")
	}
	if g := w.must(w.url("r1")); !bytes.Contains(g.body, []byte("moov")) {
		t.Error("moov has gone for good")
	}
}

func TestHoldAndHang(t *testing.T) {
	w := newWorld(t, vendorsim.Options{})
	w.add("r1", content.Generate(1, 10))
	link, until := w.url("r1"), make(chan struct{})
	w.Inject(vendorsim.Fault{Call: vendorsim.Download, Times: 1, Do: vendorsim.Hold{Until: until}})
	var wg sync.WaitGroup
	wg.Go(func() {
		if g, err := w.get(link); err != nil || g.StatusCode != 200 {
			t.Errorf("held: %v, %v", g.Response, err)
		}
	})
	for len(w.CallsOf(vendorsim.Download)) == 0 { // until it has arrived
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			return
		}
	}
	if c := w.CallsOf(vendorsim.Download)[0]; c.Status != 0 {
		t.Errorf("answered while held: %+v", c)
	}
	close(until)
	wg.Wait()

	w.Inject(vendorsim.Fault{Do: vendorsim.Hang{}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := w.client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		_ = resp.Body.Close()
		t.Errorf("a hanging server answered: %v", err)
	}
	wg.Go(func() {
		if _, _, err := w.post("key-a", "getRecords", `{"recordId":"r1"}`); err == nil {
			t.Error("a closed server answered")
		}
	})
	for w.Counts()["getRecords"] < 2 {
		<-time.After(time.Millisecond)
	}
	if err := w.Close(); err != nil { // must not wait for what hangs
		t.Error(err)
	}
	wg.Wait()
}

func TestOnCall(t *testing.T) {
	var mu sync.Mutex
	var seen []vendorsim.Call
	w := newWorld(t, vendorsim.Options{OnCall: func(c vendorsim.Call) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, c)
	}})
	w.add("r1", content.Generate(1, 10))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := w.post("key-a", "getRecords", `{"recordId":"r1"}`); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 8 || seen[0].Code != "200" || seen[0].Tenant != "acme" || !seen[0].HasAuth {
		t.Errorf("seen %+v", seen)
	}
}
