package crc64sum_test

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"

	"github.com/minio/crc64nvme"

	"archiver/internal/sandbox/crc64sum"
)

func TestCombine(t *testing.T) {
	b := make([]byte, 300_000)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b)
	ecma := crc64.MakeTable(crc64.ECMA)
	for _, cut := range []int{0, 1, 7, 8, 255, 256, 65536, 150_001, 299_999, 300_000} {
		lenB := int64(len(b) - cut)
		if got, want := crc64sum.Combine(crc64sum.NVME, crc64nvme.Checksum(b[:cut]), crc64nvme.Checksum(b[cut:]), lenB), crc64nvme.Checksum(b); got != want {
			t.Errorf("NVME cut at %d: %016x, want %016x", cut, got, want)
		}
		if got, want := crc64sum.Combine(crc64sum.ECMA, crc64.Checksum(b[:cut], ecma), crc64.Checksum(b[cut:], ecma), lenB), crc64.Checksum(b, ecma); got != want {
			t.Errorf("ECMA cut at %d: %016x, want %016x", cut, got, want)
		}
	}
}

// The catalogue's check values of "123456789" hold the polynomials to account.
func TestCheckValues(t *testing.T) {
	first, second := []byte("1234"), []byte("56789")
	if got := crc64sum.Combine(crc64sum.NVME, crc64nvme.Checksum(first), crc64nvme.Checksum(second), 5); got != 0xae8b14860a799888 {
		t.Errorf("NVME %016x", got)
	}
	ecma := crc64.MakeTable(crc64.ECMA)
	if got := crc64sum.Combine(crc64sum.ECMA, crc64.Checksum(first, ecma), crc64.Checksum(second, ecma), 5); got != 0x995dc9bbdf1939fa {
		t.Errorf("ECMA %016x", got)
	}
}
