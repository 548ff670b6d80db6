package sync

import (
	"context"
	"sync"
)

// window is the parts of a file that are between the source and the hash:
// being fetched, or fetched and waiting for their turn. Its methods but recall
// and those of fetches are called by the transfer's goroutine.
//
// The lowest part is the one that must move on. It waits for its buffer if it
// has to, and keeps it; a failure to fetch it is the file's. Those ahead of it
// only borrow: they take what nobody waits for, in part order, and give it
// back when the pool recalls it or their range fails; then they are fetched
// again when their turn has come. So a file that waits for a buffer holds none
// but those on their way to the bucket, and no two files can wait for each
// other.
type window struct {
	x        *transfer
	owner    door
	partSize int64
	class    int64 // of its buffers
	streams  int   // fetches at once
	lead     *stream
	parallel bool // each part by a range of its own; else all by lead

	ctx  context.Context //nolint:containedctx // of the source, which ends with the window
	take context.Context //nolint:containedctx // of waiting for a buffer: it ends also when no part is to be begun any more
	stop func()
	hint chan struct{} // something has come
	wg   sync.WaitGroup

	mu      sync.Mutex
	pieces  []*piece // in order; the first is the lowest that is not hashed yet
	number  int32    // of the last piece
	next    int64    // where the piece behind it begins
	ended   bool     // there is none behind it
	running int      // fetches
	leading bool     // one of them is by lead
	narrow  bool     // a range was answered with the whole file: nothing is read ahead
	sending int      // buffers on their way to the bucket
	err     error    // what ends the transfer
}

// piece is a part on its way to the hash.
type piece struct {
	number   int32
	off      int64
	size     int64 // bytes it is to have; less where the file ended sooner than it said
	hashed   int64 // bytes; the transfer's goroutine alone
	buf      []byte
	n        int64  // bytes that have come
	crc      uint64 // CRC64NVME of them, once it is done
	done     bool   // all have
	loan     *loan  // nil: it keeps its buffer
	drop     func() // ends its fetch, nil if there is none
	recalled bool   // the pool wants its buffer back
	tired    bool   // its range failed: it waits for its turn
}

// newWindow begins at x.off, behind the part of that number, with the stream
// that open made under ctx. stop ends ctx. The window must be closed.
func (x *transfer) newWindow(ctx context.Context, stop func(), partSize int64, number int32) *window {
	w := &window{
		x: x, owner: x.door(), partSize: partSize, class: poolClass(partSize, x.o.PartSize), streams: x.o.Streams,
		lead: x.lead, parallel: x.parallel, ctx: ctx, hint: make(chan struct{}, 1), next: x.off, number: number,
	}
	take, stopTake := context.WithCancel(x.reading)
	w.take, w.stop = take, func() { stop(); stopTake() }
	return w
}

// close ends all fetches and gives back what is still held.
func (w *window) close() {
	w.stop()
	w.wg.Wait()
	w.lead.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pieces {
		w.giveUp(p)
	}
	w.pieces = nil
}

// fail ends the transfer, for the first reason that is given.
func (w *window) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed(err)
}

func (w *window) failed(err error) {
	if w.err == nil {
		w.err = err
	}
	w.stop()
	hint(w.hint)
}

func (w *window) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// begin starts what there is room for, and waits only for a buffer of the
// lowest piece.
func (w *window) begin() error {
	for {
		w.mu.Lock()
		p, lowest := w.candidate()
		switch {
		case w.err != nil || p == nil:
			defer w.mu.Unlock()
			return w.err
		case w.take.Err() != nil: // no part is begun any more
			defer w.mu.Unlock()
			if lowest {
				return w.take.Err()
			}
			return nil
		case w.borrow(p, lowest):
			w.start(p)
			w.mu.Unlock()
			continue
		}
		w.mu.Unlock()
		if !lowest {
			return nil
		}
		buf, err := w.x.pool.take(w.take, w.owner, w.class)
		if err != nil {
			if failed := w.failure(); failed != nil {
				return failed
			}
			return err
		}
		w.mu.Lock()
		p.buf = buf
		w.start(p)
		w.mu.Unlock()
	}
}

