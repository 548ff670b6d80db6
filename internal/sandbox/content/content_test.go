package content_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"archiver/internal/sandbox/content"
)

func read(t *testing.T, c content.Content) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != c.Size() {
		t.Fatalf("read %d bytes, want %d", len(b), c.Size())
	}
	return b
}

func TestGenerateAtAnyOffset(t *testing.T) {
	const size = 3*64<<10 + 13
	c := content.Generate(7, size)
	all := read(t, c)
	for _, off := range []int64{0, 1, 7, 8, 9, 4095, 4096, 4097, 4100, 64<<10 - 1, 64 << 10, 128<<10 - 3, size - 1} {
		for _, n := range []int{0, 1, 7, 8, 9, 100, 4096, 64 << 10, 64<<10 + 5} {
			p := make([]byte, n)
			got, err := c.ReadAt(p, off)
			want := all[off:min(size, off+int64(n))]
			if !bytes.Equal(p[:got], want) {
				t.Errorf("ReadAt(%d bytes, %d) differs", n, off)
			}
			if (got < n) != errors.Is(err, io.EOF) {
				t.Errorf("ReadAt(%d bytes, %d) = %d, %v", n, off, got, err)
			}
		}
	}
	pages := map[string]int{}
	for i := 0; i+4096 <= len(all); i += 4096 {
		pages[string(all[i:i+4096])]++
	}
	if len(pages) != size/4096 {
		t.Errorf("%d different pages of %d", len(pages), size/4096)
	}
	if bytes.Equal(all, read(t, content.Generate(8, size))) {
		t.Error("two seeds give equal bytes")
	}
	if _, err := c.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("negative offset accepted")
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := content.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if got := read(t, f); string(got) != "hello" {
		t.Errorf("content %q", got)
	}
	sum, err := content.SHA256(f)
	if want := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; err != nil || sum != want {
		t.Errorf("SHA256 = %s, %v, want %s", sum, err, want)
	}
	if _, err := content.Open(path + "x"); err == nil {
		t.Error("a missing file was opened")
	}
}

func TestChanged(t *testing.T) {
	c := content.Generate(1, 100)
	a, b := read(t, c), read(t, content.Changed(c, 40))
	if !bytes.Equal(a[:40], b[:40]) || a[40] == b[40] || a[99] == b[99] {
		t.Error("not changed from byte 40 on")
	}
	part := make([]byte, 10)
	if _, err := content.Changed(c, 40).ReadAt(part, 35); err != nil || !bytes.Equal(part, b[35:45]) {
		t.Error("a read across the change differs")
	}
}

// boxes returns the top-level boxes of an MP4 and fails unless they add up.
func boxes(c content.Content) ([]string, error) {
	var kinds []string
	var head [16]byte
	off := int64(0)
	for off < c.Size() {
		n, err := c.ReadAt(head[:], off)
		if n < 8 {
			return nil, fmt.Errorf("box at %d: %w", off, err)
		}
		size := int64(binary.BigEndian.Uint32(head[:]))
		if size == 1 {
			size = int64(binary.BigEndian.Uint64(head[8:]))
		}
		kinds = append(kinds, string(head[4:8]))
		off += size
	}
	if off != c.Size() {
		return nil, fmt.Errorf("boxes add up to %d of %d", off, c.Size())
	}
	return kinds, nil
}

func TestMP4BoxesAddUp(t *testing.T) {
	for _, size := range []int64{content.MinMP4, 100, 143, 144, 145, 64 << 10, 1<<20 + 3, 1<<32 + 127, 1<<32 + 143, 1<<32 + 144, 6 << 30} {
		for layout, want := range map[content.Layout]string{
			content.Faststart: "[ftyp moov mdat]", content.MoovLast: "[ftyp mdat moov]", content.NoMoov: "[ftyp mdat]",
		} {
			c, err := content.MP4(3, size, layout)
			if err != nil {
				t.Fatal(err)
			}
			got, err := boxes(c)
			if err != nil || fmt.Sprint(got) != want || c.Size() != size {
				t.Errorf("%d bytes, layout %d: %v, %v, size %d, want %s", size, layout, got, err, c.Size(), want)
			}
		}
	}
	if _, err := content.MP4(3, content.MinMP4-1, content.Faststart); err == nil {
		t.Error("too small an MP4 was made")
	}
}

func TestMP4ReadsTheSameInPieces(t *testing.T) {
	c, err := content.MP4(5, 1000, content.MoovLast)
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, c)
	for off := int64(0); off < 1000; off += 7 {
		p := make([]byte, 31)
		n, _ := c.ReadAt(p, off)
		if !bytes.Equal(p[:n], all[off:min(1000, off+31)]) {
			t.Fatalf("ReadAt %d differs", off)
		}
	}
}

func TestWithoutMoov(t *testing.T) {
	for _, layout := range []content.Layout{content.Faststart, content.MoovLast} {
		c, err := content.MP4(3, 5000, layout)
		if err != nil {
			t.Fatal(err)
		}
		got, err := boxes(content.WithoutMoov(c))
		if err != nil || len(got) != 3 || fmt.Sprint(got) == "[ftyp moov mdat]" || bytes.Contains(read(t, content.WithoutMoov(c))[:40], []byte("moov")) {
			t.Errorf("boxes %v, %v", got, err)
		}
	}
	if got := read(t, content.WithoutMoov(content.Bytes([]byte("no mp4 at all")))); string(got) != "no mp4 at all" {
		t.Errorf("other content became %q", got)
	}
}

func BenchmarkGenerate(b *testing.B) {
	c := content.Generate(1, 1<<40)
	p := make([]byte, 256<<10)
	b.SetBytes(int64(len(p)))
	for i := range b.N {
		if _, err := c.ReadAt(p, int64(i)*int64(len(p))); err != nil {
			b.Fatal(err)
		}
	}
}
