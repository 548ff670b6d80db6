package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"archiver/internal/state"
)

// TestStateFails takes the state file away under a running daemon: it ends,
// in good order, and says what to do.
func TestStateFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{tenantIDs: []string{"listed"}})
	w.recording("listed", 1000)
	d := w.open()
	if sum := w.backfill(d, "listed"); sum.Recordings[state.Archived] != 1 {
		t.Fatalf("%+v", sum)
	}
	ended := make(chan error)
	go func() { ended <- d.Run(t.Context(), t.Context()) }()
	path := filepath.Join(w.dir, "state.db")
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	_, _ = d.Store().Track(t.Context(), []state.Key{key("late")}) // somebody writes
	err := <-ended
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restart the archiver") {
		t.Errorf("it ended with: %v", err)
	}
}
