package download

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/state"
)

const (
	oldDate = "Tue, 01 Jan 2019 00:00:00 GMT"
	date    = "Fri, 31 May 2019 01:43:09 GMT"
)

func TestParseContentRange(t *testing.T) {
	tests := map[string]*contentRange{
		"bytes 0-0/1":                   {first: 0, last: 0, total: 1},
		"bytes 3-6/10":                  {first: 3, last: 6, total: 10},
		"Bytes 3-6/*":                   {first: 3, last: 6, total: -1},
		"bytes 3-9/10":                  {first: 3, last: 9, total: 10},
		"bytes */0":                     {total: 0, unsatisfied: true},
		"bytes */10":                    {total: 10, unsatisfied: true},
		"bytes 3-10/10":                 nil,
		"bytes 6-3/10":                  nil,
		"bytes */*":                     nil,
		"bytes -3/10":                   nil,
		"bytes 3-/10":                   nil,
		"bytes 3-6":                     nil,
		"bytes 3/10":                    nil,
		"bytes +3-6/10":                 nil,
		"bytes 3-6/-1":                  nil,
		"bytes 0x3-6/10":                nil,
		"bytes=3-6/10":                  nil,
		"items 3-6/10":                  nil,
		"3-6/10":                        nil,
		"bytes":                         nil,
		"":                              nil,
		"bytes 3-6,8-9/10":              nil,
		"bytes 0-9223372036854775807/*": nil,
		"bytes 0-9223372036854775806/9223372036854775807": {last: 9223372036854775806, total: 9223372036854775807},
		"bytes 0-1/9223372036854775808":                   nil,
	}
	for header, want := range tests {
		got, ok := parseContentRange(header)
		if ok != (want != nil) {
			t.Errorf("%q: %+v, %v", header, got, ok)
		} else if ok && got != *want {
			t.Errorf("%q: %+v, want %+v", header, got, *want)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes */0", "bytes 3-6/*", "bytes 9-1/99999999999999999999", "bytes 0-9223372036854775807/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cr, ok := parseContentRange(s)
		if !ok {
			return
		}
		total := "*"
		if cr.total >= 0 {
			total = strconv.FormatInt(cr.total, 10)
		}
		text := fmt.Sprintf("bytes %d-%d/%s", cr.first, cr.last, total)
		if cr.unsatisfied {
			text = "bytes */" + total
		} else if cr.first < 0 || cr.last < cr.first || cr.last-cr.first+1 < 1 || (cr.total >= 0 && cr.last >= cr.total) {
			t.Errorf("%q is taken for %+v", s, cr)
		}
		if again, ok := parseContentRange(text); !ok || again != cr {
			t.Errorf("%q is %+v, but %q is %+v", s, cr, text, again)
		}
	})
}

func TestVersion(t *testing.T) {
	tests := map[string]struct {
		header string
		want   state.SourceVersion
	}{
		"strong ETag":       {"ETag: \"a\"\nDate: " + date, state.SourceVersion{ETag: `"a"`, Strong: true}},
		"no quotes":         {"ETag: abc", state.SourceVersion{ETag: "abc", Strong: true}},
		"weak ETag":         {"ETag: W/\"a\"\nDate: " + date, state.SourceVersion{ETag: `W/"a"`}},
		"weak, in lower":    {"ETag: w/\"a\"", state.SourceVersion{ETag: `w/"a"`}},
		"empty ETag":        {"ETag: \"\"", state.SourceVersion{}},
		"nothing":           {"Date: " + date, state.SourceVersion{}},
		"60 s old":          {"Last-Modified: Fri, 31 May 2019 01:42:09 GMT\nDate: " + date, state.SourceVersion{LastModified: "Fri, 31 May 2019 01:42:09 GMT", Strong: true}},
		"59 s old":          {"Last-Modified: Fri, 31 May 2019 01:42:10 GMT\nDate: " + date, state.SourceVersion{LastModified: "Fri, 31 May 2019 01:42:10 GMT"}},
		"from the future":   {"Last-Modified: " + date + "\nDate: " + oldDate, state.SourceVersion{LastModified: date}},
		"no Date":           {"Last-Modified: " + oldDate, state.SourceVersion{LastModified: oldDate}},
		"no date":           {"Last-Modified: yesterday\nDate: " + date, state.SourceVersion{LastModified: "yesterday"}},
		"weak ETag but old": {"ETag: W/\"a\"\nLast-Modified: " + oldDate + "\nDate: " + date, state.SourceVersion{ETag: `W/"a"`, LastModified: oldDate, Strong: true}},
	}
	c := loopback(t)
	for name, tt := range tests {
		s := raw(t, "HTTP/1.1 206 Partial Content\n"+tt.header+"\nContent-Range: bytes 0-0/5\nContent-Length: 1\n\nx")
		got, err := c.Stat(t.Context(), s.URL)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tt.want.Length = 5
		if diff := cmp.Diff(tt.want, got.Version); diff != "" {
			t.Errorf("%s: want -, got +\n%s", name, diff)
		}
	}
}

