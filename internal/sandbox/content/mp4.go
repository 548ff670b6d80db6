package content

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Layout says in which order an MP4's boxes come, or what is missing.
type Layout int

// The layouts. Faststart has moov before mdat, MoovLast behind it (as a
// recorder writes it), and NoMoov has none: a recording cut short.
const (
	Faststart Layout = iota
	MoovLast
	NoMoov
)

// The sizes of the boxes around the payload, in bytes (ISO/IEC 14496-12).
const (
	ftypSize = 20
	mvhdSize = 108
	// MinMP4 is the smallest size that MP4 makes, in bytes.
	MinMP4 = ftypSize + 8 + 8
)

// MP4 returns generated content of exactly size bytes whose top-level boxes,
// ftyp, moov and mdat, add up; the payload follows from seed. It passes every
// check of a file's structure and plays nothing. Below MinMP4 it is an error;
// below 144 bytes moov is empty for want of room.
func MP4(seed uint64, size int64, layout Layout) (Content, error) {
	if size < MinMP4 {
		return nil, fmt.Errorf("generate mp4 of %d bytes: at least %d are needed", size, MinMP4)
	}
	var moov []byte
	switch {
	case layout == NoMoov:
	case size >= MinMP4+mvhdSize:
		moov = box("moov", mvhd())
	default:
		moov = box("moov", nil)
	}
	rest := size - ftypSize - int64(len(moov))
	head := mdatHeader(rest)
	payload := Generate(seed, rest-int64(len(head)))
	if layout == MoovLast {
		return &joined{parts: []Content{Bytes(ftyp()), Bytes(head), payload, Bytes(moov)}, size: size}, nil
	}
	return &joined{parts: []Content{Bytes(ftyp()), Bytes(moov), Bytes(head), payload}, size: size}, nil
}

func box(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, kind...), body...)
}

func ftyp() []byte { return box("ftyp", []byte("isom\x00\x00\x02\x00isom")) }

// mvhd is a version 0 movie header: timescale 1000, one second long, rate and
// volume 1, the identity matrix, next track 1.
func mvhd() []byte {
	b := make([]byte, mvhdSize-8)
	binary.BigEndian.PutUint32(b[12:], 1000)
	binary.BigEndian.PutUint32(b[16:], 1000)
	binary.BigEndian.PutUint32(b[20:], 0x00010000)
	binary.BigEndian.PutUint16(b[24:], 0x0100)
	for i, v := range []uint32{0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000} {
		binary.BigEndian.PutUint32(b[36+4*i:], v)
	}
	binary.BigEndian.PutUint32(b[96:], 1)
	return box("mvhd", b)
}

// mdatHeader is the head of an mdat box of size bytes, head included; one that
// doesn't fit into 32 bits has the 64-bit form.
func mdatHeader(size int64) []byte {
	if size <= 0xffffffff {
		return append(binary.BigEndian.AppendUint32(nil, uint32(size)), "mdat"...)
	}
	return binary.BigEndian.AppendUint64([]byte("\x00\x00\x00\x01mdat"), uint64(size))
}

// joined is several contents one behind the other.
type joined struct {
	parts []Content
	size  int64
}

// Size implements Content.
func (j *joined) Size() int64 { return j.size }

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for _, c := range j.parts {
		if off >= c.Size() {
			off -= c.Size()
			continue
		}
		want := min(int64(len(p)-n), c.Size()-off)
		m, err := c.ReadAt(p[n:n+int(want)], off)
		n += m
		if err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if off = 0; n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

// WithoutMoov returns c with its top-level moov box renamed to free: the boxes
// still add up, but no player finds its way. Content without a moov, or that
// is no MP4, comes back as it is.
func WithoutMoov(c Content) Content {
	var head [16]byte
	for off := int64(0); off+8 <= c.Size(); {
		n, err := c.ReadAt(head[:], off)
		if n < 8 {
			return c
		}
		size := int64(binary.BigEndian.Uint32(head[:4]))
		if size == 1 && err == nil {
			size = int64(binary.BigEndian.Uint64(head[8:]))
		}
		if string(head[4:8]) == "moov" {
			return &patched{Content: c, at: off + 4, with: []byte("free")}
		}
		if size < 8 {
			return c
		}
		off += size
	}
	return c
}

type patched struct {
	Content
	at   int64
	with []byte
}

// ReadAt implements io.ReaderAt.
func (c *patched) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Content.ReadAt(p, off)
	for i, b := range c.with {
		if at := c.at + int64(i) - off; at >= 0 && at < int64(n) {
			p[at] = b
		}
	}
	return n, err
}
