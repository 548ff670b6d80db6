package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// What bbolt writes at the start of a file: two meta pages, of which the valid
// one with the higher transaction is in force. The layout is bbolt's
// internal/common (page.go, meta.go), in the byte order of the machine.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	pageHeader   = 16
	metaChecked  = 56 // bytes of a meta under its checksum
	metaSize     = 64
	minPageSize  = 1 << 10
	maxPageShift = 14 // page sizes from 1 KiB to 16 MiB, as bbolt tries them

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	noFreelist = ^uint64(0)
)

// Why a file is not taken for ours.
var (
	errForeign   = errors.New("not a bbolt database")
	errEmpty     = errors.New("the file is empty")
	errMetaPages = errors.New("both meta pages are damaged")
)

// meta is the entry to one version of the whole file.
type meta struct {
	pageSize int64
	root     uint64
	freelist uint64
	pages    uint64 // the high-water mark: pages from here on do not exist
	txid     uint64
}

// page is the header of a page.
type page struct {
	id       uint64
	flags    uint16
	count    uint16
	overflow uint32 // pages that follow and belong to it
}

func parsePage(b []byte) page {
	e := binary.NativeEndian
	return page{id: e.Uint64(b), flags: e.Uint16(b[8:]), count: e.Uint16(b[10:]), overflow: e.Uint32(b[12:])}
}

// parseMeta reads a meta page; magic tells whether it is one at all.
func parseMeta(b []byte) (m meta, magic, valid bool) {
	if len(b) < pageHeader+metaSize {
		return m, false, false
	}
	e, p := binary.NativeEndian, b[pageHeader:]
	magic = e.Uint32(p) == boltMagic
	h := fnv.New64a()
	h.Write(p[:metaChecked])
	valid = magic && e.Uint32(p[4:]) == boltVersion && e.Uint64(p[metaChecked:]) == h.Sum64()
	m = meta{
		pageSize: int64(e.Uint32(p[8:])), root: e.Uint64(p[16:]), freelist: e.Uint64(p[32:]),
		pages: e.Uint64(p[40:]), txid: e.Uint64(p[48:]),
	}
	return m, magic, valid
}

// readMetas returns the valid meta pages. The second one lies one page into
// the file; where the first is damaged, every page size is tried.
func readMetas(f io.ReaderAt) ([]meta, error) {
	var out []meta
	seen := false
	try := func(at int64) error {
		b := make([]byte, pageHeader+metaSize)
		if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		m, magic, valid := parseMeta(b)
		seen = seen || magic
		if valid {
			out = append(out, m)
		}
		return nil
	}
	if err := try(0); err != nil {
		return nil, err
	}
	if len(out) == 1 {
		return out, try(out[0].pageSize)
	}
	for i := 0; i <= maxPageShift && len(out) == 0; i++ {
		if err := try(minPageSize << i); err != nil {
			return nil, err
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case seen:
		return nil, errMetaPages
	default:
		return nil, errForeign
	}
}

// preflight looks at a file before bbolt does, which would panic, fault, or
// believe what it finds, and returns the meta page in force.
func preflight(f *os.File) (m meta, err error) {
	info, err := f.Stat()
	if err != nil {
		return m, err
	}
	if info.Size() == 0 {
		return m, errEmpty
	}
	metas, err := readMetas(f)
	if err != nil {
		return m, err
	}
	m = slices.MaxFunc(metas, func(a, b meta) int { return cmp.Compare(a.txid, b.txid) })
	return m, m.check(f, info.Size())
}

func (m meta) check(f io.ReaderAt, size int64) error {
	if m.pageSize < minPageSize || m.pageSize > minPageSize<<maxPageShift || m.pages > uint64(1<<62)/uint64(m.pageSize) {
		return fmt.Errorf("impossible size: %d pages of %d bytes", m.pages, m.pageSize)
	}
	if need := int64(m.pages) * m.pageSize; size < need {
		return fmt.Errorf("cut short: %d of %d bytes are there", size, need)
	}
	root, err := m.header(f, m.root)
	if err != nil {
		return fmt.Errorf("root page: %w", err)
	}
	if root.flags != flagLeaf && root.flags != flagBranch {
		return fmt.Errorf("root page %d: is of type %#x", m.root, root.flags)
	}
	if m.freelist == noFreelist {
		return errors.New("there is no free list: a program other than the archiver has written to the file")
	}
	if _, err := m.freePages(f); err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	return nil
}

// header reads the header of a page that must exist.
func (m meta) header(f io.ReaderAt, id uint64) (page, error) {
	if id < 2 || id >= m.pages {
		return page{}, fmt.Errorf("page %d does not exist", id)
	}
	b := make([]byte, pageHeader)
	if _, err := f.ReadAt(b, int64(id)*m.pageSize); err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	p := parsePage(b)
	if p.id != id {
		return page{}, fmt.Errorf("page %d says it is page %d", id, p.id)
	}
	if uint64(p.overflow) >= m.pages-id {
		return page{}, fmt.Errorf("page %d runs over the end", id)
	}
	return p, nil
}

// freePages reads the free list. A wrong one makes bbolt write over pages that
// are in use, so it must be sorted, without doubles and within the file.
func (m meta) freePages(f io.ReaderAt) ([]uint64, error) {
	p, err := m.header(f, m.freelist)
	if err != nil {
		return nil, err
	}
	if p.flags != flagFreelist {
		return nil, fmt.Errorf("page %d is of type %#x", p.id, p.flags)
	}
	b := make([]byte, (int64(p.overflow)+1)*m.pageSize-pageHeader)
	if _, err := f.ReadAt(b, int64(p.id)*m.pageSize+pageHeader); err != nil {
		return nil, err
	}
	n := uint64(p.count)
	if n == 0xFFFF { // the count did not fit: it is the first element
		n, b = binary.NativeEndian.Uint64(b), b[8:]
	}
	if n > uint64(len(b))/8 {
		return nil, fmt.Errorf("page %d claims %d entries", p.id, n)
	}
	ids := make([]uint64, n)
	last := uint64(1)
	for i := range ids {
		ids[i] = binary.NativeEndian.Uint64(b[8*i:])
		if ids[i] <= last || ids[i] >= m.pages {
			return nil, fmt.Errorf("entry %d is page %d, behind %d of %d", i, ids[i], last, m.pages)
		}
		last = ids[i]
	}
	return ids, nil
}
