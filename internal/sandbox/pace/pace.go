// Package pace makes a server slow: a latency before each answer and a rate
// for each connection, so that a fast machine can stand in for a far one.
package pace

import (
	"context"
	"io"
	"time"
)

// Wait returns after d, or earlier with the context's error.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// quantum is how long a paced stream runs between two pauses.
const quantum = 20 * time.Millisecond

// meter says how long to wait so that the bytes that went by keep to a rate.
type meter struct {
	rate  int64
	begun time.Time
	bytes int64
}

func (m *meter) wait(ctx context.Context, n int) error {
	if m.begun.IsZero() {
		m.begun = time.Now()
	}
	m.bytes += int64(n)
	due := m.begun.Add(time.Duration(float64(m.bytes) / float64(m.rate) * float64(time.Second)))
	return Wait(ctx, time.Until(due))
}

// piece is how many bytes go at once, so that even a slow stream flows.
func (m *meter) piece() int { return int(max(1, m.rate*int64(quantum)/int64(time.Second))) }

// Writer returns w limited to rate bytes per second; rate 0 or less is no
// limit. A write that waits ends with the context's error. flush, if not nil,
// is called after each piece.
func Writer(ctx context.Context, w io.Writer, rate int64, flush func() error) io.Writer {
	if rate <= 0 {
		return w
	}
	m := &meter{rate: rate}
	return writerFunc(func(p []byte) (int, error) {
		done := 0
		for done < len(p) {
			n, err := w.Write(p[done:min(len(p), done+m.piece())])
			done += n
			if err != nil {
				return done, err
			}
			if flush != nil {
				if err := flush(); err != nil {
					return done, err
				}
			}
			if err := m.wait(ctx, n); err != nil {
				return done, err
			}
		}
		return done, nil
	})
}

// Reader returns r limited to rate bytes per second; rate 0 or less is no
// limit. A read that waits ends with the context's error.
func Reader(ctx context.Context, r io.Reader, rate int64) io.Reader {
	if rate <= 0 {
		return r
	}
	m := &meter{rate: rate}
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p[:min(len(p), m.piece())])
		if werr := m.wait(ctx, n); werr != nil {
			return n, werr
		}
		return n, err
	})
}

type writerFunc func(p []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
