package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"archiver/internal/fault"
)

// stallError is why a request was cut by us.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("no byte for %s", e.after) }

// watch cuts a request that makes no progress: armed before a read and
// disarmed after it, it costs no goroutine, and a slow reader is never taken
// for a slow server.
type watch struct {
	timer *time.Timer
	after time.Duration
}

func newWatch(after time.Duration, cancel context.CancelCauseFunc) *watch {
	t := time.AfterFunc(after, func() { cancel(&stallError{after: after}) })
	t.Stop()
	return &watch{timer: t, after: after}
}

func (w *watch) arm()    { w.timer.Reset(w.after) }
func (w *watch) disarm() { w.timer.Stop() }

// body is a Response's Body.
type body struct {
	t      target
	src    io.ReadCloser
	watch  *watch
	cancel context.CancelCauseFunc
	broken func(error) error // classifies a read's error

	want     int64 // bytes that this body may have
	left     int64 // of these, still to come
	declared bool  // want was declared; otherwise it is a limit
	cut      bool  // more was declared than was asked for: stop at want
	err      error // how it ended; sticky
}

// Read reads straight into p. The verdict on the end (too long, or just right)
// comes together with the last byte, so that a reader who stops there has it.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left == 0 {
		b.err = b.ending()
		return 0, b.err
	}
	b.watch.arm()
	n, err := b.src.Read(p[:min(int64(len(p)), b.left)])
	b.watch.disarm()
	b.left -= int64(n)
	switch {
	case err == nil && b.left > 0:
		return n, nil
	case err == nil:
		b.err = b.ending()
	case errors.Is(err, io.EOF) && (b.left == 0 || !b.declared):
		b.err = io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		b.err = b.early()
	default:
		b.err = b.broken(err)
	}
	return n, b.err
}

// ending says how the body ends, all bytes that it may have being read.
func (b *body) ending() error {
	if b.cut {
		return io.EOF
	}
	var extra [1]byte
	b.watch.arm()
	_, err := io.ReadFull(b.src, extra[:])
	b.watch.disarm()
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return b.broken(err)
	case b.declared:
		return b.t.fault(fault.Corrupt, fmt.Errorf("more bytes came than the %d that were declared", b.want))
	}
	f := b.t.fault(fault.Rejected, fmt.Errorf("no length was declared, and more than %d bytes came", b.want))
	f.Hint = "raise transfer.max_file_size if files may be that large"
	return f
}

// early is the end of a body that ended too early.
func (b *body) early() error {
	if !b.declared {
		return b.t.fault(fault.Temporary, fmt.Errorf("cut off after %d bytes: %w", b.want-b.left, io.ErrUnexpectedEOF))
	}
	return b.t.fault(fault.Temporary, fmt.Errorf("cut off after %d of %d bytes: %w", b.want-b.left, b.want, io.ErrUnexpectedEOF))
}

// Close gives the connection back if the body was read to its end, else cuts
// it. A Read that is under way returns.
func (b *body) Close() error {
	b.watch.disarm()
	b.cancel(nil)
	return b.src.Close()
}
