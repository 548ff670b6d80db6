package content

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

const (
	// period is after how many bytes repeating content comes round again. It
	// is prime, so that no two parts of a file, whatever their size, are alike
	// until the file is longer than a million of them.
	period = 1<<20 + 7
	// run is how many bytes lie behind every place of the block, at least.
	run = 256 << 10
)

// block is what all repeating content is made of: period bytes, and the first
// run of them once more. It is a global because it never changes.
var block = sync.OnceValue(func() []byte {
	b := make([]byte, period+run+8)
	for i := 0; i < period; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], mix(uint64(i)))
	}
	copy(b[period:], b[:run])
	return b[:period+run]
})

// Repeating returns content of exactly size bytes with the structure of MP4
// (Faststart) whose payload lies in memory already: writing it costs the
// writing and nothing else, which is what a benchmark's source is to cost. Its
// payload repeats after period bytes; seed says where it begins. A size below
// MinMP4 is an error.
func Repeating(seed uint64, size int64) (Content, error) {
	if size < MinMP4+mvhdSize {
		return nil, fmt.Errorf("make repeating mp4 of %d bytes: at least %d are needed", size, MinMP4+mvhdSize)
	}
	head := append(ftyp(), box("moov", mvhd())...)
	head = append(head, mdatHeader(size-int64(len(head)))...)
	return &repeating{head: head, size: size, begin: int64(mix(seed) % period)}, nil
}

type repeating struct {
	head        []byte
	size, begin int64
}

// Size implements Content.
func (r *repeating) Size() int64 { return r.size }

// slice returns bytes from off on, at least one and as many as lie together;
// off is within the content.
func (r *repeating) slice(off int64) []byte {
	if off < int64(len(r.head)) {
		return r.head[off:]
	}
	at := (r.begin + off - int64(len(r.head))) % period
	b := block()[at : at+run]
	return b[:min(run, r.size-off)]
}

// ReadAt implements io.ReaderAt.
func (r *repeating) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read repeating content at %d: negative offset", off)
	}
	n := 0
	for n < len(p) && off < r.size {
		m := copy(p[n:], r.slice(off))
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo writes n bytes of c from off on to w, without copying them first
// where they lie in memory. Errors: w's, and those of reading c, to which
// reaching its end belongs.
func WriteTo(w io.Writer, c Content, off, n int64) error {
	r, inMemory := c.(*repeating)
	var buf []byte
	if !inMemory {
		buf = make([]byte, min(n, run))
	}
	for n > 0 {
		var piece []byte
		switch {
		case !inMemory:
			piece = buf[:min(n, run)]
			if got, err := c.ReadAt(piece, off); got < len(piece) {
				return fmt.Errorf("read content at %d: %w", off, err)
			}
		case off >= r.size:
			return fmt.Errorf("read content at %d: %w", off, io.EOF)
		default:
			piece = r.slice(off)
			piece = piece[:min(n, int64(len(piece)))]
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
		off, n = off+int64(len(piece)), n-int64(len(piece))
	}
	return nil
}
