package bucket

import (
	"hash/crc64"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"archiver/internal/state"
)

// contradicts says how the checksums that a store answers a write with are not
// those of body, whose CRC64NVME is sum; "" if they agree or there are none.
func contradicts(got *uint64, h http.Header, sum uint64, body []byte) string {
	if got != nil && *got != sum {
		return "the store answered with another CRC64NVME than was sent"
	}
	if own := ecmaOf(h); own != nil && *own != crc64.Checksum(body, crc64.MakeTable(crc64.ECMA)) {
		return "the store's own CRC-64 is another than that of the bytes sent"
	}
	return ""
}

// proves reports whether a PutObject's answer alone shows that the object is
// there, is ours and has the right bytes, and returns what it shows. A HEAD
// could then only repeat it: the store was seen to refuse what is there
// already, so this request made the object, and the checksum is either one
// that the store was seen to check or one that nobody sent it.
func (b *Bucket) proves(want expected, out *s3.PutObjectOutput) (state.ObjectInfo, bool) {
	caps, h := b.Capabilities(), headerOf(out.ResultMetadata)
	info := state.ObjectInfo{
		Key: want.spec.Key, Size: want.spec.Size, ETag: aws.ToString(out.ETag), VersionID: aws.ToString(out.VersionId),
		ContentType: want.spec.ContentType, Metadata: lowerKeys(want.spec.Metadata),
		CRC64NVME: wholeCRC(out.ChecksumCRC64NVME, out.ChecksumType), CRC64ECMA: ecmaOf(h), Date: dateOf(h),
	}
	checked := caps.PutChecksum && caps.FullObject && info.CRC64NVME != nil && *info.CRC64NVME == want.sums.CRC64NVME
	computed := caps.OwnCRC64ECMA && want.sums.HasECMA && info.CRC64ECMA != nil && *info.CRC64ECMA == want.sums.CRC64ECMA
	return info, caps.ConditionalPut && info.ETag != "" && (checked || computed) && atOnce(out.ResultMetadata)
}

// atOnce reports that the first attempt was answered 200: none before it may
// have taken effect unseen.
func atOnce(meta middleware.Metadata) bool {
	tries, ok := retry.GetAttemptResults(meta)
	return ok && len(tries.Results) == 1 && outcome(meta, nil) == "200"
}
