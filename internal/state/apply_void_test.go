package state_test

import (
	"errors"
	"testing"
	"time"

	"archiver/internal/state"
)

// Void takes only the warrant that it names, and never one whose outcome is
// open or is what deleted the source.
func TestVoid(t *testing.T) {
	for _, c := range []struct {
		status  state.Status
		warrant string
		want    string
		illegal bool
	}{
		{state.Archived, "w", "", false},
		{state.Archived, "other", "other", false},
		{state.Archiving, "w", "", false},
		{state.DeletionUnconfirmed, "w", "", false},
		{state.Deleting, "w", "w", true},
		{state.SourceDeleted, "w", "w", true},
	} {
		r := state.Recording{
			Tenant: "acme", RecordID: "r", Status: c.status, Deletion: state.Deletion{WarrantID: c.warrant},
			Files: []state.File{{ID: "f", Phase: state.Verified}},
		}
		after, events, err := state.Apply(r, state.Env{At: time.Unix(1, 0)}, state.Void{WarrantID: "w"})
		if errors.Is(err, state.ErrIllegal) != c.illegal || after.Deletion.WarrantID != c.want || len(events) != 0 {
			t.Errorf("%s with %q: %q, %d events, %v", c.status, c.warrant, after.Deletion.WarrantID, len(events), err)
		}
	}
}
