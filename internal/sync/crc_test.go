package sync

import (
	"testing"

	"github.com/minio/crc64nvme"
	"pgregory.net/rapid"
)

// The checksum of two pieces joined is that of their bytes joined.
func TestJoinCRC(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "b")
		want := crc64nvme.Checksum(append(append([]byte(nil), a...), b...))
		if got := joinCRC(crc64nvme.Checksum(a), crc64nvme.Checksum(b), int64(len(b))); got != want {
			t.Errorf("%x, want %x", got, want)
		}
	})
}

// Lengths of whole parts, which no table of small powers covers.
func TestJoinCRCOfParts(t *testing.T) {
	t.Parallel()
	data := make([]byte, 5<<20+12345)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	want := crc64nvme.Checksum(data)
	for _, cut := range []int{0, 1, 12345, 5 << 20, len(data) - 1, len(data)} {
		if got := joinCRC(crc64nvme.Checksum(data[:cut]), crc64nvme.Checksum(data[cut:]), int64(len(data)-cut)); got != want {
			t.Errorf("cut at %d: %x, want %x", cut, got, want)
		}
	}
}
