package sync

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc64"
	"runtime"

	"archiver/internal/state"
)

// digest is everything that is learned from the bytes of a file as they pass,
// once and in order: the checksums, the length, and what the content is. Its
// state can be stored behind each part and taken up again after a crash.
type digest struct {
	n       int64
	sha     hash.Hash
	nvme    uint64
	ecma    uint64
	hasECMA bool
	want    *uint64 // the whole file's CRC64-ECMA as the vendor's store says it, nil if it doesn't
	media   media
}

// ecmaTable is CRC-64/XZ, which Tencent COS and Alibaba OSS call crc64ecma.
var ecmaTable = crc64.MakeTable(crc64.ECMA)

// newDigest begins at the first byte of a file of that name. want is what the
// vendor's store says of the whole file, nil if it says nothing. CRC64-ECMA,
// which costs as much as SHA-256, is computed only where someone speaks it.
func newDigest(filename string, want *uint64, withECMA bool) *digest {
	return &digest{sha: sha256.New(), hasECMA: withECMA || want != nil, want: want, media: newMedia(filename)}
}

// take takes the next bytes. Their CRC64NVME is summed part by part: join adds
// it when the part is whole. Before that sums and save are not to be asked for.
func (d *digest) take(p []byte) {
	d.sha.Write(p)
	if d.hasECMA {
		d.ecma = crc64.Update(d.ecma, ecmaTable, p)
	}
	d.media.write(p)
	d.n += int64(len(p))
}

// join adds the CRC64NVME of the last n bytes that were taken.
func (d *digest) join(crc uint64, n int64) { d.nvme = joinCRC(d.nvme, crc, n) }

// sums returns the checksums of what was written so far.
func (d *digest) sums() state.Checksums {
	return state.Checksums{SHA256: hex.EncodeToString(d.sha.Sum(nil)), CRC64NVME: d.nvme, CRC64ECMA: d.ecma, HasECMA: d.hasECMA}
}

// savedDigest is the stored form. The state of SHA-256 is private to the Go
// release that wrote it, so that release is part of it.
type savedDigest struct {
	Go    string  `json:"go"`
	N     int64   `json:"n"`
	SHA   []byte  `json:"sha"`
	NVME  uint64  `json:"nvme"`
	ECMA  uint64  `json:"ecma,omitempty"`
	With  bool    `json:"with_ecma,omitempty"`
	Want  *uint64 `json:"want_ecma,omitempty"`
	Media media   `json:"media"`
}

// save returns the state behind the last byte written.
func (d *digest) save() ([]byte, error) {
	m, ok := d.sha.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("save the hash state: SHA-256 of %s cannot be saved", runtime.Version())
	}
	sha, err := m.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("save the hash state: %w", err)
	}
	return json.Marshal(savedDigest{
		Go: runtime.Version(), N: d.n, SHA: sha, NVME: d.nvme, ECMA: d.ecma, With: d.hasECMA, Want: d.want, Media: d.media,
	})
}

// loadDigest takes up a saved state. An error means that the file has to be
// read again from the start: another Go release wrote it, or it is damaged.
func loadDigest(b []byte) (*digest, error) {
	var s savedDigest
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read the saved hash state: %w", err)
	}
	if s.Go != runtime.Version() {
		return nil, fmt.Errorf("the saved hash state is of %s, this is %s", s.Go, runtime.Version())
	}
	d := &digest{n: s.N, sha: sha256.New(), nvme: s.NVME, ecma: s.ECMA, hasECMA: s.With, want: s.Want, media: s.Media}
	u, ok := d.sha.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("SHA-256 of %s cannot be taken up", runtime.Version())
	}
	if err := u.UnmarshalBinary(s.SHA); err != nil {
		return nil, fmt.Errorf("take up the saved hash state: %w", err)
	}
	return d, nil
}
