package state

import "time"

// SourceVersion pins one version of a file at the vendor's store, so that two
// versions are never spliced.
type SourceVersion struct {
	ETag         string `json:"etag,omitempty"`          // as received, quotes included
	LastModified string `json:"last_modified,omitempty"` // as received
	// Strong reports that the validator is strong in the sense of RFC 9110
	// section 8.8: an ETag without W/, else a Last-Modified at least 60 s
	// older than the answer's Date. Only then may ranges be combined.
	Strong bool `json:"strong,omitempty"`
	// Length is the total length in bytes that the source declared
	// (Content-Length or the total of Content-Range), -1 if it declared none.
	Length int64 `json:"length"`
}

// Same reports whether w is the version v, judged by the ETag where both have
// one, else by Last-Modified where both have one, and always by the declared
// length where both have one. Without any common validator it is false.
func (v SourceVersion) Same(w SourceVersion) bool {
	if v.Length >= 0 && w.Length >= 0 && v.Length != w.Length {
		return false
	}
	if v.ETag != "" || w.ETag != "" {
		return v.ETag == w.ETag
	}
	return v.LastModified != "" && v.LastModified == w.LastModified
}

// Checksums are taken over all bytes of a file, in order, as they came from
// the vendor.
type Checksums struct {
	SHA256    string `json:"sha256"`               // lower-case hex
	CRC64NVME uint64 `json:"crc64nvme"`            // as in S3's x-amz-checksum-crc64nvme
	CRC64ECMA uint64 `json:"crc64_ecma,omitempty"` // as in x-cos-hash-crc64ecma, where HasECMA
	HasECMA   bool   `json:"has_ecma,omitempty"`   // it was computed: the source or the bucket speaks it
}

// Level is how a stored object was proven. See docs/contract.md, promise 2.
type Level string

// The levels, strongest first. Parts is good for verified, not for deletion.
const (
	LevelFullObject Level = "full_object"
	LevelReadback   Level = "readback"
	LevelParts      Level = "parts"
)

// Capabilities are what a bucket was shown to prove, by refusing wrong
// checksums (never by its name).
type Capabilities struct {
	PartChecksum        bool      `json:"part_checksum"`        // a wrong part CRC64NVME is refused
	PutChecksum         bool      `json:"put_checksum"`         // a wrong whole CRC64NVME is refused by PutObject
	FullObject          bool      `json:"full_object"`          // a wrong FULL_OBJECT CRC64NVME is refused by Complete, HEAD returns the right one
	OwnCRC64ECMA        bool      `json:"own_crc64_ecma"`       // HEAD carries COS's or OSS's own CRC-64
	ConditionalPut      bool      `json:"conditional_put"`      // If-None-Match: * holds on PutObject
	ConditionalComplete bool      `json:"conditional_complete"` // If-None-Match: * holds on CompleteMultipartUpload
	ConditionalReplace  bool      `json:"conditional_replace"`  // If-Match holds on PutObject
	ProbedAt            time.Time `json:"probed_at"`
}

// Best returns the strongest level that the bucket reaches without reading
// bytes back; LevelParts where it proves nothing of a whole object.
func (c Capabilities) Best() Level {
	if c.FullObject && c.PutChecksum || c.OwnCRC64ECMA {
		return LevelFullObject
	}
	return LevelParts
}

// ObjectSpec is what an object is to be: where it goes and what goes with it.
type ObjectSpec struct {
	Key         string
	ContentType string
	Metadata    map[string]string // names without x-amz-meta-, values percent-encoded ASCII
	Size        int64             // bytes
}

// ObjectInfo is what a bucket says of an object that it has.
type ObjectInfo struct {
	Key          string
	Size         int64
	ETag         string
	VersionID    string
	LastModified time.Time
	ContentType  string
	Metadata     map[string]string
	CRC64NVME    *uint64 // nil unless the store returned a FULL_OBJECT CRC64NVME
	CRC64ECMA    *uint64 // nil unless the store returned its own CRC-64 (COS, OSS)
	Date         time.Time
}

// Part is one acknowledged part of a multipart upload, with what is needed to
// go on hashing behind it.
type Part struct {
	Number    int32  `json:"n"` // 1 to 10,000
	Offset    int64  `json:"off"`
	Size      int64  `json:"size"`
	CRC64NVME uint64 `json:"crc"`
	ETag      string `json:"etag"`
	Hash      []byte `json:"hash,omitempty"` // hash state behind this part's last byte; opaque to the store
}

// UploadInfo is a multipart upload that the bucket has open.
type UploadInfo struct {
	Key       string
	UploadID  string
	Initiated time.Time
}
