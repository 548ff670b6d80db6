package sync

import (
	"context"
	"errors"
	"slices"

	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
)

// start fetches a piece that has its buffer. The caller holds mu.
func (w *window) start(p *piece) {
	s := w.lead
	byLead := !w.parallel || !w.leading && s.body != nil && s.off == p.off
	if !byLead {
		s = &stream{origin: w.x.src, off: p.off, end: p.off + p.size}
	}
	w.running++
	if byLead { // whose answer goes on with the next piece
		w.leading = true
		w.keep(p)
		w.wg.Go(func() { w.fetch(w.ctx, p, s, true) })
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	p.drop = cancel
	w.wg.Go(func() {
		defer cancel()
		w.fetch(ctx, p, s, false)
	})
}

// tellEach is after how many bytes the hash is told that more have come.
const tellEach = 256 << 10

// fetch fills a piece and settles what came of it. CRC64NVME is summed as the
// bytes come, while the processor still has them at hand.
func (w *window) fetch(ctx context.Context, p *piece, s *stream, byLead bool) {
	var (
		n, told int64
		crc     uint64
	)
	_, end, err := s.fill(ctx, p.buf[:p.size], func(m int) {
		crc = crc64nvme.Update(crc, p.buf[n:n+int64(m)])
		n += int64(m)
		if told == 0 || n-told >= tellEach { // the first bytes may tell that it is no media at all
			told = n
			w.came(p, n)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	defer hint(w.hint)
	w.running--
	if byLead {
		w.leading = false
	}
	if err != nil || !byLead || w.overtaken(s) {
		s.close()
	}
	p.drop, p.n, p.crc = nil, n, crc
	lowest := len(w.pieces) > 0 && w.pieces[0] == p
	switch {
	case p.recalled && (err != nil || !lowest):
		w.giveUp(p)
	case err == nil:
		p.done, p.size, p.recalled = true, n, false
		w.ended = w.ended || end
	case w.parallel && !lowest && !final(err):
		w.narrow = w.narrow || errors.Is(err, errNoRanges)
		p.tired = true
		w.giveUp(p)
	default:
		w.failed(err)
	}
}

// overtaken reports whether what lead would read next is fetched by another
// stream. The caller holds mu.
func (w *window) overtaken(s *stream) bool {
	return w.parallel && slices.ContainsFunc(w.pieces, func(p *piece) bool { return p.off == s.off && p.buf != nil })
}

// final reports whether the failure of a range ahead is the file's at once.
// Others are left to the range's turn.
func final(err error) bool {
	if _, ok := errors.AsType[*startOver](err); ok {
		return !errors.Is(err, errNoRanges)
	}
	if _, ok := errors.AsType[*sideError](err); !ok {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Forbidden, fault.Rejected, fault.NotFound:
		return true
	default:
		return false
	}
}

// came tells that the first n bytes of a piece are there.
func (w *window) came(p *piece, n int64) {
	w.mu.Lock()
	p.n = n
	w.mu.Unlock()
	hint(w.hint)
}
