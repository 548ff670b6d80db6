package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// maxRedirects is how many redirects one request follows.
const maxRedirects = 5

// Request is one GET.
type Request struct {
	// URL is the presigned URL, as the vendor gave it: path and query reach
	// the wire byte for byte. User info is sent to the first host as basic
	// authentication, never further.
	URL string
	// Offset is the first byte asked for, 0 or more.
	Offset int64
	// Length is how many bytes are asked for, at least 1; negative: to the
	// end (from Offset 0 that is a GET without Range). Ignored with Whole.
	Length int64
	// Pin is the version that has to answer; nil takes whatever version
	// answers. Ranges may be joined only if it is Strong, which is the
	// caller's to see to.
	Pin *state.SourceVersion
	// Whole asks without Range, for a source that has no strong validator or
	// no ranges. Offset must be 0.
	Whole bool
}

// Response is the answer to a Request.
type Response struct {
	// Body has to be closed. It ends with io.EOF exactly where the answer said
	// it ends, or where the request ended if that is earlier. Ended early, it
	// is a Temporary fault around io.ErrUnexpectedEOF; longer than declared, it
	// is fault.Corrupt; longer than MaxFileSize without a declared length,
	// fault.Rejected; no byte for StallTimeout, a Temporary fault; the
	// context's end, fault.Canceled. Large buffers are filled without a copy.
	Body io.ReadCloser
	// Version is what answered. Its Length is that of the whole file in bytes:
	// the total of Content-Range, or the Content-Length of a 200; -1 if
	// neither was said.
	Version state.SourceVersion
	// Offset is where Body begins: the Offset asked for, or 0 if the server
	// ignored the range. Body is then the whole file, whatever Length was.
	Offset int64
	// Ranged reports that the answer was 206 Partial Content.
	Ranged bool
	// ContentType is the header of that name, "" if there was none.
	ContentType string
	// CRC64ECMA is the CRC-64 that the vendor's store computed over the whole
	// file (x-cos-hash-crc64ecma or x-oss-hash-crc64ecma, decimal); nil
	// without one.
	CRC64ECMA *uint64
	// Date is the answer's Date header, zero without one.
	Date time.Time
}

// Info is a Response without its body.
type Info struct {
	Version     state.SourceVersion // what answered; Length -1 if none was declared
	ContentType string              // "" if there was none
	CRC64ECMA   *uint64             // of the whole file; nil if there was none
	Date        time.Time           // zero if there was none
	Ranged      bool                // the answer was 206 Partial Content
}

// Get sends r and returns once the answer's header proved acceptable. All its
// errors, and those of the Body, are *fault.Error without query or user info:
//
//   - LinkExpired: 401, 403, 410, or 400 with an expiry code of S3's family;
//   - NotFound: 404;
//   - Changed: 412, 416, or validators or a length that differ from Pin;
//   - Corrupt: an encoded, multipart or contradictory answer, or a range that
//     starts elsewhere;
//   - Forbidden: a host, scheme or address that the tenant's rules refuse;
//   - Rejected: a URL that cannot be read, or a request that makes no sense;
//   - Canceled: ctx ended;
//   - Temporary: everything else, other 4xx included, so the caller has to
//     limit its attempts; RetryAfter is set where the server said it.
//
// A file of length 0 cannot be asked for by a range: where the server answers
// 416 to one from offset 0, the request is repeated without Range. A Range of
// which the server sends less than was asked is accepted, and Body is shorter.
func (c *Client) Get(ctx context.Context, r Request) (*Response, error) {
	t, err := parseTarget(r.URL)
	if err != nil {
		return nil, malformed(target{}, err)
	}
	ranged := !r.Whole && (r.Offset > 0 || r.Length > 0)
	if err := r.check(); err != nil {
		return nil, t.fault(fault.Rejected, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := newWatch(c.stall, cancel)
	x := &exchange{client: c, request: r, ranged: ranged, watch: w, cancel: cancel}
	resp, err := x.run(ctx, t)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return resp, nil
}

// Stat asks for the first byte (never by HEAD, which a URL signed for GET
// refuses), reads it, and says what answered. Errors are those of Get.
func (c *Client) Stat(ctx context.Context, rawURL string) (Info, error) {
	r, err := c.Get(ctx, Request{URL: rawURL, Length: 1})
	if err != nil {
		return Info{}, err
	}
	var first [1]byte
	_, err = io.ReadFull(r.Body, first[:])
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the file is empty
	}
	_ = r.Body.Close() // the byte is here, or err says why not
	if err != nil {
		return Info{}, err
	}
	return Info{Version: r.Version, ContentType: r.ContentType, CRC64ECMA: r.CRC64ECMA, Date: r.Date, Ranged: r.Ranged}, nil
}

// check refuses what no server could answer.
func (r Request) check() error {
	switch {
	case r.Offset < 0:
		return fmt.Errorf("offset %d is negative", r.Offset)
	case r.Whole && r.Offset != 0:
		return fmt.Errorf("a request for the whole file cannot start at %d", r.Offset)
	case !r.Whole && r.Length == 0:
		return errors.New("no byte was asked for")
	case !r.Whole && r.Length > 0 && r.Offset > math.MaxInt64-r.Length:
		return fmt.Errorf("offset %d and length %d overflow", r.Offset, r.Length)
	}
	return nil
}

// header returns the header of one request.
func (r Request) header(userAgent string, ranged bool) http.Header {
	h := http.Header{"Accept": {"*/*"}, "Accept-Encoding": {"identity"}}
	if userAgent != "" {
		h.Set("User-Agent", userAgent)
	}
	switch {
	case ranged && r.Length < 0:
		h.Set("Range", fmt.Sprintf("bytes=%d-", r.Offset))
	case ranged:
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1))
	}
	switch {
	case r.Pin == nil:
	case strongETag(r.Pin.ETag):
		h.Set("If-Match", r.Pin.ETag)
	case r.Pin.LastModified != "":
		h.Set("If-Unmodified-Since", r.Pin.LastModified)
	}
	return h
}

