package main

import (
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// screen is standard error while a command has progress to show: bars at the
// bottom of a terminal, and what is said or logged above them. Elsewhere it
// only passes on what is written.
type screen struct {
	c    *cli
	base io.Writer
	p    *mpb.Progress // nil: no terminal

	mu     sync.Mutex
	closed bool
}

// newScreen takes standard error over until close.
func newScreen(c *cli) *screen {
	s := &screen{c: c, base: c.stderr}
	if isTerminal(c.stderr) {
		s.p = mpb.New(mpb.WithOutput(c.stderr), mpb.WithWidth(80), mpb.WithRefreshRate(200*time.Millisecond))
	}
	c.stderr = s
	return s
}

// Write implements io.Writer.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p != nil && !s.closed {
		if n, err := s.p.Write(b); err == nil {
			return n, nil
		}
	}
	return s.base.Write(b)
}

// close removes what is left of the bars, which all have ended.
func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.p != nil {
		s.p.Wait()
	}
	s.closed = true
	s.c.stderr = s.base
}

// rateAge is how many updates the shown rate looks back on.
const rateAge = 30

// fileBar is the bar of one file; nil shows nothing.
type fileBar struct {
	bar *mpb.Bar
	at  time.Time // of the last change; zero before the first
}

// nameWidth is how much of a file's name fits before its bar.
const nameWidth = 28

// file adds a bar of size bytes; negative: nobody knows.
func (s *screen) file(name string, size int64) *fileBar {
	if s.p == nil {
		return nil
	}
	b := s.p.AddBar(0, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(cut(plain(name), nameWidth), decor.WC{W: nameWidth + 1, C: decor.DindentRight}), decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.EwmaSpeed(decor.SizeB1024(0), "% .1f", rateAge, decor.WCSyncSpace)),
	)
	b.SetTotal(max(size, 0), false)
	return &fileBar{bar: b}
}

// Write implements io.Writer: what is written has arrived.
func (b *fileBar) Write(p []byte) (int, error) {
	if b != nil {
		b.set(b.bar.Current() + int64(len(p)))
	}
	return len(p), nil
}

// set shows how much there is now. What there was at first counts for no rate.
func (b *fileBar) set(current int64) {
	now := time.Now()
	if b.at.IsZero() {
		b.bar.SetCurrent(current)
	} else {
		b.bar.EwmaSetCurrent(current, now.Sub(b.at))
	}
	b.at = now
}

// end removes the bar.
func (b *fileBar) end() {
	if b != nil {
		b.bar.Abort(true)
	}
}

// total adds the bar of everything; tell says how many things are done.
func (s *screen) total(tell func() string) *fileBar {
	if s.p == nil {
		return nil
	}
	b := s.p.AddBar(0, mpb.BarPriority(1<<20), // below those of files
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return tell() }), decor.CountersKibiByte("  % .1f / % .1f")),
		mpb.AppendDecorators(
			decor.EwmaSpeed(decor.SizeB1024(0), "% .1f", rateAge), decor.Name(", "),
			decor.EwmaETA(decor.ET_STYLE_GO, rateAge), decor.Name(" left"),
		),
	)
	return &fileBar{bar: b}
}
