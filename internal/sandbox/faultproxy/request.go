package faultproxy

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"archiver/internal/sandbox/awschunk"
	"archiver/internal/sandbox/crc64sum"
)

// maxXML is more than the list of 10,000 parts takes, in bytes.
const maxXML = 8 << 20

// ecma is a piece's CRC-64 and length.
type ecma struct {
	sum  uint64
	size int64
}

// meter takes the CRC-64 of a body that goes by.
type meter struct {
	hash.Hash64
	size  int64
	parts []int // of a CompleteMultipartUpload's list
}

// Write implements io.Writer.
func (m *meter) Write(b []byte) (int, error) {
	m.size += int64(len(b))
	return m.Hash64.Write(b)
}

// request makes the request for the server, still unsigned. The meter is nil
// unless the answer is to carry COS's checksum.
func (x *exchange) request(ctx context.Context) (*http.Request, *meter, error) {
	u := *x.p.upstream
	u.Path, u.RawPath, u.RawQuery = x.r.URL.Path, x.r.URL.RawPath, x.r.URL.RawQuery
	out, err := http.NewRequestWithContext(ctx, x.r.Method, u.String(), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("request: %w", err)
	}
	out.URL = &u // as it came: String and Parse may have escaped it otherwise
	out.Host = x.r.Host
	out.Header = x.r.Header.Clone()
	for _, name := range []string{"Connection", "Expect", "Transfer-Encoding", "Te", "Upgrade", "Keep-Alive"} {
		out.Header.Del(name)
	}
	for _, name := range x.plan.stripRequest {
		out.Header.Del(name)
	}
	body, length := io.Reader(x.r.Body), x.r.ContentLength
	if x.plan.stripChecksums || strings.HasPrefix(out.Header.Get("X-Amz-Content-Sha256"), "STREAMING-AWS4") {
		body, length = unframe(out.Header, body, length) // chunks signed one by one can't be signed anew
	}
	if x.plan.stripChecksums {
		stripChecksums(out.Header)
	}
	if !awschunk.Framed(out.Header) && out.Header.Get("Authorization") != "" {
		out.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}
	sum, body, length, err := x.observe(out.Header, body, length)
	if err != nil {
		return nil, nil, err
	}
	if c := x.plan.corrupt; c != nil {
		body = &flipper{r: body, at: c.At}
	}
	out.ContentLength = length
	if length != 0 {
		out.Body = io.NopCloser(&counter{r: body, x: x})
	}
	return out, sum, nil
}

// unframe takes the SDK's framing, with its checksum behind the body, off an
// upload.
func unframe(h http.Header, body io.Reader, length int64) (io.Reader, int64) {
	if !awschunk.Framed(h) {
		return body, length
	}
	if n, err := strconv.ParseInt(h.Get("X-Amz-Decoded-Content-Length"), 10, 64); err == nil {
		length = n
	}
	codings := slices.DeleteFunc(strings.Split(h.Get("Content-Encoding"), ","), func(c string) bool {
		c = strings.TrimSpace(c)
		return c == "" || c == "aws-chunked"
	})
	h.Set("Content-Encoding", strings.Join(codings, ","))
	if len(codings) == 0 {
		h.Del("Content-Encoding")
	}
	for _, name := range []string{"X-Amz-Trailer", "X-Amz-Decoded-Content-Length", "X-Amz-Content-Sha256"} {
		h.Del(name)
	}
	return awschunk.NewReader(body), length
}

// stripChecksums removes what S3 knows of checksums from a message's headers.
func stripChecksums(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Sdk-Checksum-") || name == "X-Amz-Trailer" || name == "Content-Md5"
	})
}

// withoutChecksums removes the checksum elements from S3's XML.
func withoutChecksums(b []byte) []byte {
	return regexp.MustCompile(`<Checksum[A-Za-z0-9]+>[^<]*</Checksum[A-Za-z0-9]+>`).ReplaceAll(b, nil)
}

// observe reads the list of a CompleteMultipartUpload where it must be
// rewritten or understood, and puts a meter on an upload's body for COS.
func (x *exchange) observe(h http.Header, body io.Reader, length int64) (*meter, io.Reader, int64, error) {
	q := x.r.URL.Query()
	cos := x.p.opts.COS
	switch {
	case x.r.Method == http.MethodPost && q.Has("uploadId") && (cos || x.plan.stripChecksums):
		b, err := io.ReadAll(io.LimitReader(body, maxXML))
		if err != nil {
			return nil, nil, 0, fmt.Errorf("read the list of parts: %w", err)
		}
		if x.plan.stripChecksums {
			b = withoutChecksums(b)
		}
		m := &meter{parts: partNumbers(b)}
		if !cos {
			m = nil
		}
		return m, bytes.NewReader(b), int64(len(b)), nil
	case cos && x.r.Method == http.MethodPut && x.r.Header.Get("X-Amz-Copy-Source") == "" && (q.Has("partNumber") || plainQuery(q)) && !awschunk.Framed(h):
		m := &meter{Hash64: crc64.New(crc64.MakeTable(crc64.ECMA))}
		return m, io.TeeReader(body, m), length, nil
	case cos && (x.r.Method == http.MethodHead || x.r.Method == http.MethodGet):
		return &meter{}, body, length, nil
	}
	return nil, body, length, nil
}

// plainQuery reports whether a request is about an object and not about a
// part, a version or a subresource of it; x-id is the SDK's own remark.
func plainQuery(q url.Values) bool { return len(q) == 0 || len(q) == 1 && q.Has("x-id") }

func partNumbers(b []byte) []int {
	var list struct {
		Part []struct{ PartNumber int }
	}
	if xml.Unmarshal(b, &list) != nil {
		return nil
	}
	var n []int
	for _, p := range list.Part {
		n = append(n, p.PartNumber)
	}
	return n
}

// learn keeps the checksums that a successful request brought, and adds COS's
// header to the answer.
func (x *exchange) learn(out *http.Request, resp *http.Response, m *meter) {
	if resp.StatusCode >= 300 {
		return
	}
	q, object := out.URL.Query(), out.URL.Path
	id := q.Get("uploadId")
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	piece, known := ecma{}, true
	switch out.Method {
	case http.MethodPut:
		piece = ecma{m.Sum64(), m.size}
		if id == "" {
			x.p.sums[object] = piece
			break
		}
		if x.p.parts[id] == nil {
			x.p.parts[id] = map[int]ecma{}
		}
		n, err := strconv.Atoi(q.Get("partNumber"))
		if known = err == nil; known {
			x.p.parts[id][n] = piece
		}
	case http.MethodPost:
		for _, n := range m.parts {
			p, ok := x.p.parts[id][n]
			known = known && ok
			piece = ecma{crc64sum.Combine(crc64sum.ECMA, piece.sum, p.sum, p.size), piece.size + p.size}
		}
		if delete(x.p.sums, object); known {
			x.p.sums[object] = piece
		}
		delete(x.p.parts, id)
	default:
		piece, known = x.p.sums[object]
		known = known && plainQuery(q)
	}
	if known {
		resp.Header.Set("X-Cos-Hash-Crc64ecma", strconv.FormatUint(piece.sum, 10))
	}
}

// flipper inverts one byte.
type flipper struct {
	r       io.Reader
	at, off int64
}

// Read implements io.Reader.
func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if i := f.at - f.off; i >= 0 && i < int64(n) {
		p[i] = ^p[i]
	}
	f.off += int64(n)
	return n, err
}

// counter counts what was sent on.
type counter struct {
	r io.Reader
	x *exchange
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.x.note(func(e *Entry) { e.BytesIn += int64(n) })
	return n, err
}
