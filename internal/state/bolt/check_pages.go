package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// pageCheck walks the pages of one version of the file, read directly and not
// through the memory map, so that nothing it meets can panic or fault. It
// needs a bit per page, and a page per level of the tree.
type pageCheck struct {
	ctx    context.Context //nolint:containedctx // one run of a check, not kept
	f      io.ReaderAt
	m      meta
	seen   []uint64
	report func(format string, a ...any)
}

// maxDepth is deeper than any tree of 2^64 pages; a cycle is found before.
const maxDepth = 64

const (
	elementSize = 16 // of leaf and branch pages alike
	bucketFlag  = 1  // of a leaf element
	bucketSize  = 16 // root page and sequence
)

// mark reports whether the pages were not in use yet.
func (c *pageCheck) mark(p page) bool {
	for id := p.id; id <= p.id+uint64(p.overflow); id++ {
		if c.used(id) {
			c.report("page %d is used twice", id)
			return false
		}
		c.seen[id/64] |= 1 << (id % 64)
	}
	return true
}

func (c *pageCheck) used(id uint64) bool { return c.seen[id/64]&(1<<(id%64)) != 0 }

// run reports what is wrong; its error is about reading.
func (c *pageCheck) run() error {
	c.seen = make([]uint64, c.m.pages/64+1)
	if err := c.walk(c.m.root, nil, nil, 0); err != nil {
		return err
	}
	list, err := c.m.header(c.f, c.m.freelist)
	if err != nil {
		c.report("free list: %v", err)
		return nil
	}
	c.mark(list)
	free, err := c.m.freePages(c.f)
	if err != nil {
		c.report("free list: %v", err)
		return nil
	}
	next := 0
	for id := uint64(2); id < c.m.pages; id++ {
		isFree := next < len(free) && free[next] == id
		if isFree {
			next++
		}
		switch used := c.used(id); {
		case isFree && used:
			c.report("page %d is in use and in the free list", id)
		case !isFree && !used:
			c.report("page %d is lost: neither in use nor free", id)
		}
	}
	return nil
}

// walk checks a page and what hangs from it. Its keys lie in [lo, hi); nil is
// no bound.
func (c *pageCheck) walk(id uint64, lo, hi []byte, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	p, err := c.m.header(c.f, id)
	if err != nil || depth > maxDepth {
		c.report("page %d at depth %d: %v", id, depth, err)
		return nil
	}
	if !c.mark(p) {
		return nil
	}
	b := make([]byte, (int64(p.overflow)+1)*c.m.pageSize)
	if _, err := c.f.ReadAt(b, int64(id)*c.m.pageSize); err != nil {
		return fmt.Errorf("read page %d: %w", id, err)
	}
	return c.content(p, b, lo, hi, depth)
}

func (c *pageCheck) content(p page, b, lo, hi []byte, depth int) error {
	switch p.flags {
	case flagLeaf:
		return c.leaf(p, b, lo, hi, depth)
	case flagBranch:
		return c.branch(p, b, lo, hi, depth)
	default:
		c.report("page %d is of type %#x", p.id, p.flags)
		return nil
	}
}

// field cuts n bytes that begin pos behind an element; nil if they are outside.
func field(b []byte, element int, pos, n uint32) []byte {
	from := uint64(element) + uint64(pos)
	if to := from + uint64(n); to <= uint64(len(b)) {
		return b[from:to]
	}
	return nil
}

func (c *pageCheck) ordered(p page, i int, key, lo, hi []byte, strict bool) bool {
	cmp := bytes.Compare(key, lo)
	if key == nil || lo != nil && (cmp < 0 || strict && cmp == 0) || hi != nil && bytes.Compare(key, hi) >= 0 {
		c.report("page %d: key %d is out of place", p.id, i)
		return false
	}
	return true
}

func (c *pageCheck) leaf(p page, b, lo, hi []byte, depth int) error {
	e := binary.NativeEndian
	for i := range int(p.count) {
		at := pageHeader + i*elementSize
		if at+elementSize > len(b) {
			c.report("page %d: %d elements do not fit", p.id, p.count)
			return nil
		}
		flags, pos, ksize, vsize := e.Uint32(b[at:]), e.Uint32(b[at+4:]), e.Uint32(b[at+8:]), e.Uint32(b[at+12:])
		key := field(b, at, pos, ksize)
		if !c.ordered(p, i, key, lo, hi, i > 0) {
			return nil
		}
		lo = key
		value := field(b, at, pos+ksize, vsize)
		if value == nil {
			c.report("page %d: value %d is out of bounds", p.id, i)
			return nil
		}
		if flags&bucketFlag == 0 {
			continue
		}
		if err := c.subBucket(p, value, depth); err != nil {
			return err
		}
	}
	return nil
}

// subBucket follows a bucket: a tree of its own, or a page within the value.
func (c *pageCheck) subBucket(p page, value []byte, depth int) error {
	if len(value) < bucketSize {
		c.report("page %d: a bucket is cut off", p.id)
		return nil
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.walk(root, nil, nil, depth+1)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader {
		c.report("page %d: an inline bucket is cut off", p.id)
		return nil
	}
	q := parsePage(inline)
	q.id = p.id
	return c.content(q, inline, nil, nil, depth+1)
}

func (c *pageCheck) branch(p page, b, lo, hi []byte, depth int) error {
	e := binary.NativeEndian
	type child struct {
		key []byte
		id  uint64
	}
	var children []child
	for i := range int(p.count) {
		at := pageHeader + i*elementSize
		if at+elementSize > len(b) {
			c.report("page %d: %d elements do not fit", p.id, p.count)
			return nil
		}
		key := field(b, at, e.Uint32(b[at:]), e.Uint32(b[at+4:]))
		if !c.ordered(p, i, key, lo, hi, i > 0) {
			return nil
		}
		lo = key
		children = append(children, child{key, e.Uint64(b[at+8:])})
	}
	for i, ch := range children {
		bound := hi
		if i+1 < len(children) {
			bound = children[i+1].key
		}
		if err := c.walk(ch.id, ch.key, bound, depth+1); err != nil {
			return err
		}
	}
	return nil
}
