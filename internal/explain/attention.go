package explain

import (
	"fmt"

	"archiver/internal/state"
)

// Attention says, in plain words, what keeps a recording from being
// archived as it should be; "" if nothing does.
func Attention(r state.Recording) string {
	switch r.Status {
	case state.Quarantined:
		return fmt.Sprintf("quarantined (%s): %s", r.Reason, r.Detail)
	case state.DeletionUnconfirmed:
		return "the vendor still lists it after the deletion"
	case state.Deleting:
		return "a deletion is under way and not confirmed yet"
	case state.Waiting:
		if r.Poll.Error != "" {
			return "still waiting: " + r.Poll.Error
		}
		return "still waiting: the vendor lists no finished file yet"
	case state.Archiving:
		for _, f := range r.Files {
			if f.Phase != state.Verified && f.Error != "" {
				return "not archived yet: " + f.Error
			}
		}
		if r.Manifest.Error != "" {
			return "not archived yet: " + r.Manifest.Error
		}
		if r.SettledAt.IsZero() {
			return "still waiting: more files may come, poll.settle is not over"
		}
		return "not archived yet"
	case state.Archived, state.SourceDeleted, state.Redirected:
	}
	for _, f := range r.Files {
		if f.Marks.Any() && !f.Superseded {
			return fmt.Sprintf("file %s is marked %s; look at it, then accept the recording", f.ID, f.Marks)
		}
	}
	if r.Status == state.Archived && r.Deletion.Error != "" {
		return "the source was not deleted: " + r.Deletion.Error
	}
	return ""
}
