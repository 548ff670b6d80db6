package daemon

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// TestMoves: what is only tried again keeps no one-shot alive.
func TestMoves(t *testing.T) {
	t.Parallel()
	for e, want := range map[state.EventType]bool{
		state.EventAttemptFailed: false, state.EventDeletionFailed: false, state.EventRestarted: false, state.EventTransferring: false,
		state.EventTracked: true, state.EventDiscovered: true, state.EventStored: true,
		state.EventVerified: true, state.EventArchived: true, state.EventRetried: true, state.EventSourceDeleted: true,
	} {
		if moves(e) != want {
			t.Errorf("%s: %v, want %v", e, !want, want)
		}
	}
}

// TestOpenFiles: an upload that nobody has aborted is work.
func TestOpenFiles(t *testing.T) {
	t.Parallel()
	u := &state.Upload{ID: "u"}
	r := state.Recording{Files: []state.File{
		{Phase: state.Discovered},
		{Phase: state.Transferring, Upload: u},
		{Phase: state.Stored},
		{Phase: state.FileQuarantined, Upload: u},
		{Phase: state.Verified},
		{Phase: state.FileQuarantined},
		{Phase: state.Stored, Superseded: true},
	}}
	if n := openFiles(r); n != 4 {
		t.Errorf("%d files are open, want 4", n)
	}
}

// TestFlowing: a large file moves without an event, as long as it gets parts
// that it never had.
func TestFlowing(t *testing.T) {
	t.Parallel()
	s, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	k := state.Key{Tenant: "acme", RecordID: "large"}
	b := &backfill{d: &Daemon{store: s}, parts: map[state.FileRef]int{}, open: map[state.Key]struct{}{k: {}}}
	flowing := func(what string, want bool) {
		t.Helper()
		if got, err := b.flowing(t.Context()); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	update := func(c ...state.Change) {
		t.Helper()
		if _, err := s.Update(t.Context(), k, state.Do(c...)); err != nil {
			t.Fatal(err)
		}
	}
	add := func(n int32) {
		t.Helper()
		if err := s.AddParts(t.Context(), state.FileRef{Key: k, FileID: "f"}, "u", state.Part{Number: n}); err != nil {
			t.Fatal(err)
		}
	}
	send := []state.Change{
		state.Start{FileID: "f"}, state.Pin{FileID: "f"}, state.IntendUpload{FileID: "f"}, state.OpenUpload{FileID: "f", UploadID: "u"},
	}
	flowing("not tracked", false)
	update(append([]state.Change{state.Track{}, state.Discover{FileID: "f", Keys: []string{"f"}}}, send...)...)
	flowing("no part", false)
	add(1)
	add(2)
	flowing("two parts", true)
	flowing("no more", false)
	update(append([]state.Change{state.Restart{FileID: "f"}}, send...)...)
	add(1)
	add(2)
	flowing("the same again", false)
	add(3)
	flowing("one more", true)
}
