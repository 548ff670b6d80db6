package statetest

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"archiver/internal/state"
)

// Decision draws something that somebody might decide about a recording,
// whether it is legal or not. It is pure, so it may be applied to a store and
// to a model alike.
func Decision(t *rapid.T) state.Decide {
	n := rapid.IntRange(1, 3).Draw(t, "changes")
	made := make([]func(state.Recording) []state.Change, n)
	for i := range made {
		made[i] = step(t)
	}
	alone := rapid.IntRange(0, 3).Draw(t, "alone") == 0
	return func(r state.Recording) ([]state.Change, error) {
		var out []state.Change
		if r.Status == "" {
			out = append(out, state.Track{})
			if alone {
				return out, nil
			}
		}
		for _, m := range made {
			out = append(out, m(r)...)
		}
		return out, nil
	}
}

func when(t *rapid.T) time.Time {
	d := rapid.IntRange(0, 12).Draw(t, "day")
	if d == 0 {
		return time.Time{}
	}
	return day(d)
}

// step draws a step on a recording's way, or off it.
func step(t *rapid.T) func(state.Recording) []state.Change {
	id := rapid.SampledFrom([]string{"f1", "f2", "f3"}).Draw(t, "file")
	fixed := func(c ...state.Change) func(state.Recording) []state.Change {
		return func(state.Recording) []state.Change { return c }
	}
	at, later := when(t), when(t)
	kind := rapid.IntRange(0, 19).Draw(t, "kind")
	switch kind {
	case 0:
		return fixed(fileChange(t, id, at, later))
	case 1:
		return fixed(recordingChange(t, at, later))
	case 2:
		// What is next on the good way.
		return func(r state.Recording) []state.Change { return onward(r, id, at, later) }
	case 3:
		return func(r state.Recording) []state.Change {
			if f, ok := r.File(id); ok && !f.Superseded && (f.Phase == state.Verified || f.Phase == state.Stored) {
				n := max(f.Generation, 1) + 1
				next := discovery(fmt.Sprintf("%s-%d", state.Identity(id), n), at, later)
				next.Generation = n
				return []state.Change{state.Supersede{FileID: id, Detail: "changed"}, next}
			}
			return onward(r, id, at, later)
		}
	default:
		// All the way, so that runs reach the far end.
		return func(r state.Recording) []state.Change {
			i := slices.IndexFunc(r.Files, func(f state.File) bool { return !f.Superseded && f.Phase != state.Verified })
			switch {
			case i >= 0:
				id = r.Files[i].ID
			case len(r.Files) > 0:
				id = r.Files[0].ID
			}
			return onward(r, id, at, later)
		}
	}
}

func discovery(id string, at, later time.Time) state.Discover {
	return state.Discover{
		FileID: id, Filename: id + ".mp4", Dest: dest(), Keys: []string{"k1", "k2", "k3"},
		Listing: state.Listing{DeclaredSize: 10, Start: at, Stop: later, Deadline: later},
	}
}

// onward is the next change on the way of a file, or of the recording when all
// its files are verified.
func onward(r state.Recording, id string, at, later time.Time) []state.Change {
	f, ok := r.File(id)
	switch {
	case !ok:
		d := discovery(id, at, later)
		d.Keys = append(d.Keys, r.RecordID+"/"+id)
		return []state.Change{d}
	case f.Phase == state.FileQuarantined:
		return []state.Change{state.Retry{}}
	case f.Phase == state.Discovered:
		return upload(id, "up-"+id)
	case f.Phase == state.Transferring:
		return store(id)
	case f.Phase == state.Stored:
		return []state.Change{verify(id)}
	case r.SettledAt.IsZero():
		return []state.Change{state.Settle{}}
	case r.Manifest.Due:
		return []state.Change{written(r)}
	case r.Status == state.Deleting && later.After(at):
		return []state.Change{state.Unconfirmed{Detail: "still listed", EligibleFrom: at}}
	case r.Status == state.Deleting:
		return []state.Change{state.Deleted{WarrantID: r.Deletion.WarrantID}}
	}
	return []state.Change{state.Describe{ConferenceKey: "late", Start: at}}
}

func recordingChange(t *rapid.T, at, later time.Time) state.Change {
	return rapid.SampledFrom([]state.Change{
		state.Track{AdoptedFrom: "x"},
		state.Polled{Poll: state.Poll{NextAt: at, LastAt: later, Empty: 1}},
		state.Describe{ConferenceKey: "c1", Start: at, Stop: later},
		state.Describe{ConferenceKey: "c2", EntID: "e"},
		state.Settle{},
		state.Redirect{Detail: "d"},
		state.Quarantine{Reason: state.NeverProduced, Detail: "d"},
		state.Gone{Detail: "d"},
		state.Retry{},
		state.Untrack{},
		state.Untrack{},
		state.Accept{},
		state.Hold{On: true},
		state.Hold{},
		state.ManifestWritten{Dest: dest(), Key: "m", ETag: "stale", Merged: true},
		state.ManifestFailed{Error: "x", RetryAt: at},
		state.Unconfirmed{Detail: "d", EligibleFrom: at, Backoff: time.Minute},
		state.DeletionFailed{Detail: "d", EligibleFrom: at, Backoff: time.Minute},
		state.DeletionFailed{Detail: "d", EligibleFrom: at, Void: true},
	}).Draw(t, "recording change")
}

func fileChange(t *rapid.T, id string, at, later time.Time) state.Change {
	return rapid.SampledFrom([]state.Change{
		state.Relist{FileID: id, Listing: state.Listing{DeclaredSize: -1, Start: at, Deadline: later}},
		state.Miss{FileID: id},
		state.Start{FileID: id},
		state.Pin{FileID: id, Version: version("other")},
		state.IntendUpload{FileID: id, PartSize: 5},
		state.OpenUpload{FileID: id, UploadID: "u"},
		state.Fail{FileID: id, Error: "x", RetryAt: at, Counts: true},
		state.Fail{FileID: id, Error: "x", RetryAt: later},
		state.Progressed{FileID: id},
		state.Restart{FileID: id, Detail: "d", Suspect: "moov", RetryAt: at},
		state.Doubt{FileID: id, Detail: "d", RetryAt: at},
		state.Rekey{FileID: id, Keys: []string{"k1", "k2", "k4", id}},
		state.Verify{FileID: id, Level: state.LevelParts, Readback: true},
		state.MarkStored{
			FileID: id, Size: 5, Sums: state.Checksums{SHA256: "s"}, Marks: state.Marks{SizeMismatch: true},
		},
		state.QuarantineFile{FileID: id, Reason: state.BadContent, Detail: "d", Aborted: true},
		state.QuarantineFile{FileID: id, Reason: state.UploadFailed, Detail: "d"},
		state.QuarantineFile{FileID: id, Reason: state.SourceGone, Detail: "d"},
		state.Supersede{FileID: id},
	}).Draw(t, "file change")
}
