package sync

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash/crc64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"

	"archiver/internal/state"
)

// sample is an MP4 whose boxes have 8 and 16 byte headers.
func sample() []byte {
	var b bytes.Buffer
	b.Write(box("ftyp", 12))
	b.Write(box("moov", 100))
	b.Write(large("mdat", 500))
	b.Write(box("free", 0))
	return b.Bytes()
}

// feed gives bytes to the digest, as a part of their own.
func feed(d *digest, b []byte) {
	d.take(b)
	d.join(crc64nvme.Checksum(b), int64(len(b)))
}

func TestDigest(t *testing.T) {
	data := sample()
	sum := sha256.Sum256(data)
	want := state.Checksums{
		SHA256: hex.EncodeToString(sum[:]), CRC64NVME: crc64nvme.Checksum(data),
		CRC64ECMA: crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)), HasECMA: true,
	}
	theirs := want.CRC64ECMA
	for cut := range len(data) + 1 {
		d := newDigest("a.mp4", &theirs, false)
		feed(d, data[:cut])
		saved, err := d.save()
		if err != nil {
			t.Fatal(err)
		}
		feed(d, []byte("not in the saved state"))
		back, err := loadDigest(saved)
		if err != nil {
			t.Fatal(err)
		}
		if back.n != int64(cut) {
			t.Errorf("cut at %d, taken up at %d", cut, back.n)
		}
		feed(back, data[cut:])
		if diff := cmp.Diff(want, back.sums()); diff != "" {
			t.Errorf("cut at %d: %s", cut, diff)
		}
		if back.want == nil || *back.want != theirs || back.media.suspect() != "" || back.n != int64(len(data)) {
			t.Errorf("cut at %d: want %v, suspect %q, %d bytes", cut, back.want, back.media.suspect(), back.n)
		}
	}
}

func TestDigestWithoutECMA(t *testing.T) {
	d := newDigest("a.bin", nil, false)
	feed(d, []byte("123456789"))
	if s := d.sums(); s.HasECMA || s.CRC64ECMA != 0 {
		t.Errorf("%+v", s)
	}
	d = newDigest("a.bin", nil, true)
	feed(d, []byte("123456789"))
	if s := d.sums(); s.CRC64ECMA != 0x995DC9BBDF1939FA || s.CRC64NVME != 0xAE8B14860A799888 { // the check values of both
		t.Errorf("%x %x", s.CRC64ECMA, s.CRC64NVME)
	}
}

func TestDigestRefusals(t *testing.T) {
	good, err := newDigest("a.mp4", nil, false).save()
	if err != nil {
		t.Fatal(err)
	}
	edited := func(name string, value any) []byte {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		m[name] = value
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		saved []byte
		want  string
	}{
		"another Go": {edited("go", "go1.21.0"), "go1.21.0"},
		"no Go":      {edited("go", ""), "hash state is of"},
		"damaged":    {edited("sha", []byte("nonsense")), "take up"},
		"cut":        {good[:len(good)/2], "read the saved hash state"},
		"nothing":    {nil, "read the saved hash state"},
	} {
		if _, err := loadDigest(c.saved); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
	}
}
