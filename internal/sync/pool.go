package sync

import (
	"context"
	"slices"
	"sync"
	"time"

	"archiver/internal/state"
)

// pool is the only source of part buffers, and so the only bound on memory
// that matters: taking from it is what limits how much is under way.
//
// Buffers are granted in the order of asking, with one exception: a tenant, or
// a bucket, that would hold more than its share is passed over. Where there
// are several the share is half of the pool, so that a slow side of one never
// keeps the others waiting.
//
// A buffer that is lent is one that nobody waits for: a file reads ahead in
// it. Whoever waits for longer than patience has one recalled, the longest
// lent that helps; so what a slow source has borrowed keeps nobody waiting.
type pool struct {
	limit       int64
	tenantShare int64
	bucketShare int64

	mu       sync.Mutex
	size     int64 // bytes of all buffers that exist, free ones included
	byTenant map[string]int64
	byBucket map[state.Destination]int64
	free     map[int64][][]byte
	waiting  []*poolWaiter
	loans    []*loan // the longest first
}

// loan is a buffer that was lent; recall asks for it back.
type loan struct {
	owner  door
	recall func()
}

// patience is how long a file waits for a buffer before one that was lent is
// recalled. Where all goes well, one comes back earlier.
const patience = time.Second

type poolWaiter struct {
	owner door
	class int64
	ready chan []byte // one buffer, once
}

func newPool(limit int64, tenants, buckets int) *pool {
	share := func(n int) int64 {
		if n > 1 {
			return limit / 2
		}
		return limit
	}
	return &pool{
		limit: limit, tenantShare: share(tenants), bucketShare: share(buckets),
		byTenant: map[string]int64{}, byBucket: map[state.Destination]int64{}, free: map[int64][][]byte{},
	}
}

// most is the largest buffer that may ever be granted, in bytes.
func (p *pool) most() int64 { return min(p.tenantShare, p.bucketShare) }

// poolClass rounds a wanted size up, so that buffers of small files can be
// used again: powers of two up to unit (the part size), then multiples of it.
func poolClass(n, unit int64) int64 {
	c := int64(64 << 10)
	for c < n && c < unit {
		c *= 2
	}
	if c < unit {
		return c
	}
	return (max(n, 1) + unit - 1) / unit * unit
}

// take returns a buffer of class bytes, waiting for one; class must not
// exceed most. It must be given back with put.
func (p *pool) take(ctx context.Context, owner door, class int64) ([]byte, error) {
	w := &poolWaiter{owner: owner, class: class, ready: make(chan []byte, 1)}
	p.mu.Lock()
	p.waiting = append(p.waiting, w)
	p.grant()
	p.mu.Unlock()
	for waits := true; waits; {
		t := time.NewTimer(patience)
		select {
		case b := <-w.ready:
			t.Stop()
			return b, nil
		case <-ctx.Done():
			waits = false
		case <-t.C:
			p.recall(w)
		}
		t.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, x := range p.waiting {
		if x == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.grant()
			return nil, ctx.Err()
		}
	}
	p.giveBack(owner, <-w.ready) // it was granted meanwhile
	return nil, ctx.Err()
}

// recall asks for the loan back, of those that keep w waiting, that was made
// first.
func (p *pool) recall(w *poolWaiter) {
	p.mu.Lock()
	tenant := p.byTenant[w.owner.tenant]+w.class > p.tenantShare
	bucket := p.byBucket[w.owner.dest]+w.class > p.bucketShare
	i := slices.IndexFunc(p.loans, func(l *loan) bool {
		return (!tenant || l.owner.tenant == w.owner.tenant) && (!bucket || l.owner.dest == w.owner.dest)
	})
	if i < 0 {
		p.mu.Unlock()
		return
	}
	l := p.loans[i]
	p.loans = slices.Delete(p.loans, i, i+1)
	p.mu.Unlock()
	l.recall()
}

// lend returns a buffer of class bytes if one is free that nobody waits for,
// else nil. recall, which may be called once, at any time until keep, and from
// another goroutine, is to have it given back with put.
func (p *pool) lend(owner door, class int64, recall func()) ([]byte, *loan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &poolWaiter{owner: owner, class: class}
	waited := slices.ContainsFunc(p.waiting, func(o *poolWaiter) bool {
		return p.within(o) || o.owner.tenant == owner.tenant || o.owner.dest == owner.dest
	})
	if waited || !p.within(w) {
		return nil, nil
	}
	b, ok := p.buffer(class)
	if !ok {
		return nil, nil
	}
	p.charge(w)
	l := &loan{owner: owner, recall: recall}
	p.loans = append(p.loans, l)
	return b, l
}

// keep ends a loan: its buffer is not recalled any more.
func (p *pool) keep(l *loan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.loans, l); i >= 0 {
		p.loans = slices.Delete(p.loans, i, i+1)
	}
}

// put gives a buffer back.
func (p *pool) put(owner door, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveBack(owner, b)
}

func (p *pool) giveBack(owner door, b []byte) {
	class := int64(cap(b))
	p.free[class] = append(p.free[class], b[:class])
	p.byTenant[owner.tenant] -= class
	p.byBucket[owner.dest] -= class
	p.grant()
}

// grant serves whom it can. The caller holds mu.
func (p *pool) grant() {
	for {
		i := p.next()
		if i < 0 {
			return
		}
		w := p.waiting[i]
		b, ok := p.buffer(w.class)
		if !ok {
			return
		}
		p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
		p.charge(w)
		w.ready <- b
	}
}

// next returns the first waiter that may be served now, -1 if there is none.
func (p *pool) next() int {
	return slices.IndexFunc(p.waiting, p.within)
}

// within reports whether the buffer is within its owner's shares.
func (p *pool) within(w *poolWaiter) bool {
	return p.byTenant[w.owner.tenant]+w.class <= p.tenantShare && p.byBucket[w.owner.dest]+w.class <= p.bucketShare
}

func (p *pool) charge(w *poolWaiter) {
	p.byTenant[w.owner.tenant] += w.class
	p.byBucket[w.owner.dest] += w.class
}

// buffer returns a free buffer of the class or makes one, dropping free ones
// of other classes where the limit asks for it.
func (p *pool) buffer(class int64) ([]byte, bool) {
	if l := p.free[class]; len(l) > 0 {
		b := l[len(l)-1]
		p.free[class] = l[:len(l)-1]
		return b, true
	}
	for c, l := range p.free {
		for p.size+class > p.limit && len(l) > 0 {
			l = l[:len(l)-1]
			p.size -= c
		}
		p.free[c] = l
	}
	if p.size+class > p.limit {
		return nil, false
	}
	p.size += class
	return make([]byte, class), true
}

// inUse returns the bytes that are taken.
func (p *pool) inUse() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int64
	for _, h := range p.byTenant {
		n += h
	}
	return n
}
