// Package crc64sum joins CRC-64 checksums: from the CRCs of two pieces and the
// length of the second follows the CRC of both together, without their bytes.
// That is how an S3 server proves a whole object that came in parts.
//
// The method is zlib's: appending n zero bytes to a message is a linear map on
// its CRC register, a 64 by 64 matrix over GF(2), and repeated squaring gives
// that matrix for any n in 64 steps.
package crc64sum

// The polynomials in reflected form.
const (
	NVME uint64 = 0x9a6c9329ac4bc9b5 // S3's CRC64NVME (NVM Express base specification)
	ECMA uint64 = 0xc96c5795d7870f42 // Go's crc64.ECMA, COS's and OSS's x-cos-hash-crc64ecma
)

type matrix [64]uint64

func (m *matrix) times(v uint64) uint64 {
	var sum uint64
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *matrix) square() *matrix {
	var out matrix
	for i := range m {
		out[i] = m.times(m[i])
	}
	return &out
}

// Combine returns the CRC of A followed by B, given the CRCs of A and of B and
// B's length in bytes, which must not be negative. poly is NVME or ECMA; both
// have all ones as initial value and final XOR, which cancel out.
func Combine(poly, a, b uint64, lenB int64) uint64 {
	if lenB <= 0 {
		return a
	}
	m := &matrix{0: poly} // one zero bit
	for i := 1; i < 64; i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 { // one zero byte
		m = m.square()
	}
	for n := lenB; n != 0; n >>= 1 {
		if n&1 != 0 {
			a = m.times(a)
		}
		m = m.square()
	}
	return a ^ b
}
