package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// oneRecord is the largest payload of a TLS record, in bytes.
	oneRecord = 16 << 10
	// sealed is what a record may take on the wire: the header, the payload, and
	// the most that TLS 1.2 allows encryption to add (RFC 5246 section 6.2.3).
	sealed = 5 + oneRecord + 2048
	// gathered is how much of a Body is encrypted before it is written.
	gathered = 64 << 10
	// gatherBuffer holds that much when it is encrypted: every suite in use
	// adds less than 128 bytes to a record.
	gatherBuffer = gathered + gathered/oneRecord*128
)

// secure is a TLS connection over records.
type secure struct {
	net.Conn // the *tls.Conn
	under    *records
	write    sync.Mutex  // held by a write that gathers
	writing  atomic.Bool // there is one
}

// Read is net.Conn's. crypto/tls returns a record at most; as long as another
// one is here in whole, it is read along.
func (c *secure) Read(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	for err == nil && n < len(p) && c.under.ready() >= sealed {
		var m int
		m, err = c.Conn.Read(p[n:])
		n += m
	}
	return n, err
}

// Write is net.Conn's. What is more than a record is gathered.
func (c *secure) Write(p []byte) (n int, err error) {
	if len(p) <= oneRecord {
		return c.Conn.Write(p)
	}
	c.write.Lock()
	defer c.write.Unlock()
	c.writing.Store(true)
	defer c.writing.Store(false)
	for n < len(p) && err == nil {
		var m int
		m, err = c.gather(p[n:min(n+gathered, len(p))])
		n += m
	}
	return n, err
}

// gather writes p with as few writes as its records fit into. n is how much of
// p was sent, or, if not all was, a little more: some of it is the records' own.
func (c *secure) gather(p []byte) (n int, err error) {
	c.under.begin()
	n, err = c.Conn.Write(p)
	sent, flushErr := c.under.end()
	if err == nil {
		err = flushErr
	}
	if err != nil {
		n = min(sent, len(p))
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *secure) ReadFrom(r io.Reader) (int64, error) { return take(c, r, gathered) }

// Close cuts a write that is under way, and else says goodbye first; as
// crypto/tls does, which knows nothing of what is still gathered.
func (c *secure) Close() error {
	if c.writing.Load() {
		return c.under.Close()
	}
	return c.Conn.Close()
}

// records is the connection beneath crypto/tls.
type records struct {
	net.Conn

	mu   sync.Mutex
	out  *[]byte // what is gathered; nil: nobody gathers; guarded by mu
	sent int     // bytes since begin; guarded by mu
	err  error   // of a write; sticky, since a record is missing then; guarded by mu

	// What was read ahead is in[from:to]. crypto/tls reads in one goroutine at a
	// time.
	in       []byte
	from, to int
}

// gathering are the buffers of writes.
//
//nolint:gochecknoglobals // a pool is shared or useless
var gathering = sync.Pool{New: func() any { b := make([]byte, 0, gatherBuffer); return &b }}

// begin starts to gather.
func (r *records) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = 0
	r.out, _ = gathering.Get().(*[]byte)
}

// end sends what was gathered and says how many bytes were sent since begin.
func (r *records) end() (sent int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	gathering.Put(r.out)
	r.out = nil
	return r.sent, r.err
}

// flush sends what was gathered. The caller holds r.mu.
func (r *records) flush() {
	if r.err == nil && len(*r.out) > 0 {
		var n int
		n, r.err = r.Conn.Write(*r.out)
		r.sent += n
	}
	*r.out = (*r.out)[:0]
}

// Write takes a record, or several, from whichever goroutine crypto/tls made it
// in.
func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	if r.out == nil {
		var n int
		n, r.err = r.Conn.Write(p)
		return n, r.err
	}
	if len(*r.out)+len(p) > cap(*r.out) {
		if r.flush(); r.err != nil {
			return 0, r.err
		}
	}
	*r.out = append(*r.out, p...)
	return len(p), nil
}

// Read is net.Conn's, from what was read ahead.
func (r *records) Read(p []byte) (int, error) {
	if r.from == r.to {
		n, err := r.Conn.Read(r.in)
		if n == 0 {
			return 0, err // an error that comes with bytes comes again
		}
		r.from, r.to = 0, n
	}
	n := copy(p, r.in[r.from:r.to])
	r.from += n
	return n, nil
}

// ready is how many bytes can be read without waiting.
func (r *records) ready() int { return r.to - r.from }