// candidate returns the piece to be begun next, nil if none is to be now, and
// whether it is the lowest. The caller holds mu.
func (w *window) candidate() (p *piece, lowest bool) {
	if len(w.pieces) > 0 && w.pieces[0].buf == nil {
		return w.pieces[0], true
	}
	limit, ahead := w.streams, max(w.streams, 2)
	if !w.parallel || w.narrow {
		limit, ahead = 1, 2 // the next is fetched while the lowest is hashed
	}
	held := 0
	for _, p := range w.pieces {
		if p.buf != nil {
			held++
		}
	}
	if w.running >= limit || held >= ahead || held+w.sending >= 2*w.streams {
		return nil, false
	}
	for _, p := range w.pieces {
		if p.buf == nil && !p.tired {
			return p, false
		}
	}
	if w.ended || len(w.pieces) >= 2*w.streams {
		return nil, false
	}
	p = &piece{number: w.number + 1, off: w.next, size: w.partSize}
	if l := w.x.src.version.Length; l >= 0 {
		p.size = min(p.size, l-p.off)
		w.ended = p.off+p.size >= l
	}
	w.pieces = append(w.pieces, p)
	w.number, w.next = p.number, p.off+p.size
	return p, len(w.pieces) == 1
}

// borrow gets a buffer if nobody waits for it. The caller holds mu.
func (w *window) borrow(p *piece, lowest bool) bool {
	if p.buf, p.loan = w.x.pool.lend(w.owner, w.class, func() { w.recall(p) }); p.buf == nil {
		return false
	}
	if lowest {
		w.keep(p)
	}
	return true
}

// keep ends the loan of a piece's buffer: it is not recalled any more. The
// caller holds mu.
func (w *window) keep(p *piece) {
	if p.loan != nil {
		w.x.pool.keep(p.loan)
		p.loan = nil
	}
}

// giveUp gives a piece's buffer back; it has to be fetched again. The caller
// holds mu.
func (w *window) giveUp(p *piece) {
	if p.buf == nil {
		return
	}
	w.keep(p)
	w.x.pool.put(w.owner, p.buf)
	*p = piece{number: p.number, off: p.off, size: p.size, tired: p.tired}
}

// recall gives the buffer of a piece back to the pool, where others wait for
// one, unless its turn has come meanwhile.
func (w *window) recall(p *piece) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case p.loan == nil:
	case p.drop != nil:
		p.recalled = true
		p.drop() // the fetch gives it back
	default:
		w.giveUp(p)
		hint(w.hint)
	}
}

// await returns the lowest piece as soon as what there is of it is enough, with
// the number of bytes that are there and whether these are all. nil: the file
// has ended.
func (w *window) await(enough func(p *piece) bool) (p *piece, n int64, done bool, err error) {
	for {
		if err := w.begin(); err != nil {
			return nil, 0, false, err
		}
		p, n, done, ok := w.lowest(enough)
		if ok {
			return p, n, done, nil
		}
		select {
		case <-w.hint:
		case <-w.ctx.Done():
			if err := w.failure(); err != nil {
				return nil, 0, false, err
			}
			return nil, 0, false, w.ctx.Err()
		}
	}
}

func (w *window) lowest(enough func(p *piece) bool) (p *piece, n int64, done, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pieces) == 0 {
		return nil, 0, false, w.ended
	}
	p = w.pieces[0]
	if p.recalled || !enough(p) { // what is recalled may have to be fetched again
		return nil, 0, false, false
	}
	return p, p.n, p.done, true
}

// last reports whether the file ends with p, which is whole.
func (w *window) last(p *piece) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended && p.number == w.number
}

// hashChunk bounds how long the hash is at it before it looks what else has
// come.
const hashChunk = 512 << 10

// each hashes the file in order, while it comes, and hands each part that is
// whole to use, with its CRC64NVME. use owns the buffer until it calls free.
func (w *window) each(use func(number int32, body []byte, crc uint64) error) error {
	for {
		p, n, _, err := w.await(func(p *piece) bool { return p.done || p.n > p.hashed })
		if p == nil || err != nil {
			return err
		}
		if n > p.hashed {
			n = min(n, p.hashed+hashChunk)
			w.x.digest.take(p.buf[p.hashed:n])
			p.hashed = n
			continue
		}
		w.pop()
		if p.n == 0 { // the file ended where the part before did
			w.free(p.buf)
			continue
		}
		if err := use(p.number, p.buf[:p.n], p.crc); err != nil {
			return err
		}
	}
}

// pop takes the lowest piece, with its buffer, out of the window.
func (w *window) pop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pieces = w.pieces[1:]
	w.sending++
	if len(w.pieces) > 0 {
		w.keep(w.pieces[0])
	}
}

// free gives the buffer of a part back that each has handed out.
func (w *window) free(body []byte) {
	w.x.pool.put(w.owner, body)
	w.mu.Lock()
	w.sending--
	w.mu.Unlock()
	hint(w.hint)
}
