package sync

// polyNVME is the polynomial of CRC64NVME in reflected form (NVM Express base
// specification).
const polyNVME uint64 = 0x9a6c9329ac4bc9b5

// joinCRC returns the CRC64NVME of A followed by B, given those of A and of B
// and B's length in bytes: so each part is summed once, and the whole follows
// from the parts.
//
// Appending a byte multiplies the CRC of what came before by x^8 modulo the
// polynomial; initial value and final XOR are the same and cancel out. x^8n is
// found by repeated squaring, as in zlib's crc32_combine.
func joinCRC(a, b uint64, lenB int64) uint64 {
	power, square := uint64(1)<<63, uint64(1)<<55 // 1, and x^8
	for n := lenB; n > 0; n >>= 1 {
		if n&1 != 0 {
			power = timesNVME(power, square)
		}
		square = timesNVME(square, square)
	}
	return timesNVME(power, a) ^ b
}

// timesNVME multiplies two polynomials modulo that of CRC64NVME. In reflected
// form the highest bit is the coefficient of 1.
func timesNVME(a, b uint64) uint64 {
	var sum uint64
	for ; a != 0; a <<= 1 {
		if a>>63 != 0 {
			sum ^= b
		}
		low := b & 1
		b >>= 1
		if low != 0 {
			b ^= polyNVME
		}
	}
	return sum
}
