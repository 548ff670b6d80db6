package vendorsim

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc64"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/pace"
)

// version is one version of a file, as a download meets it.
type version struct {
	content  content.Content
	id       string // distinguishes its bytes from every other version's
	etag     string // "" if none is told
	modified time.Time
	told     bool // Last-Modified
}

func (o *reply) version(f *file) version {
	v := version{content: f.Content, id: f.version, modified: f.Modified.UTC().Truncate(time.Second), told: !o.plan.valid.NoLastModified}
	named := v.id
	if c := o.plan.changed; c != nil {
		v.content = content.Changed(v.content, c.From)
		v.id += fmt.Sprintf(" changed from %d", c.From)
		if !c.KeepValidators {
			named, v.modified = v.id, v.modified.Add(time.Hour)
		}
	}
	if o.plan.noMoov {
		v.content = content.WithoutMoov(v.content)
		v.id += " without moov"
		named = v.id
	}
	sum := sha1.Sum([]byte(named))
	v.etag = `"` + hex.EncodeToString(sum[:16]) + `"`
	switch {
	case o.plan.valid.NoETag:
		v.etag = ""
	case o.plan.valid.WeakETag:
		v.etag = "W/" + v.etag
	}
	return v
}

// file answers with a file's bytes, or the part that was asked for.
func (o *reply) file(ctx context.Context, f *file) {
	v := o.version(f)
	h := o.w.Header()
	if v.etag != "" {
		h.Set("ETag", v.etag)
	}
	if v.told {
		h.Set("Last-Modified", v.modified.Format(http.TimeFormat))
	}
	if status := conditions(o.r.Header, v); status != 0 {
		if status == http.StatusNotModified {
			o.status(status)
			return
		}
		o.refuse(status, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	h.Set("Content-Type", contentType(f.Name))
	o.crc(v)
	off, n, status := int64(0), v.content.Size(), http.StatusOK
	if !o.plan.noRanges {
		h.Set("Accept-Ranges", "bytes")
		off, n, status = span(o.r.Header, v)
	}
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", v.content.Size()))
		o.refuse(status, "InvalidRange", "The requested range is not satisfiable.")
		return
	case http.StatusPartialContent:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, v.content.Size()))
	}
	o.body(ctx, v.content, off, n, status)
}

