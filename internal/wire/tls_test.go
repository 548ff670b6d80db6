package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns a connection of this package and the other end of it.
func pair(t testing.TB) (ours net.Conn, peer *tls.Conn) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	accepted := make(chan *tls.Conn, 1)
	go func() {
		defer close(accepted)
		c, err := l.Accept()
		if err != nil {
			return
		}
		if peer, ok := c.(*tls.Conn); ok && peer.Handshake() == nil {
			accepted <- peer
		}
	}()
	d := Dialer{Dial: new(net.Dialer).DialContext, TLS: trust(s), HandshakeTimeout: time.Minute, Stall: time.Minute, Ahead: 128 << 10}
	ours, err = d.DialTLSContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, ok := <-accepted
	if !ok {
		t.Fatal("the other end has no handshake")
	}
	t.Cleanup(func() { _, _ = ours.Close(), peer.Close() })
	return ours, peer
}

// TestGoodbyeComesLast: Close sends close_notify behind all that was written,
// without which the other end could not tell a cut from an end.
func TestGoodbyeComesLast(t *testing.T) {
	ours, peer := pair(t)
	want := content(3*mib + 5)
	go func() {
		if n, err := ours.Write(want); n != len(want) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		if err := ours.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestReadsAhead(t *testing.T) {
	ours, peer := pair(t)
	want := content(256 << 10)
	if _, err := peer.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, mib)
	n, err := ours.Read(got)
	if n <= oneRecord || err != nil {
		t.Errorf("the first read has %d bytes, no more than a record, %v", n, err)
	}
	for _, size := range []int{1, 100, oneRecord, mib} {
		m, err := ours.Read(got[n:min(n+size, len(got))])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	rest, err := io.ReadAll(ours)
	if got = append(got[:n], rest...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

// TestCloseCutsAWrite: the other end has read one record of those that are
// being sent together, and reads no more.
func TestCloseCutsAWrite(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	a, b := net.Pipe()
	peer := tls.Server(b, s.TLS)
	shaken := make(chan error, 1)
	go func() { shaken <- peer.Handshake() }()
	d := Dialer{TLS: trust(s), Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
	ours, err := d.DialTLSContext(t.Context(), "tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := ours.Write(make([]byte, mib))
		failed <- err
	}()
	if _, err := io.ReadFull(peer, make([]byte, oneRecord)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-shaken, ours.Close()); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the write ends with %v", err)
	}
	if _, err := ours.Write(make([]byte, 1)); err == nil {
		t.Error("a write after a missing record succeeds")
	}
	_ = b.Close()
}

// TestRecordsKeepTheirOrder: what another goroutine of crypto/tls writes while
// records are gathered (an alert, a key update) goes behind those before it.
func TestRecordsKeepTheirOrder(t *testing.T) {
	a, b := net.Pipe()
	r := &records{Conn: a, in: make([]byte, oneRecord)}
	read := make(chan []byte, 1)
	go func() {
		got, _ := io.ReadAll(b)
		read <- got
	}()
	var want []byte
	write := func(n int) {
		p := content(n)
		want = append(want, p...)
		if m, err := r.Write(p); m != n || err != nil {
			t.Errorf("wrote %d of %d, %v", m, n, err)
		}
	}
	write(100)
	r.begin()
	for range 20 { // more than the buffer holds
		write(sealed)
	}
	write(24)
	sent, err := r.end()
	if sent != 20*sealed+24 || err != nil {
		t.Errorf("%d bytes sent, %v", sent, err)
	}
	write(24)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if got := <-read; !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, or in another order", len(got), len(want))
	}
}

func TestHandshakeErrors(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	d := Dialer{Dial: new(net.Dialer).DialContext, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	_, err := d.DialTLSContext(t.Context(), "tcp", s.Listener.Addr().String())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("an unknown authority: %v", err)
	}
	d.TLS = trust(s)
	d.TLS.ServerName = "elsewhere.invalid"
	_, err = d.DialTLSContext(t.Context(), "tcp", s.Listener.Addr().String())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("another name: %v", err)
	}
	if _, err := d.DialTLSContext(t.Context(), "tcp", "no port"); err == nil {
		t.Error("an address without a port is taken")
	}
}

// silent is a dialer to somebody who takes what take says and answers nothing.
func silent(take func(net.Conn)) Dialer {
	return Dialer{
		TLS: &tls.Config{ServerName: "silent", MinVersion: tls.VersionTLS12},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, peer := net.Pipe()
			go take(peer)
			return ours, nil
		},
	}
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := silent(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		d.HandshakeTimeout = 10 * time.Second
		start := time.Now()
		_, err := d.DialTLSContext(t.Context(), "tcp", "silent:443")
		ne, ok := errors.AsType[net.Error](err)
		if !ok || !ne.Timeout() || time.Since(start) != d.HandshakeTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.DialTLSContext(ctx, "tcp", "silent:443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context's end: %v", err)
		}
	})
}

// TestStall: a byte a minute is slow; nothing for a minute, or nearly two, is
// a stall.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 10
		d := silent(func(c net.Conn) {
			for range slow {
				<-time.After(59 * time.Second)
				_, _ = io.ReadFull(c, make([]byte, 1))
			}
		})
		d.Stall = time.Minute
		c, err := d.DialContext(t.Context(), "tcp", "silent:80")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		n, err := c.Write(make([]byte, 100))
		if passed := time.Since(start); n != slow || !errors.Is(err, os.ErrDeadlineExceeded) || passed < slow*59*time.Second+time.Minute/60 || passed > slow*59*time.Second+2*time.Minute {
			t.Errorf("%d bytes, %v after %v", n, err, passed)
		}
		// Who sets a deadline has it kept.
		if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		if _, err := c.Write(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