// exchange is one Get: its request and what bounds it.
type exchange struct {
	client  *Client
	request Request
	ranged  bool
	watch   *watch
	cancel  context.CancelCauseFunc
}

// run follows the URL to an answer and judges it.
func (x *exchange) run(ctx context.Context, first target) (*Response, error) {
	resp, at, err := x.follow(ctx, first)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && x.ranged && x.request.Offset == 0 {
		// Nothing to be had from byte 0 on: an empty file, it seems. The
		// plain answer says so with the validators that a 416 lacks.
		x.drain(resp)
		x.ranged = false
		return x.run(ctx, first)
	}
	return x.accept(ctx, at, resp)
}

// follow sends the request and goes along redirects. It returns the answer
// and where it came from.
func (x *exchange) follow(ctx context.Context, t target) (*http.Response, target, error) {
	header := x.request.header(x.client.userAgent, x.ranged)
	for redirects := 0; ; redirects++ {
		resp, err := x.client.hop(ctx, t, header)
		if err != nil {
			return nil, t, err
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, t, nil
		}
		location := resp.Header.Values("Location")
		x.drain(resp)
		if len(location) == 0 {
			return nil, t, t.fault(fault.Temporary, errors.New("a redirect without a location"))
		}
		if redirects == maxRedirects {
			return nil, t, t.fault(fault.Temporary, fmt.Errorf("more than %d redirects", maxRedirects))
		}
		next, err := t.resolve(location[0])
		if err != nil {
			return nil, t, malformed(t, fmt.Errorf("redirect: %w", err))
		}
		if t.scheme == "https" && next.scheme == "http" {
			f := t.fault(fault.Forbidden, fmt.Errorf("redirect from https to http (%s)", next))
			f.Hint = "the file's host has to stay on https once it was asked over https"
			return nil, t, f
		}
		t = next
	}
}

// hop sends one request to one host, if the rules allow it.
func (c *Client) hop(ctx context.Context, t target, header http.Header) (*http.Response, error) {
	if !c.hostAllowed(t.name) {
		f := t.fault(fault.Forbidden, fmt.Errorf("host %s is not in download_hosts", t.name))
		f.Hint = "add it to the tenant's download_hosts if files may come from there"
		return nil, f
	}
	req := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: t.scheme, Host: t.host},
		Header: header.Clone(),
	}).WithContext(ctx)
	if t.user != nil {
		password, _ := t.user.Password()
		req.SetBasicAuth(t.user.Username(), password)
	}
	transport, absolute := c.direct, false
	if c.proxyFor != nil {
		proxy, err := c.proxyFor(req)
		if err != nil {
			return nil, t.fault(fault.Temporary, err)
		}
		if proxy != nil {
			if err := c.judgeName(ctx, t.name); err != nil {
				return nil, t.broken(ctx, err)
			}
			transport, absolute = c.proxied, t.scheme == "http"
		}
	}
	req.URL = t.wire(absolute)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, t.unanswered(ctx, err)
	}
	return resp, nil
}