func contentType(name string) string {
	if path.Ext(name) == ".mp4" {
		return "video/mp4" // whatever this machine's tables say
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func (o *reply) crc(v version) {
	switch c := o.plan.crcHeader; {
	case c != nil && c.Value == "" || c == nil && o.s.opts.NoCRC64:
	case c != nil:
		o.w.Header().Set("X-Cos-Hash-Crc64ecma", c.Value)
	default:
		if sum, err := o.s.crcs.of(v); err == nil {
			o.w.Header().Set("X-Cos-Hash-Crc64ecma", strconv.FormatUint(sum, 10))
		}
	}
}

// conditions answers 412 or 304 if the request's conditions say so, else 0
// (RFC 9110 section 13.2.2, in its order).
func conditions(h http.Header, v version) int {
	strong := func(list string) bool { return matches(list, v.etag) && !strings.HasPrefix(v.etag, "W/") }
	since := func(name string) (time.Time, bool) {
		t, err := http.ParseTime(h.Get(name))
		return t, err == nil
	}
	if im := h.Get("If-Match"); im != "" {
		if im != "*" && !strong(im) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := since("If-Unmodified-Since"); ok && v.modified.After(t) {
		return http.StatusPreconditionFailed
	}
	if inm := h.Get("If-None-Match"); inm != "" {
		if inm == "*" || matches(inm, v.etag) {
			return http.StatusNotModified
		}
	} else if t, ok := since("If-Modified-Since"); ok && !v.modified.After(t) {
		return http.StatusNotModified
	}
	return 0
}

func matches(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if etag != "" && strings.TrimPrefix(strings.TrimSpace(one), "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// span reads Range and If-Range: an offset, a length and 200, 206 or 416.
// Several ranges, other units and what is malformed get everything, as RFC
// 9110 section 14.2 allows and COS does.
func span(h http.Header, v version) (off, n int64, status int) {
	size := v.content.Size()
	spec, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if ir := h.Get("If-Range"); ir != "" && ir != v.etag && ir != v.modified.Format(http.TimeFormat) {
		ok = false
	}
	if !ok || !dash || strings.Contains(spec, ",") {
		return 0, size, http.StatusOK
	}
	from, ferr := strconv.ParseInt(first, 10, 64)
	to, terr := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && terr == nil: // the last so many bytes
		from, to = max(0, size-to), size-1
	case ferr == nil && last == "":
		to = size - 1
	case ferr != nil || terr != nil || from > to:
		return 0, size, http.StatusOK
	}
	to = min(to, size-1)
	if from > to {
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	return from, to - from + 1, http.StatusPartialContent
}

// body sends n bytes of c from off on, with what the plan does to them.
func (o *reply) body(ctx context.Context, c content.Content, off, n int64, status int) {
	p, send := o.plan, n
	declared := n
	if p.truncate != nil {
		if send = min(n, p.truncate.At); p.truncate.Lying {
			declared = send
		}
	}
	if p.excess > 0 && status == http.StatusOK {
		o.overlong(c, n)
		return
	}
	flush := http.NewResponseController(o.w).Flush
	chunked := p.noLength || p.excess > 0
	if !chunked {
		o.w.Header().Set("Content-Length", strconv.FormatInt(declared, 10))
	}
	o.status(status)
	if chunked && flush() != nil {
		return
	}
	if p.rate > 0 {
		o.rate = p.rate
	}
	w := pace.Writer(ctx, writerFunc(o.write), o.rate, flush)
	err := content.WriteTo(w, c, off, send)
	if err == nil && p.truncate == nil {
		_, err = w.Write(make([]byte, p.excess))
	}
	// Returning with bytes owed makes net/http close the connection; a chunked
	// body has to be ended by hand, or its end would look clean.
	short := err != nil || send < n
	if t := p.truncate; short && (chunked || t != nil && t.Reset) && flush() == nil {
		hangUp(o.w, t != nil && t.Reset)
	}
}

// overlong writes a whole file with a true Content-Length and then more bytes,
// which net/http would not let a handler do.
func (o *reply) overlong(c content.Content, n int64) {
	o.s.log.update(o.entry, func(e *Call) { e.Status = http.StatusOK })
	conn, buf, err := http.NewResponseController(o.w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	h := o.w.Header().Clone()
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	h.Set("Connection", "close")
	if _, err = buf.WriteString("HTTP/1.1 200 OK\r\n"); err == nil {
		err = h.Write(buf)
	}
	if err == nil {
		_, err = buf.WriteString("\r\n")
	}
	if err == nil {
		err = content.WriteTo(buf, c, 0, n)
	}
	if err == nil {
		_, err = buf.Write(make([]byte, o.plan.excess))
	}
	if err == nil && buf.Flush() == nil {
		o.s.log.update(o.entry, func(e *Call) { e.Bytes = n + o.plan.excess })
	}
}

type writerFunc func(p []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// crcCache computes the CRC-64 of each version once, when it is first asked
// for.
type crcCache struct {
	mu   sync.Mutex
	sums map[string]func() (uint64, error)
}

func (c *crcCache) of(v version) (uint64, error) {
	c.mu.Lock()
	sum, ok := c.sums[v.id]
	if !ok {
		if c.sums == nil {
			c.sums = map[string]func() (uint64, error){}
		}
		sum = sync.OnceValues(func() (uint64, error) {
			h := crc64.New(crc64.MakeTable(crc64.ECMA))
			if err := content.WriteTo(h, v.content, 0, v.content.Size()); err != nil {
				return 0, errors.Join(errors.New("crc64 of "+v.id), err)
			}
			return h.Sum64(), nil
		})
		c.sums[v.id] = sum
	}
	c.mu.Unlock()
	return sum()
}
