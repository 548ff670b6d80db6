package daemon

import (
	"testing"

	"archiver/internal/state"
	archivesync "archiver/internal/sync"
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

// TestFlowing: a large file moves without an event, as long as it has more in
// the bucket, or read back, than it ever had.
func TestFlowing(t *testing.T) {
	t.Parallel()
	f := &follower{most: map[state.FileRef]int64{}}
	ref := state.FileRef{Key: state.Key{Tenant: "acme", RecordID: "large"}, FileID: "f"}
	at := func(n int64) []archivesync.Progress { return []archivesync.Progress{{Ref: ref, Transferred: n}} }
	back := func(n int64) []archivesync.Progress {
		return []archivesync.Progress{{Ref: ref, Transferred: 3, ReadBack: n}}
	}
	for _, c := range []struct {
		what string
		in   []archivesync.Progress
		want bool
	}{
		{"nothing in flight", nil, false},
		{"nothing acknowledged", at(0), false},
		{"two parts", at(2), true},
		{"no more", at(2), false},
		{"started again", at(0), false},
		{"the same again", at(2), false},
		{"one more", at(3), true},
		{"read back", back(1), true},
		{"read back anew", back(1), false},
	} {
		if got := f.flowing(c.in); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
