package wire

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long Release lets a write end by itself: the answer to a
// request may be there a moment before the write of its last byte returns.
const patience = 50 * time.Millisecond

// errReleased is what a body reads as whose bytes are no longer lent.
var errReleased = errors.New("the request is over, its body is no longer sent")

// Body is a request's body that lies in memory. The bytes are lent to it: net/http
// may go on writing a body after its answer came or its context ended, so who
// lends them calls Release before using them for something else.
type Body struct {
	rest  []byte    // guarded by hold
	other io.Closer // closed with this one; may be nil
	// hold has room for one: who put something in may touch rest. Release
	// leaves it full.
	hold    chan struct{}
	by      atomic.Pointer[net.Conn] // who writes it; nil before anybody does
	release sync.Once
}

// NewBody returns a body of p. other, if not nil, is what it stands for, and
// is closed with it.
func NewBody(p []byte, other io.Closer) *Body {
	return &Body{rest: p, other: other, hold: make(chan struct{}, 1)}
}

// borrow returns at most n bytes of what is left, for give to take back; false
// after Release.
func (b *Body) borrow(n int64) ([]byte, bool) {
	select {
	case b.hold <- struct{}{}:
		return b.rest[:min(n, int64(len(b.rest)))], true
	default:
		return nil, false
	}
}

// give ends a borrow of which n bytes were used.
func (b *Body) give(n int) {
	b.rest = b.rest[n:]
	<-b.hold
}

// Read copies, for connections of other makes.
func (b *Body) Read(p []byte) (int, error) {
	src, ok := b.borrow(int64(len(p)))
	if !ok {
		return 0, errReleased
	}
	n := copy(p, src)
	b.give(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// send writes at most n bytes to c, at most size at once.
func (b *Body) send(c net.Conn, n int64, size int) (sent int64, err error) {
	b.by.Store(&c)
	for sent < n {
		p, ok := b.borrow(min(int64(size), n-sent))
		if !ok {
			return sent, errReleased
		}
		m, err := c.Write(p)
		b.give(m)
		sent += int64(m)
		if err != nil || len(p) == 0 {
			return sent, err
		}
	}
	return sent, nil
}

// Release takes the bytes back: when it returns, nobody reads them any more
// and nobody will. It waits for a write that is under way, for 50 ms; then it
// closes that connection, which nobody can use again anyhow.
func (b *Body) Release() { b.release.Do(b.takeBack) }

func (b *Body) takeBack() {
	select {
	case b.hold <- struct{}{}:
		return
	default:
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case b.hold <- struct{}{}:
		return
	case <-t.C:
	}
	if c := b.by.Load(); c != nil {
		_ = (*c).Close() // to cut the write is all that it is for
	}
	b.hold <- struct{}{}
}

// Close closes what the body stands for. The bytes stay lent.
func (b *Body) Close() error {
	if b.other == nil {
		return nil
	}
	return b.other.Close()
}
