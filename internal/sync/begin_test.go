package sync_test

import (
	"errors"
	"testing"

	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// TestShortTransfer: of a file that one request brings the state hears once,
// and of the manifest once; its events tell the whole way all the same.
func TestShortTransfer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.recording("r", 4000)
	before := w.store.updates.Load()
	w.until("it is archived", func() bool { return w.get("r").Status == state.Archived })
	if n := w.store.updates.Load() - before; n != 2 {
		t.Errorf("%d updates for a small file and its manifest, want 2", n)
	}
	events, err := w.store.Events(t.Context(), 0, 99)
	if err != nil {
		t.Fatal(err)
	}
	var way []string
	for _, e := range events {
		if e.FileID != "" {
			way = append(way, e.To)
		}
	}
	if got, want := len(way), 4; got != want || way[1] != "transferring" || way[3] != "verified" {
		t.Errorf("the file's way: %q", way)
	}
}

// TestSlowTransferIsTold: a small file that takes its time is told of while it
// does, and cannot be untracked meanwhile, not even before that.
func TestSlowTransferIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.recording("r", 4000)
	release := make(chan struct{})
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Times: 1, Do: vendorsim.Hold{Until: release}})
	early := true
	w.until("it is archived", func() bool {
		r := w.get("r")
		phase := r.Files[0].Phase
		if early && w.Transferring() == 1 {
			_, err := w.store.Update(t.Context(), key("r"), state.Do(state.Untrack{}))
			if !errors.Is(err, state.ErrIllegal) {
				t.Errorf("untracked while it is %s: %v", phase, err)
			}
		}
		if early && phase == state.Transferring {
			early = false
			close(release)
		}
		return r.Status == state.Archived
	})
	if early {
		t.Error("nobody was told that it is being transferred")
	}
}

// TestReadbackIsOfAKnownObject: what answers a PutObject tells no Last-Modified.
// That is as good as proven, but a read-back is good for a deletion only as
// long as that stays.
func TestReadbackIsOfAKnownObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.archive("r", 4000).Files[0]
	if !f.Object.LastModified.IsZero() || f.Level != state.LevelFullObject {
		t.Errorf("proven as %s by the answer alone, which told %s", f.Level, f.Object.LastModified)
	}
	w.options.Tenants[0].Readback = true
	var err error
	if w.Syncer, err = archivesync.New(*w.options); err != nil {
		t.Fatal(err)
	}
	f = w.archive("s", 5000).Files[0]
	if f.Object.LastModified.IsZero() || f.ReadbackAt.IsZero() {
		t.Errorf("read back at %s, of an object of %s", f.ReadbackAt, f.Object.LastModified)
	}
}
