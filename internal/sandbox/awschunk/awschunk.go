// Package awschunk reads the framing that AWS SDKs put around an upload whose
// checksum comes behind the body (Content-Encoding: aws-chunked, the payload
// hashes STREAMING-…): each chunk is its length in hex, optionally
// ";chunk-signature=…", CRLF, the bytes, CRLF; a chunk of length 0 ends it,
// followed by trailer lines and an empty one (Amazon S3 API reference,
// "Signature calculations: transferring payload in multiple chunks").
// Signatures are not checked: the sandbox's servers take anyone for a friend.
package awschunk

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Framed reports whether a request's body has this framing.
func Framed(h http.Header) bool {
	return strings.HasPrefix(h.Get("X-Amz-Content-Sha256"), "STREAMING-") || strings.Contains(h.Get("Content-Encoding"), "aws-chunked")
}

// Reader yields the bytes within the frames. Trailer is filled when Read has
// returned io.EOF.
type Reader struct {
	Trailer http.Header // trailing headers, such as X-Amz-Checksum-Crc64nvme

	r    *bufio.Reader
	left int64 // of the present chunk
	err  error
}

// NewReader returns a Reader of the framed body r.
func NewReader(r io.Reader) *Reader {
	return &Reader{Trailer: http.Header{}, r: bufio.NewReaderSize(r, 64<<10)}
}

// Read implements io.Reader. A body that breaks the framing or ends before
// the last chunk is an error that wraps io.ErrUnexpectedEOF.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		if r.err = r.next(); r.err != nil {
			return 0, r.err
		}
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case err != nil:
		r.err = fmt.Errorf("aws-chunked body: %w", io.ErrUnexpectedEOF)
	case r.left == 0:
		r.err = r.crlf()
	}
	return n, r.err
}

// next reads the head of a chunk; behind the last one it reads the trailer
// and returns io.EOF.
func (r *Reader) next() error {
	line, err := r.r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("aws-chunked head: %w", io.ErrUnexpectedEOF)
	}
	size, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ";")
	if r.left, err = strconv.ParseInt(size, 16, 64); err != nil || r.left < 0 {
		return fmt.Errorf("aws-chunked head: no length: %w", io.ErrUnexpectedEOF)
	}
	if r.left > 0 {
		return nil
	}
	for {
		line, err := r.r.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if name, value, ok := strings.Cut(line, ":"); ok {
			r.Trailer.Set(textproto.TrimString(name), textproto.TrimString(value))
		}
		if err != nil || line == "" {
			return io.EOF // some clients leave out the last empty line
		}
	}
}

func (r *Reader) crlf() error {
	var end [2]byte
	if _, err := io.ReadFull(r.r, end[:]); err != nil || string(end[:]) != "\r\n" {
		return fmt.Errorf("aws-chunked chunk without end: %w", io.ErrUnexpectedEOF)
	}
	return nil
}
