package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// settledAfter is how much older than the answer a Last-Modified has to be to
// count as strong (RFC 9110 section 8.8.2.2).
const settledAfter = 60 * time.Second

// accept judges an answer that is no redirect; resp's body is closed unless it
// becomes the Response's.
func (x *exchange) accept(ctx context.Context, t target, resp *http.Response) (*Response, error) {
	r, b, err := x.judge(t, resp)
	if err != nil {
		_ = resp.Body.Close() // the verdict is what counts
		return nil, err
	}
	if err := x.compare(t, r.Version); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	b.src, b.watch, b.cancel = resp.Body, x.watch, x.cancel
	b.broken = func(err error) error { return t.broken(ctx, err) }
	r.Body = b
	return r, nil
}

// judge reads status and header.
func (x *exchange) judge(t target, resp *http.Response) (*Response, *body, error) {
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		// Even a plain GET was answered so; taken at its word where it says
		// that there are 0 bytes.
		if cr, ok := parseContentRange(resp.Header.Get("Content-Range")); !x.ranged && ok && cr.unsatisfied && cr.total == 0 {
			r := newResponse(resp)
			r.Version.Length = 0
			// What follows a 416 is an error page, not the file.
			_ = resp.Body.Close()
			resp.Body = http.NoBody
			return r, &body{t: t, declared: true}, nil
		}
		return nil, nil, x.refusal(t, resp)
	default:
		return nil, nil, x.refusal(t, resp)
	}
	for _, list := range resp.Header.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(list, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return nil, nil, t.fault(fault.Corrupt, fmt.Errorf("the answer is encoded (%s) although identity was asked for", t.quoted(coding)))
			}
		}
	}
	r := newResponse(resp)
	if resp.StatusCode == http.StatusPartialContent {
		b, err := x.judgeRange(t, resp, r)
		return r, b, err
	}
	r.Version.Length = resp.ContentLength
	if resp.ContentLength < 0 {
		return r, &body{t: t, want: x.client.maxFileSize, left: x.client.maxFileSize}, nil
	}
	return r, &body{t: t, want: resp.ContentLength, left: resp.ContentLength, declared: true}, nil
}

// judgeRange judges a 206 and completes r.
func (x *exchange) judgeRange(t target, resp *http.Response, r *Response) (*body, error) {
	corrupt := func(format string, a ...any) (*body, error) {
		return nil, t.fault(fault.Corrupt, fmt.Errorf(format, a...))
	}
	if kind, _, err := mime.ParseMediaType(r.ContentType); err == nil && strings.EqualFold(kind, "multipart/byteranges") {
		return corrupt("one range was asked for, and a multipart/byteranges answer came")
	}
	if !x.ranged {
		return corrupt("206 Partial Content, although no range was asked for")
	}
	header := resp.Header.Get("Content-Range")
	cr, ok := parseContentRange(header)
	if !ok || cr.unsatisfied {
		return corrupt("206 Partial Content with the Content-Range %s", t.quoted(header))
	}
	if cr.first != x.request.Offset {
		return corrupt("asked for bytes from %d, and bytes from %d came", x.request.Offset, cr.first)
	}
	size := cr.last - cr.first + 1
	if resp.ContentLength >= 0 && resp.ContentLength != size {
		return corrupt("Content-Range declares %d bytes, Content-Length %d", size, resp.ContentLength)
	}
	r.Ranged, r.Offset, r.Version.Length = true, cr.first, cr.total
	b := &body{t: t, want: size, left: size, declared: true}
	if x.request.Length > 0 && size > x.request.Length {
		b.want, b.left, b.cut = x.request.Length, x.request.Length, true
	}
	return b, nil
}

