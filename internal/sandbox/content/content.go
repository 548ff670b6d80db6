// Package content makes the bytes of the sandbox's files: real ones from
// memory or disk, and generated ones that follow from a seed, can be read at
// any offset and take no memory however large they are. A 2 GiB recording
// costs one table of 68 KiB.
//
// A generated file consists of pages of 4 KiB, each a window of that table of
// pseudo-random bytes, which window depends on the page's number, with a stamp
// of seed and number in its first 8 bytes: little more than copying, so that
// it is not what a benchmark measures, and no two pages are equal, so that a
// part put in the wrong place never goes unseen.
package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// Content is a file's bytes. ReadAt follows io.ReaderAt and is safe for
// concurrent use; Size is in bytes and never changes.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Bytes returns a Content of b, which must not be changed afterwards.
func Bytes(b []byte) Content { return bytes.NewReader(b) }

// File is a Content on disk. Close it after use.
type File struct {
	f    *os.File
	size int64
}

// Open returns the file at path as it is now; later growth is not seen.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open content: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat content: %w", joinClose(err, f))
	}
	return &File{f: f, size: st.Size()}, nil
}

func joinClose(err error, c io.Closer) error {
	if cerr := c.Close(); cerr != nil {
		return fmt.Errorf("%w (and close: %w)", err, cerr)
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size returns the size at the time of Open, in bytes.
func (f *File) Size() int64 { return f.size }

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

const (
	pageSize  = 4 << 10
	windows   = 64 << 10 // a power of two
	stampSize = 8
)

type generated struct {
	seed  uint64
	size  int64
	table func() []byte
}

// Generate returns size pseudo-random bytes that follow from seed. size must
// not be negative; equal arguments give equal bytes.
func Generate(seed uint64, size int64) Content {
	return &generated{seed: seed, size: size, table: sync.OnceValue(func() []byte { return newTable(seed) })}
}

func newTable(seed uint64) []byte {
	b := make([]byte, windows+pageSize)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], mix(seed+uint64(i)))
	}
	return b
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood 2014), a
// bijection: different numbers have different stamps.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Size implements Content.
func (g *generated) Size() int64 { return g.size }

// ReadAt implements io.ReaderAt.
func (g *generated) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read generated content at %d: negative offset", off)
	}
	if off >= g.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), g.size-off))
	table := g.table()
	for done := 0; done < n; {
		at := off + int64(done)
		in := int(at % pageSize)
		stamp := mix(mix(g.seed) ^ uint64(at/pageSize))
		window := table[stamp%windows:]
		m := copy(p[done:n], window[in:pageSize])
		if in < stampSize {
			var b [stampSize]byte
			binary.LittleEndian.PutUint64(b[:], stamp)
			copy(p[done:done+m], b[in:])
		}
		done += m
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Changed returns c with every byte from offset from on inverted: another
// version of the same length. An offset at or behind the end changes nothing.
func Changed(c Content, from int64) Content { return &changed{c, from} }

type changed struct {
	Content
	from int64
}

// ReadAt implements io.ReaderAt.
func (c *changed) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Content.ReadAt(p, off)
	for i := max(0, c.from-off); i < int64(n); i++ {
		p[i] = ^p[i]
	}
	return n, err
}

// SHA256 reads all of c and returns its SHA-256 in lower-case hex.
func SHA256(c Content) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(c, 0, c.Size()), make([]byte, 256<<10)); err != nil {
		return "", fmt.Errorf("hash content: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
