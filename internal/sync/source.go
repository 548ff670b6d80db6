package sync

import (
	"context"
	"errors"
	"io"
	"time"

	"archiver/internal/download"
	"archiver/internal/fault"
)

// quickRetries is how often a source is tried again at once, in a row without
// a byte, before the attempt is given up and the file waits its turn.
const quickRetries = 3

// connect asks the source for the bytes from x.off on, refreshing the link as
// often as that helps, and remembers the version that answered first.
func (x *transfer) connect(ctx context.Context) error {
	for {
		if err := x.reading.Err(); err != nil {
			return err
		}
		url, err := x.o.Links.Get(ctx, x.ref, x.rec.AdoptedFrom)
		if err != nil {
			return &vendorError{err}
		}
		req := download.Request{URL: url, Offset: x.off, Length: -1, Whole: x.single}
		if x.single {
			x.pinned = false // without a strong validator each answer is a file of its own
		}
		if x.pinned {
			v := x.version
			req.Pin = &v
		}
		resp, err := x.t.Source.Get(ctx, req)
		if err == nil {
			x.url = url
			return x.answered(resp)
		}
		if err := x.recover(ctx, err); err != nil {
			return err
		}
	}
}

// answered takes an answer's body if it begins where it was asked to.
func (x *transfer) answered(resp *download.Response) error {
	if resp.Offset != x.off {
		_ = resp.Body.Close() // unread on purpose
		return &startOver{"the source no longer answers ranges"}
	}
	if !x.pinned {
		x.version, x.pinned = resp.Version, true
		x.single = !x.version.Strong || x.version.Length < 0
		x.sized(x.version.Length)
	}
	if x.off == 0 {
		x.crc = resp.CRC64ECMA // also of a version that was pinned before, without a part yet
	}
	x.body = resp.Body
	return nil
}

// recover returns nil if the source is worth another try right now.
func (x *transfer) recover(ctx context.Context, err error) error {
	switch fault.KindOf(err) {
	case fault.LinkExpired:
		x.expired++
		if x.expired > 2 {
			return fromSource(err) // fresh links do not help
		}
		if _, lerr := x.o.Links.Refresh(ctx, x.ref, x.rec.AdoptedFrom, RefreshRefused); lerr != nil {
			return &vendorError{lerr}
		}
		return nil
	case fault.Changed:
		return &startOver{"the source changed: " + err.Error()}
	case fault.Temporary:
		x.fails++
		wait := max(250*time.Millisecond<<x.fails, fault.RetryAfterOf(err))
		if x.fails > quickRetries || wait > 10*time.Second {
			return fromSource(err)
		}
		x.o.Observer.Retried(x.ref.Tenant, SideSource)
		return sleep(x.reading, wait)
	default:
		return fromSource(err)
	}
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// fill reads until buf is full or the file ends (end), reconnecting at the
// very byte where an answer broke off.
func (x *transfer) fill(ctx context.Context, buf []byte) (n int, end bool, err error) {
	for n < len(buf) && !x.atEnd() {
		if x.body == nil {
			if err := x.connect(ctx); err != nil {
				return n, false, err
			}
		}
		m, err := x.body.Read(buf[n:min(len(buf), n+readChunk)])
		n += m
		x.off += int64(m)
		if m > 0 {
			x.fails, x.expired = 0, 0
			x.sourceBytes(x.ref.Tenant, m)
			if terr := x.throttle(ctx, m); terr != nil {
				return n, false, terr
			}
		}
		if errors.Is(err, io.EOF) && (x.version.Length < 0 || x.atEnd()) {
			x.hangUp()
			return n, true, nil
		}
		if err == nil {
			continue
		}
		if err := x.broken(ctx, err); err != nil {
			return n, false, err
		}
	}
	if x.atEnd() {
		x.finish()
		return n, true, nil
	}
	return n, false, nil
}

// readChunk bounds one Read, so that a bandwidth limit is smooth and a
// shutdown is not held up by a whole part.
const readChunk = 1 << 20

func (x *transfer) atEnd() bool {
	return x.pinned && x.version.Length >= 0 && x.off >= x.version.Length
}

// broken decides what an answer that ended early means.
func (x *transfer) broken(ctx context.Context, err error) error {
	x.hangUp()
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	if errors.Is(err, io.EOF) {
		err = &fault.Error{Op: "download", Subject: x.f.SourcePath, Kind: fault.Temporary, Err: io.ErrUnexpectedEOF}
	}
	if x.single && x.off > 0 {
		return fromSource(err) // it cannot be resumed: the next attempt starts over
	}
	return x.recover(ctx, err)
}

func (x *transfer) hangUp() {
	if x.body != nil {
		_ = x.body.Close() // read-only: nothing can be lost
		x.body = nil
	}
}

// finish lets the answer end by itself, so that its connection can be used
// again.
func (x *transfer) finish() {
	if x.body != nil {
		_, _ = x.body.Read(make([]byte, 1))
		x.hangUp()
	}
}
