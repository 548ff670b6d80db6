// Package wire makes the connections that files travel over, for an
// http.Transport, with fewer system calls and copies than net/http and
// crypto/tls make alone.
//
//	plain  Body ──────────────────── 1 MiB a write ─► socket
//	TLS    Body ─ 16 KiB a record ─► gathered, 64 KiB a write ─► socket
//	       buffer ◄─ 16 KiB a record ◄─ read ahead, as much as is there ◄─ socket
//
// net/http copies a request's body through 32 KiB, unless the body is a file:
// each time a copy, a write(2) and a deadline. A Body lies in memory already,
// and these connections write it from where it lies. Nothing of net/http is
// replaced for that: it asks each connection whether it is an io.ReaderFrom.
//
// crypto/tls writes each record with a write(2) of its own, and reads hardly
// more than one with each read(2). The connection beneath it collects the
// records of one large write, and reads ahead. Only while such a write goes on
// is anything kept back, and it is sent when the write ends, in the order in
// which crypto/tls made it; so handshakes, alerts and key updates of either side
// never wait for more to come.
//
// Through a proxy this is the connection to the proxy; TLS to the host behind it
// is net/http's own.
package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// piece is how much of a Body is written at once, in bytes.
	piece = 1 << 20
	// copied is how much of any other body is, in bytes.
	copied = 256 << 10
)

// Dialer makes connections. Its two methods are an http.Transport's
// DialContext and DialTLSContext.
type Dialer struct {
	// Dial makes the connection beneath.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is what DialTLSContext shakes hands with; without a ServerName, that
	// of the address is verified.
	TLS *tls.Config
	// HandshakeTimeout bounds the handshake; 0: the context alone does.
	HandshakeTimeout time.Duration
	// Ahead is how many bytes of a TLS connection are read at once, at most. It
	// holds a buffer of that size for as long as it is open; 0: 16 KiB, a
	// record.
	Ahead int
	// Stall is how long a write waits for the network to take a byte (at most
	// twice that is waited); 0: for ever.
	Stall time.Duration
}

// DialContext makes a plain connection. Errors are those of Dial.
func (d Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &plain{Conn: c, stall: d.Stall}, nil
}

// DialTLSContext makes a TLS connection whose handshake is done. Errors are
// those of Dial and of the handshake, as they are, among them
// *tls.CertificateVerificationError; one that takes too long is a net.Error
// with Timeout.
func (d Dialer) DialTLSContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := d.TLS.Clone()
	config.DynamicRecordSizingDisabled = true
	if config.ServerName == "" {
		config.ServerName = host
	}
	under := &records{Conn: c, in: make([]byte, cmp.Or(d.Ahead, oneRecord))}
	t := tls.Client(under, config)
	if err := d.shakeHands(ctx, t); err != nil {
		_ = c.Close() // the handshake's error is what counts
		return nil, err
	}
	return &secure{Conn: t, under: under}, nil
}

func (d Dialer) shakeHands(ctx context.Context, t *tls.Conn) error {
	if d.HandshakeTimeout <= 0 {
		return t.HandshakeContext(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, d.HandshakeTimeout)
	defer cancel()
	err := t.HandshakeContext(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return handshakeTimeout{d.HandshakeTimeout}
	}
	return err
}

// handshakeTimeout is a handshake that took too long; a net.Error.
type handshakeTimeout struct{ after time.Duration }

func (e handshakeTimeout) Error() string {
	return fmt.Sprintf("TLS handshake: not done after %s", e.after)
}
func (handshakeTimeout) Timeout() bool   { return true }
func (handshakeTimeout) Temporary() bool { return true }

// plain is a connection that takes a Body from where it lies, and gives up
// when the network takes nothing for stall, which would otherwise block for as
// long as the kernel retransmits.
type plain struct {
	net.Conn
	stall time.Duration
	bound atomic.Bool // somebody else has set a deadline for writes
}

// SetDeadline is net.Conn's; until it is taken back, no write has one of its
// own.
func (c *plain) SetDeadline(t time.Time) error {
	c.bound.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline is as SetDeadline.
func (c *plain) SetWriteDeadline(t time.Time) error {
	c.bound.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// Write is net.Conn's. Its deadline moves on as long as something is taken: a
// slow network is no dead one.
func (c *plain) Write(p []byte) (n int, err error) {
	for {
		own := c.stall > 0 && !c.bound.Load()
		if own {
			if err := c.Conn.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
				return n, err
			}
		}
		m, err := c.Conn.Write(p[n:])
		n += m
		if err == nil || m == 0 || !own || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// ReadFrom implements io.ReaderFrom.
func (c *plain) ReadFrom(r io.Reader) (int64, error) { return take(c, r, piece) }

// buffers are for bodies that don't lie in memory.
//
//nolint:gochecknoglobals // a pool is shared or useless
var buffers = sync.Pool{New: func() any { b := make([]byte, copied); return &b }}

// take writes to c what r has: a Body, as net/http hands one on, in pieces of
// at most size bytes and without a copy; anything else through a buffer.
func take(c net.Conn, r io.Reader, size int) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if b, ok := l.R.(*Body); ok {
			n, err := b.send(c, l.N, size)
			l.N -= n
			return n, err
		}
	}
	buf, ok := buffers.Get().(*[]byte)
	if !ok {
		return 0, io.ErrShortBuffer
	}
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, *buf)
}
