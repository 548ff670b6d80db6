package state_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

// Untrack is the table of what keeps a recording from being forgotten.
func TestUntrack(t *testing.T) {
	t.Parallel()
	for _, from := range state.Statuses() {
		r := in(t, from)
		after, events, err := state.Apply(r, env(), state.Untrack{})
		if from == state.Deleting {
			if !errors.Is(err, state.ErrIllegal) {
				t.Errorf("while %s: %v, want ErrIllegal", from, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("while %s: %v", from, err)
			continue
		}
		if d := cmp.Diff(state.Recording{Tenant: "t", RecordID: "r"}, after); d != "" {
			t.Errorf("while %s something is left: %s", from, d)
		}
		if len(events) != 1 || events[0].Type != state.EventUntracked || events[0].From != string(from) || events[0].To != "" {
			t.Errorf("while %s: %+v", from, events)
		}
		if r.Status != from {
			t.Errorf("Apply changed what it was given: %s", r.Status)
		}
	}
	for _, phase := range state.Phases() {
		_, _, err := state.Apply(file(t, phase), env(), state.Untrack{})
		busy := phase == state.Transferring || phase == state.Stored
		if errors.Is(err, state.ErrIllegal) != busy {
			t.Errorf("with a file that is %s: %v", phase, err)
		}
		if busy && !strings.Contains(err.Error(), "file f") {
			t.Errorf("the refusal does not name the file: %v", err)
		}
	}
}

func TestUntrackRefused(t *testing.T) {
	t.Parallel()
	uploading := apply(
		t, file(t, state.Transferring), state.IntendUpload{FileID: "f"}, state.QuarantineFile{FileID: "f", Reason: state.BadContent},
	)
	for name, tt := range map[string]struct {
		r    state.Recording
		want error
		says string
	}{
		"upload left open": {uploading, state.ErrIllegal, "upload"},
		"hold":             {apply(t, in(t, state.Archived), state.Hold{On: true}), state.ErrIllegal, "unhold"},
		"not tracked":      {state.Recording{Tenant: "t", RecordID: "r"}, state.ErrNotFound, "untrack t/r"},
	} {
		after, events, err := state.Apply(tt.r, env(), state.Untrack{})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(tt.r, after); d != "" || len(events) > 0 {
			t.Errorf("%s: a refusal with %d events changed %s", name, len(events), d)
		}
	}
	gone := apply(t, uploading, state.QuarantineFile{FileID: "f", Aborted: true}, state.Untrack{})
	if _, _, err := state.Apply(gone, env(), state.Settle{}); !errors.Is(err, state.ErrIllegal) {
		t.Errorf("a change of what was untracked: %v", err)
	}
}