func TestStat(t *testing.T) {
	var method, ranges string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		method, ranges = r.Method, r.Header.Get("Range")
		w.Header().Set("Date", date)
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("X-Cos-Hash-Crc64ecma", "18446744073709551615")
		if r.URL.Path == "/ranges" {
			partial(w, r, content(100))
			return
		}
		_, _ = w.Write([]byte(content(100)))
	})
	c := loopback(t)
	crc := ^uint64(0)
	when := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)
	for path, ranged := range map[string]bool{"/ranges": true, "/plain": false} {
		got, err := c.Stat(t.Context(), s.URL+path)
		if err != nil {
			t.Fatal(err)
		}
		want := Info{Version: state.SourceVersion{ETag: `"v1"`, Strong: true, Length: 100}, ContentType: "video/mp4", CRC64ECMA: &crc, Date: when, Ranged: ranged}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: want -, got +\n%s", path, diff)
		}
		if method != http.MethodGet || ranges != "bytes=0-0" {
			t.Errorf("%s: asked with %s and the range %q", path, method, ranges)
		}
	}
	cut := raw(t, "HTTP/1.1 206 Partial Content\nETag: \"a\"\nContent-Range: bytes 0-0/5\nContent-Length: 1\n\n")
	_, err := c.Stat(t.Context(), cut.URL)
	wantKind(t, err, fault.Temporary)
}

