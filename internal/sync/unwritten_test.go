package sync_test

import (
	"errors"
	"testing"

	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestStateCannotBeWritten: a disk that is full holds the transfers up, instead
// of having everything fetched that cannot be recorded.
func TestStateCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const files = 200 // more than may wait for the state
	sizes := make([]int64, files)
	for i := range sizes {
		sizes[i] = 4000
	}
	w.recording("r", sizes...)
	full := errors.New("no space left on device")
	w.store.refuse.Store(&full)
	looked := false
	w.until("they are archived", func() bool {
		if !looked && w.store.refused.Load() > 3*files { // each was tried
			looked = true
			if n := len(w.vendor.CallsOf(vendorsim.Download)); n > 2+64 {
				t.Errorf("%d files were fetched that could not be recorded", n)
			}
			w.store.refuse.Store(nil)
		}
		return w.get("r").Status == state.Archived
	})
	if !looked {
		t.Error("the state was never asked in vain")
	}
}
