package web

import (
	"io"
	"net/http"
	"time"
)

// stallTimeout is how long one read of a body, or one write, may take.
const stallTimeout = time.Minute

// patient gives every read and write of an answer a deadline of its own, in
// place of one for the whole, which may take hours. net/http itself reads what
// a handler left of a body, and writes what it left in a buffer: those have
// deadlines too, so it has to be the outermost handler. A write deadline of the
// request before, on the same connection, would otherwise still be in force.
func patient(next http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := &deadlines{c: http.NewResponseController(w), stall: stall, reading: r.Body != nil && r.Body != http.NoBody}
		d.arm()
		defer d.arm()
		if d.reading {
			r.Body = &patientBody{r.Body, d}
		}
		next.ServeHTTP(&patientWriter{w, d}, r)
	})
}

// deadlines are those of one request. A connection that knows none has none.
type deadlines struct {
	c       *http.ResponseController
	stall   time.Duration
	reading bool // the body has not ended
}

func (d *deadlines) arm() {
	d.write()
	if d.reading {
		_ = d.c.SetReadDeadline(time.Now().Add(d.stall))
	}
}

// write comes before a write. While a body has not ended, net/http reads of it
// before it writes the head, for as long as a read may take.
func (d *deadlines) write() {
	stall := d.stall
	if d.reading {
		stall *= 2
	}
	_ = d.c.SetWriteDeadline(time.Now().Add(stall))
}

// patientBody is a request's body.
type patientBody struct {
	io.ReadCloser
	d *deadlines
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	b.d.arm()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// net/http reads on, to notice a client that goes: that may take as
		// long as it likes.
		b.d.reading = false
		_ = b.d.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// patientWriter is where an answer goes.
type patientWriter struct {
	http.ResponseWriter
	d *deadlines
}

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (int, error) {
	w.d.write()
	return w.ResponseWriter.Write(p)
}

// FlushError implements what http.ResponseController looks for.
func (w *patientWriter) FlushError() error {
	w.d.write()
	return w.d.c.Flush()
}

// Unwrap gives http.ResponseController the rest.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
