package sync

import (
	"testing"

	"archiver/internal/state"
)

// TestPartSize: parts double until an upload can hold the file.
func TestPartSize(t *testing.T) {
	t.Parallel()
	const configured = 8 << 20
	for _, c := range []struct{ declared, length, want int64 }{
		{-1, 0, configured},
		{-1, maxParts * configured, configured},
		{-1, maxParts*configured + 1, 2 * configured},
		{maxParts*configured + 1, 5, 2 * configured}, // the vendor's fileSize counts as well
		{-1, 2*maxParts*configured + 1, 4 * configured},
		{-1, -1, 32 * configured}, // nobody says it: a quarter of the memory
	} {
		x := &transfer{
			Syncer: &Syncer{o: Options{PartSize: configured, Memory: 128 * configured}}, f: state.File{DeclaredSize: c.declared},
			src: &origin{version: state.SourceVersion{Length: c.length}},
		}
		if got := x.partSize(); got != c.want {
			t.Errorf("fileSize %d, length %d: parts of %d, want %d", c.declared, c.length, got, c.want)
		}
	}
}