// compare holds the version that answered against the pin. A pin by
// Last-Modified (its ETag is weak) is compared by both.
func (x *exchange) compare(t target, got state.SourceVersion) error {
	pin := x.request.Pin
	if pin == nil {
		return nil
	}
	switch {
	case pin.ETag == "" && pin.LastModified == "":
		return t.fault(fault.Changed, errors.New("the pinned version has no validator, so nothing proves that this is it"))
	case !pin.Same(got), !strongETag(pin.ETag) && pin.LastModified != got.LastModified:
		return t.fault(fault.Changed, fmt.Errorf("another version answered: %s instead of %s", t.describe(got), t.describe(*pin)))
	}
	return nil
}

// describe names a version by its validators.
func (t target) describe(v state.SourceVersion) string {
	return fmt.Sprintf("[ETag %s, Last-Modified %s, length %d]", t.quoted(v.ETag), t.quoted(v.LastModified), v.Length)
}

// newResponse reads what every header says alike.
func newResponse(resp *http.Response) *Response {
	h := resp.Header
	r := &Response{ContentType: h.Get("Content-Type"), CRC64ECMA: crc64(h)}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		r.Date = date
	}
	r.Version = state.SourceVersion{ETag: h.Get("ETag"), LastModified: h.Get("Last-Modified"), Length: -1}
	if r.Version.ETag == `""` || r.Version.ETag == `W/""` {
		r.Version.ETag = "" // the same for every file: it says nothing
	}
	r.Version.Strong = strongETag(r.Version.ETag) || settled(r.Version.LastModified, r.Date)
	return r
}

// strongETag reports whether etag is there and not weak (RFC 9110 section
// 8.8.3). Some servers write the W in lower case, or leave the quotes out.
func strongETag(etag string) bool {
	return etag != "" && !strings.HasPrefix(etag, "W/") && !strings.HasPrefix(etag, "w/")
}

// settled reports whether a Last-Modified is old enough to be strong.
func settled(lastModified string, date time.Time) bool {
	modified, err := http.ParseTime(lastModified)
	return err == nil && !date.IsZero() && date.Sub(modified) >= settledAfter
}

// crc64 returns the store's own CRC-64 of the whole object, as Tencent COS
// and Alibaba OSS document it; nil if there is none.
func crc64(h http.Header) *uint64 {
	for _, name := range []string{"x-cos-hash-crc64ecma", "x-oss-hash-crc64ecma"} {
		if crc, err := strconv.ParseUint(h.Get(name), 10, 64); err == nil {
			return &crc
		}
	}
	return nil
}

// contentRange is a Content-Range header (RFC 9110 section 14.4).
type contentRange struct {
	first, last int64 // inclusive; not set if unsatisfied
	total       int64 // -1 if it is "*"
	unsatisfied bool  // "bytes */total", as in a 416
}

// parseContentRange reads a Content-Range of unit bytes.
func parseContentRange(s string) (contentRange, bool) {
	unit, rest, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, size, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok {
		return contentRange{}, false
	}
	cr := contentRange{total: -1}
	if size != "*" {
		if cr.total, ok = parseCount(size); !ok {
			return contentRange{}, false
		}
	}
	if span == "*" {
		cr.unsatisfied = true
		return cr, cr.total >= 0
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return contentRange{}, false
	}
	var okFirst, okLast bool
	cr.first, okFirst = parseCount(first)
	cr.last, okLast = parseCount(last)
	// last+1 has to be countable too.
	if !okFirst || !okLast || cr.last < cr.first || cr.last+1 <= 0 || (cr.total >= 0 && cr.last >= cr.total) {
		return contentRange{}, false
	}
	return cr, true
}

// parseCount reads decimal digits and nothing else.
func parseCount(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// drain reads what little there may be of a body that nobody wants, so that
// its connection can be used again, and closes it.
func (x *exchange) drain(resp *http.Response) {
	_, _ = x.page(resp)
	_ = resp.Body.Close()
}

// page returns the beginning of an error page, and whether that is all of it.
// The whole page gets one StallTimeout, so that it cannot be dripped.
func (x *exchange) page(resp *http.Response) (text string, whole bool) {
	x.watch.arm()
	defer x.watch.disarm()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	return string(b), err == nil && len(b) < maxPage
}
