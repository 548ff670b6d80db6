package samples_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"archiver/internal/sandbox/samples"
)

func TestSamples(t *testing.T) {
	for _, name := range samples.Names() {
		b, err := samples.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 60<<10 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
		var kinds []string
		off := 0
		for off+8 <= len(b) {
			kinds = append(kinds, string(b[off+4:off+8]))
			off += int(binary.BigEndian.Uint32(b[off:]))
		}
		moov, mdat := slices.Index(kinds, "moov"), slices.Index(kinds, "mdat")
		if off != len(b) || kinds[0] != "ftyp" || moov < 0 || mdat < 0 {
			t.Errorf("%s: boxes %v end at %d of %d", name, kinds, off, len(b))
		}
		if faststart := moov < mdat; faststart != (name != samples.Mandelbrot) {
			t.Errorf("%s: boxes %v", name, kinds)
		}
	}
	if _, err := samples.Read("none.mp4"); err == nil {
		t.Error("a sample that isn't there was read")
	}
}
