package content_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"archiver/internal/sandbox/content"
)

func TestRepeatingAtAnyOffset(t *testing.T) {
	const size = 3<<20 + 13
	c, err := content.Repeating(7, size)
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, c)
	for _, off := range []int64{0, 1, 20, 135, 136, 143, 144, 145, 256 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 151, 2 << 20, size - 1} {
		for _, n := range []int64{0, 1, 9, 4096, 256<<10 + 1, 2 << 20} {
			n = min(n, size-off)
			p := make([]byte, n)
			if got, err := c.ReadAt(p, off); int64(got) != n || err != nil || !bytes.Equal(p, all[off:off+n]) {
				t.Errorf("ReadAt(%d bytes, %d) = %d, %v, or differs", n, off, got, err)
			}
			var w bytes.Buffer
			if err := content.WriteTo(&w, c, off, n); err != nil || !bytes.Equal(w.Bytes(), all[off:off+n]) {
				t.Errorf("WriteTo(%d bytes, %d): %v, or differs", n, off, err)
			}
		}
	}
	if n, err := c.ReadAt(make([]byte, 9), size-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end = %d, %v", n, err)
	}
	if _, err := c.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("negative offset accepted")
	}
	other, err := content.Repeating(8, size)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(all, read(t, other)) {
		t.Error("two seeds give equal bytes")
	}
	if bytes.Equal(all[1<<20:2<<20], all[2<<20:3<<20]) {
		t.Error("two parts of one size are alike")
	}
}

func TestRepeatingIsAnMP4(t *testing.T) {
	const size = 6 << 30 // 64-bit mdat
	c, err := content.Repeating(1, size)
	if err != nil {
		t.Fatal(err)
	}
	var kinds string
	off := int64(0)
	for off < size {
		var h [16]byte
		if _, err := c.ReadAt(h[:], off); err != nil {
			t.Fatal(err)
		}
		n := int64(binary.BigEndian.Uint32(h[:4]))
		if n == 1 {
			n = int64(binary.BigEndian.Uint64(h[8:]))
		}
		kinds += string(h[4:8]) + " "
		off += n
	}
	if off != size || kinds != "ftyp moov mdat " {
		t.Errorf("boxes %send at %d, want %d", kinds, off, int64(size))
	}
	if _, err := content.Repeating(1, 100); err == nil {
		t.Error("a file without room for its boxes was made")
	}
}

func TestWriteToOverTheEnd(t *testing.T) {
	small, err := content.Repeating(1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]content.Content{"repeating": small, "bytes": content.Bytes(make([]byte, 1000))} {
		if err := content.WriteTo(io.Discard, c, 900, 101); err == nil {
			t.Errorf("%s: bytes behind the end were written", name)
		}
	}
}
