package bucket

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// encodeCRC renders a checksum as x-amz-checksum-crc64nvme wants it: base64 of
// the 8 bytes, big-endian (S3 User Guide, "Checking object integrity").
func encodeCRC(sum uint64) *string {
	s := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
	return &s
}

// decodeCRC reads it back; false for anything else, such as a composite
// checksum, which ends in the number of parts.
func decodeCRC(s *string) (uint64, bool) {
	if s == nil {
		return 0, false
	}
	raw, err := base64.StdEncoding.DecodeString(*s)
	if err != nil || len(raw) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(raw), true
}

// wholeCRC returns the checksum if it is one over the whole object. CRC64NVME
// always is, so a store that leaves the type out means FULL_OBJECT.
func wholeCRC(s *string, t types.ChecksumType) *uint64 {
	if t != "" && t != types.ChecksumTypeFullObject {
		return nil
	}
	sum, ok := decodeCRC(s)
	if !ok {
		return nil
	}
	return &sum
}

// ecmaOf returns the CRC-64 (ECMA) that Tencent COS and Alibaba OSS compute
// themselves and send in decimal with PutObject, UploadPart, HEAD and GET; nil
// from everybody else.
func ecmaOf(h http.Header) *uint64 {
	for _, name := range []string{"X-Cos-Hash-Crc64ecma", "X-Oss-Hash-Crc64ecma"} {
		if sum, err := strconv.ParseUint(h.Get(name), 10, 64); err == nil {
			return &sum
		}
	}
	return nil
}
