package poller

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// TestPlanIsAlwaysLegal plays random lives: whatever the vendor answers and
// whatever the syncer does in between, plan makes only legal moves, keeps the
// invariants, decides the same when asked twice, and forgets no recording.
func TestPlanIsAlwaysLegal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pol := testPolicy()
		if rapid.Bool().Draw(t, "retention") {
			pol.retention = 40 * 24 * h
		}
		rec := state.Recording{Tenant: "a", RecordID: "R"}
		at := t0
		apply := func(changes ...state.Change) bool {
			env := state.Env{At: at, KeyTaken: func(state.FileRef, state.Destination, string) bool { return false }}
			next, _, err := state.Apply(rec, env, changes...)
			if err == nil {
				rec = next
			}
			return err == nil
		}
		apply(state.Track{})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at = at.Add(rapid.SampledFrom([]time.Duration{0, m, 5 * m, settle, h, 25 * h, giveUp}).Draw(t, "later"))
			if rapid.IntRange(0, 2).Draw(t, "who") == 0 {
				syncer(t, rec, apply)
				continue
			}
			a := anyAnswer(t, at)
			before := rec
			changes, err := plan(rec, a, at, pol)
			if err != nil {
				t.Fatalf("plan of %s at +%s: %v", rec.Status, at.Sub(t0), err)
			}
			if !apply(changes...) {
				t.Fatalf("illegal changes %v of %s", words(changes), before.Status)
			}
			if p := rec.Problems(); len(p) > 0 {
				t.Fatalf("after %v: %v", words(changes), p)
			}
			forgotten(t, before, rec, at, pol)
		}
	})
}

// forgotten fails if nobody would ever look at the recording again though
// there may be something to find, or if it would be polled without a pause.
func forgotten(t *rapid.T, before, rec state.Recording, at time.Time, pol policy) {
	p := rec.Poll
	if rec.Status == state.Deleting {
		return
	}
	done := rec.Status == state.SourceDeleted || rec.Status == state.Redirected || rec.Status == state.Archived ||
		rec.Status == state.DeletionUnconfirmed || rec.Status == state.Quarantined && pol.retention > 0
	if p.NextAt.IsZero() && !done {
		t.Fatalf("%s (was %s) is not polled any more", rec.Status, before.Status)
	}
	if !p.NextAt.IsZero() && p.NextAt.Before(at) {
		t.Fatalf("next poll %s before this one", at.Sub(p.NextAt))
	}
	if p.NextAt.After(at.Add(72 * h)) {
		t.Fatalf("next poll in %s", p.NextAt.Sub(at))
	}
}

// syncer makes one of the moves that others make, if it is legal now.
func syncer(t *rapid.T, rec state.Recording, apply func(...state.Change) bool) {
	if len(rec.Files) > 0 {
		f := rec.Files[rapid.IntRange(0, len(rec.Files)-1).Draw(t, "file")]
		switch rapid.SampledFrom([]string{"store", "quarantine", "lose"}).Draw(t, "file move") {
		case "store":
			apply(state.Start{FileID: f.ID}, state.Pin{FileID: f.ID},
				state.MarkStored{FileID: f.ID, Size: 5, Sums: state.Checksums{SHA256: "00"}},
				state.Verify{FileID: f.ID, Level: state.LevelFullObject})
		case "quarantine":
			apply(state.QuarantineFile{FileID: f.ID, Reason: state.DownloadFailed, Aborted: true})
		default:
			apply(state.Restart{FileID: f.ID})
		}
	}
	switch rapid.SampledFrom([]string{"manifest", "retry", "delete", "none"}).Draw(t, "move") {
	case "manifest":
		if rec.Manifest.Due {
			apply(state.ManifestWritten{Key: "m", ETag: "e", Rendered: rec})
		}
	case "retry":
		apply(state.Retry{})
	case "delete":
		if rec.Status == state.Archived {
			apply(state.Deleted{WarrantID: "w"})
		}
	default:
	}
}

func anyAnswer(t *rapid.T, at time.Time) answer {
	kinds := []fault.Kind{"", "", "", "", fault.Temporary, fault.NotReady, fault.BadRequest, fault.Rejected, fault.Unauthorized}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	if kind != "" {
		err := rapid.SampledFrom([]error{meetingapi.ErrNoSuchConference, meetingapi.ErrNotYours}).Draw(t, "err")
		return refused(kind, err)
	}
	var items []meetingapi.Identified
	for _, id := range []string{"f1", "f2", "f3"} {
		size := rapid.SampledFrom([]int64{-1, 5, 6}).Draw(t, "size")
		it := item(id, size, at.Sub(t0)+rapid.SampledFrom([]time.Duration{-h, 0, 8 * h}).Draw(t, "stop"))
		switch rapid.SampledFrom([]string{"no", "no", "yes", "open", "foreign"}).Draw(t, id) {
		case "yes":
			items = append(items, it)
		case "open":
			items = append(items, unfinished(it))
		case "foreign":
			items = append(items, of("S", it))
		default:
		}
	}
	return list(items...)
}