func TestCRC64(t *testing.T) {
	for header, want := range map[string]string{
		"x-cos-hash-crc64ecma: 11051210869376104954": "11051210869376104954",
		"x-oss-hash-crc64ecma: 7":                    "7",
		"x-cos-hash-crc64ecma: 0":                    "0",
		"x-cos-hash-crc64ecma: -1":                   "none",
		"x-cos-hash-crc64ecma: 0xff":                 "none",
		"x-other: 7":                                 "none",
	} {
		name, value, _ := strings.Cut(header, ": ")
		h := http.Header{}
		h.Set(name, value)
		got := "none"
		if crc := crc64(h); crc != nil {
			got = strconv.FormatUint(*crc, 10)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
}

func TestPin(t *testing.T) {
	byETag := &state.SourceVersion{ETag: `"a"`, LastModified: oldDate, Strong: true, Length: 10}
	byDate := &state.SourceVersion{LastModified: oldDate, Strong: true, Length: 10}
	weak := &state.SourceVersion{ETag: `W/"a"`, LastModified: oldDate, Strong: true, Length: 10}
	unsized := &state.SourceVersion{ETag: `"a"`, Strong: true, Length: -1}
	const ranged = "HTTP/1.1 206 Partial Content\nContent-Range: bytes 4-5/10\nContent-Length: 2\n"
	const whole = "HTTP/1.1 200 OK\nContent-Length: 10\n"
	const etag, lastModified = "ETag: \"a\"\n", "Last-Modified: " + oldDate + "\n"
	tests := []struct {
		name   string
		pin    *state.SourceVersion
		answer string
		same   bool
	}{
		{"same ETag", byETag, ranged + etag, true},
		{"same ETag, later date", byETag, ranged + etag + "Last-Modified: " + date + "\n", true},
		{"same ETag, range ignored", byETag, whole + etag, true},
		{"other ETag", byETag, ranged + "ETag: \"b\"\n" + lastModified, false},
		{"other ETag, range ignored", byETag, whole + "ETag: \"b\"\n", false},
		{"no ETag any more", byETag, ranged + lastModified, false},
		{"weak now", byETag, ranged + "ETag: W/\"a\"\n" + lastModified, false},
		{"other total", byETag, strings.Replace(ranged, "/10", "/11", 1) + etag, false},
		{"unknown total", byETag, strings.Replace(ranged, "/10", "/*", 1) + etag, true},
		{"total was unknown", unsized, ranged + etag, true},
		{"other length", byETag, strings.Replace(whole, "10", "9", 1) + etag, false},
		{"same date", byDate, ranged + lastModified, true},
		{"other date", byDate, ranged + "Last-Modified: " + date + "\n", false},
		{"no date any more", byDate, ranged, false},
		{"weak, same date", weak, ranged + "ETag: W/\"a\"\n" + lastModified, true},
		{"weak, other date", weak, ranged + "ETag: W/\"a\"\nLast-Modified: " + date + "\n", false},
		{"pin without validators", &state.SourceVersion{Length: 10}, ranged + etag, false},
		{"412", byETag, "HTTP/1.1 412 Precondition Failed\nContent-Length: 0\n", false},
		{"416", byETag, "HTTP/1.1 416 Range Not Satisfiable\nContent-Range: bytes */3\nContent-Length: 0\n", false},
	}
	c := loopback(t)
	for _, tt := range tests {
		body, offset := "45", int64(4)
		switch {
		case strings.HasPrefix(tt.answer, "HTTP/1.1 200"):
			body, offset = "0123456789", 0
		case strings.HasPrefix(tt.answer, "HTTP/1.1 4"):
			body = ""
		}
		s := raw(t, tt.answer+"\n"+body)
		resp, err := c.Get(t.Context(), Request{URL: s.URL, Offset: 4, Length: 2, Pin: tt.pin})
		if tt.same {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if resp.Offset != offset {
				t.Errorf("%s: the body begins at %d, want %d", tt.name, resp.Offset, offset)
			}
			_ = resp.Body.Close()
			continue
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		if fault.KindOf(err) != fault.Changed {
			t.Errorf("%s: %v, want %s", tt.name, err, fault.Changed)
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	var seen http.Header
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.WriteHeader(http.StatusTeapot)
	})
	tests := []struct {
		r    Request
		want map[string]string
	}{
		{Request{Offset: 0, Length: 1}, map[string]string{"Range": "bytes=0-0"}},
		{Request{Offset: 7, Length: 5}, map[string]string{"Range": "bytes=7-11"}},
		{Request{Offset: 7, Length: -1}, map[string]string{"Range": "bytes=7-"}},
		{Request{Length: -1}, nil},
		{Request{Whole: true}, nil},
		{Request{Whole: true, Length: 5}, nil},
		{Request{Whole: true, Pin: &state.SourceVersion{ETag: `"a"`, LastModified: oldDate}}, map[string]string{"If-Match": `"a"`}},
		{Request{Whole: true, Pin: &state.SourceVersion{ETag: `W/"a"`, LastModified: oldDate}}, map[string]string{"If-Unmodified-Since": oldDate}},
		{Request{Whole: true, Pin: &state.SourceVersion{LastModified: oldDate}}, map[string]string{"If-Unmodified-Since": oldDate}},
		{Request{Whole: true, Pin: &state.SourceVersion{ETag: `W/"a"`}}, nil},
	}
	c := newClient(t, Options{AllowLoopback: true, UserAgent: "archiver/1"})
	for _, tt := range tests {
		tt.r.URL = s.URL
		_, err := c.Get(t.Context(), tt.r)
		wantKind(t, err, fault.Temporary)
		want := http.Header{"Accept": {"*/*"}, "Accept-Encoding": {"identity"}, "User-Agent": {"archiver/1"}}
		for name, value := range tt.want {
			want.Set(name, value)
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("%+v: want -, got +\n%s", tt.r, diff)
		}
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	c := loopback(t)
	for _, r := range []Request{
		{},
		{Offset: -1, Length: 1},
		{Offset: 1, Whole: true},
		{Offset: 1},
		{Offset: 1 << 62, Length: 1 << 62},
	} {
		r.URL = "http://127.0.0.1:1/"
		_, err := c.Get(t.Context(), r)
		wantKind(t, err, fault.Rejected)
	}
}

func TestUnusableAnswers(t *testing.T) {
	const p = "HTTP/1.1 206 Partial Content\nETag: \"a\"\n"
	tests := map[string]struct {
		answer string
		say    string
	}{
		"starts later":     {p + "Content-Range: bytes 5-6/10\nContent-Length: 2\n\nxx", "bytes from 5 came"},
		"starts earlier":   {p + "Content-Range: bytes 0-6/10\nContent-Length: 7\n\nxxxxxxx", "bytes from 0 came"},
		"no Content-Range": {p + "Content-Length: 2\n\nxx", "Content-Range"},
		"unreadable":       {p + "Content-Range: bytes what\nContent-Length: 2\n\nxx", "what"},
		"unsatisfied":      {p + "Content-Range: bytes */10\nContent-Length: 2\n\nxx", "*/10"},
		"contradictory":    {p + "Content-Range: bytes 4-5/10\nContent-Length: 3\n\nxxx", "declares 2 bytes"},
		"multipart":        {p + "Content-Type: Multipart/ByteRanges; boundary=x\nContent-Length: 2\n\nxx", "multipart"},
		"gzip":             {p + "Content-Encoding: gzip\nContent-Range: bytes 4-5/10\nContent-Length: 2\n\nxx", "gzip"},
		"gzip, 200":        {"HTTP/1.1 200 OK\nContent-Encoding: identity, br\nContent-Length: 2\n\nxx", "br"},
		"gzip, second":     {"HTTP/1.1 200 OK\nContent-Encoding: identity\nContent-Encoding: x-gzip\nContent-Length: 2\n\nxx", "x-gzip"},
	}
	c := loopback(t)
	for name, tt := range tests {
		_, err := c.Get(t.Context(), Request{URL: raw(t, tt.answer).URL, Offset: 4, Length: 2})
		if fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%s: %v, want %s", name, err, fault.Corrupt)
			continue
		}
		wantText(t, err, tt.say)
	}
	_, err := c.Get(t.Context(), Request{URL: raw(t, p+"Content-Range: bytes 0-9/10\nContent-Length: 10\n\n0123456789").URL, Whole: true})
	wantText(t, faultOf(t, err, fault.Corrupt), "no range was asked for")
	_, got, err := fetch(t, c, Request{URL: raw(t, "HTTP/1.1 200 OK\nContent-Encoding: Identity\nContent-Length: 2\n\nxx").URL, Whole: true})
	if err != nil || got != "xx" {
		t.Errorf("identity: %q, %v", got, err)
	}
}

func TestStatuses(t *testing.T) {
	tests := []struct {
		status int
		header string
		kind   fault.Kind
		after  time.Duration
		code   string
		body   string
	}{
		{status: 401, kind: fault.LinkExpired},
		{status: 403, kind: fault.LinkExpired, code: "AccessDenied", body: "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"},
		{status: 410, kind: fault.LinkExpired},
		{status: 400, kind: fault.Temporary},
		{status: 400, kind: fault.LinkExpired, code: "ExpiredToken", body: "<Error><Code>ExpiredToken</Code></Error>"},
		{status: 404, kind: fault.NotFound},
		{status: 412, kind: fault.Changed},
		{status: 416, kind: fault.Changed},
		{status: 405, kind: fault.Temporary},
		{status: 418, kind: fault.Temporary},
		{status: 204, kind: fault.Temporary},
		{status: 203, kind: fault.Temporary},
		{status: 304, kind: fault.Temporary},
		{status: 300, kind: fault.Temporary},
		{status: 429, header: "Retry-After: 7\n", kind: fault.Temporary, after: 7 * time.Second},
		{status: 503, header: "Retry-After: Fri, 31 May 2019 01:44:09 GMT\nDate: " + date + "\n", kind: fault.Temporary, after: time.Minute, code: "SlowDown", body: "<Code>SlowDown</Code>"},
		{status: 503, header: "Retry-After: " + oldDate + "\nDate: " + date + "\n", kind: fault.Temporary},
		{status: 503, header: "Retry-After: " + date + "\n", kind: fault.Temporary},
		{status: 503, header: "Retry-After: 99999999999999\n", kind: fault.Temporary, after: 24 * time.Hour},
		{status: 503, header: "Retry-After: -5\n", kind: fault.Temporary},
		{status: 500, kind: fault.Temporary},
		{status: 502, kind: fault.Temporary},
	}
	c := loopback(t)
	for _, tt := range tests {
		s := raw(t, fmt.Sprintf("HTTP/1.1 %d Whatever\n%sConnection: close\n\n%s", tt.status, tt.header, tt.body))
		_, err := c.Get(t.Context(), Request{URL: s.URL + "/dir/a.mp4", Offset: 1, Length: 1})
		f := faultOf(t, err, tt.kind)
		if f.Status != tt.status || f.RetryAfter != tt.after || f.Code != tt.code {
			t.Errorf("%d: status %d, retry after %s, code %q; want %+v", tt.status, f.Status, f.RetryAfter, f.Code, tt)
		}
		wantText(t, f, "download "+strings.TrimPrefix(s.URL, "http://")+"/dir/a.mp4: "+strconv.Itoa(tt.status))
	}
}
