package sync_test

import (
	"testing"

	"archiver/internal/sandbox/s3stub"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// TestMostParts: a file of as many parts as an upload may have. S3's least part
// size would make it 50 GiB, so the store allows smaller ones.
func TestMostParts(t *testing.T) {
	t.Parallel()
	const (
		small = 4 << 10
		most  = 10_000
	)
	stub, err := s3stub.Start(t.Context(), "", s3stub.Options{Buckets: []string{"most"}, MinPart: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stub.Close() })
	w := newWorldAt(t, stub.Endpoint(), "most", "key", "secret")
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.CRCHeader{}})
	w.options.PartSize, w.options.Memory, w.options.Streams = small, 64*small, 1
	if w.Syncer, err = archivesync.New(*w.options); err != nil {
		t.Fatal(err)
	}
	w.bytes("r", most*small)
	truth, _ := w.vendor.Recording("r")
	sum, err := truth.Files[0].SHA256()
	if err != nil {
		t.Fatal(err)
	}
	f := w.get("r").Files[0]
	if f.Parts != most || f.Size != most*small || f.Sums.SHA256 != sum || f.Level != state.LevelFullObject {
		t.Errorf("%d parts of %d bytes, SHA-256 %s (%s); want %d parts, %s", f.Parts, f.Size, f.Sums.SHA256, f.Level, most, sum)
	}
	if n := stub.Stats().Requests["UploadPart"]; n < most || n > most+10 { // the probe sends some
		t.Errorf("%d parts were sent, want %d", n, most)
	}
}
