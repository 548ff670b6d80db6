package state_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

func at(n int) time.Time { return time.Date(2024, 1, 1, n, 0, 0, 0, time.UTC) }

func free(state.FileRef, state.Destination, string) bool { return false }

func env() state.Env { return state.Env{At: at(20), KeyTaken: free} }

// apply makes the given changes, all of which must be legal.
func apply(t *testing.T, r state.Recording, changes ...state.Change) state.Recording {
	t.Helper()
	for _, c := range changes {
		after, _, err := state.Apply(r, env(), c)
		if err != nil {
			t.Fatalf("%T: %v", c, err)
		}
		r = after
	}
	return r
}

func discover(id string) state.Discover {
	return state.Discover{FileID: id, Keys: []string{id}, Dest: state.Destination{Bucket: "b"}}
}

func toStored(id string) []state.Change {
	return []state.Change{
		state.Start{FileID: id},
		state.Pin{FileID: id, Version: state.SourceVersion{ETag: "v"}},
		state.MarkStored{FileID: id, Sums: state.Checksums{SHA256: "s"}, Size: 1},
	}
}

func verified(id string) []state.Change {
	return append(append([]state.Change{discover(id)}, toStored(id)...),
		state.Verify{FileID: id, Level: state.LevelFullObject})
}

// in returns a recording with one verified file (where there is one at all) in
// each status, brought there by legal moves.
func in(t *testing.T, s state.Status) state.Recording {
	t.Helper()
	r := apply(t, state.Recording{Tenant: "t", RecordID: "r"}, state.Track{})
	switch s {
	case state.Waiting:
		return r
	case state.Redirected:
		return apply(t, r, state.Redirect{})
	case state.Quarantined:
		return apply(t, apply(t, r, verified("f")...), state.Quarantine{Reason: state.SourceGone})
	case state.Archiving, state.Archived, state.Deleting, state.SourceDeleted, state.DeletionUnconfirmed:
	}
	r = apply(t, r, verified("f")...)
	if s == state.Archiving {
		return r
	}
	r = apply(t, r, state.Settle{})
	r = apply(t, r, state.ManifestWritten{ETag: "m", Rendered: r})
	if s == state.Archived {
		return r
	}
	r, _, err := state.ApplyWarrant(r, env(), state.Warrant{ID: "w"})
	if err != nil {
		t.Fatal(err)
	}
	if s == state.SourceDeleted {
		return apply(t, r, state.Deleted{WarrantID: "w"})
	}
	if s == state.DeletionUnconfirmed {
		return apply(t, r, state.Unconfirmed{Detail: "still listed"})
	}
	return r
}

// TestRetryHurries makes due at once what waits after a failure.
func TestRetryHurries(t *testing.T) {
	t.Parallel()
	r := apply(t, file(t, state.Transferring),
		state.Fail{FileID: "f", Error: "503", RetryAt: at(100), Counts: true}, state.Polled{Poll: state.Poll{NextAt: at(100), Interval: time.Hour}})
	if r.Files[0].NextAttemptAt.IsZero() || r.Files[0].Attempts == 0 {
		t.Fatalf("the file does not wait: %+v", r.Files[0])
	}
	r = apply(t, r, state.Retry{})
	if f := r.Files[0]; !f.NextAttemptAt.IsZero() || f.Attempts != 0 || f.Error != "503" {
		t.Errorf("after the retry: %+v", f)
	}
	if r.Poll.NextAt.After(at(99)) || r.Poll.Interval != 0 {
		t.Errorf("after the retry it is polled at %s", r.Poll.NextAt)
	}
}

// TestRecordingMoves is the table of legal moves: for each change the status
// that it leads to from each status; "" is a refusal.
func TestRecordingMoves(t *testing.T) {
	t.Parallel()
	const (
		w, a, d, x = state.Waiting, state.Archiving, state.Archived, state.Deleting
		s, u, r, q = state.SourceDeleted, state.DeletionUnconfirmed, state.Redirected, state.Quarantined
	)
	type row = map[state.Status]state.Status
	all := row{w: w, a: a, d: d, x: x, s: s, u: u, r: r, q: q}
	except := func(changed row) row {
		out := maps.Clone(all)
		maps.Copy(out, changed)
		return out
	}
	tests := map[string]struct {
		change state.Change
		want   row
	}{
		"track":            {state.Track{}, all},
		"polled":           {state.Polled{}, all},
		"describe":         {state.Describe{ConferenceKey: "c"}, all},
		"settle":           {state.Settle{}, all},
		"redirect":         {state.Redirect{}, row{w: r}},
		"quarantine":       {state.Quarantine{Reason: state.SourceGone}, row{w: q, a: q, q: q}},
		"gone":             {state.Gone{}, all},
		"retry":            {state.Retry{}, row{w: w, a: a, q: a}},
		"accept":           {state.Accept{}, all},
		"hold":             {state.Hold{On: true}, except(row{x: ""})},
		"unhold":           {state.Hold{}, all},
		"manifest":         {state.ManifestWritten{ETag: "n"}, all},
		"manifest failed":  {state.ManifestFailed{}, all},
		"deleted":          {state.Deleted{WarrantID: "w"}, row{d: s, x: s, u: s}},
		"deleted by whom":  {state.Deleted{}, row{}},
		"unconfirmed":      {state.Unconfirmed{}, row{x: u}},
		"deletion failed":  {state.DeletionFailed{}, row{x: d, d: d, u: u}},
		"late file":        {discover("late"), row{w: a, a: a, d: a, s: a, u: a, r: a, q: a}},
		"bad file":         {state.QuarantineFile{FileID: "f", Reason: state.VerifyFailed}, row{a: q, d: q, u: q, q: q}},
		"superseded":       {state.Supersede{FileID: "f"}, row{a: a, d: a, s: a, u: a, q: q}},
		"proven again":     {state.Verify{FileID: "f", Level: state.LevelReadback}, row{a: a, d: d, x: x, s: s, u: u, q: q}},
		"relisted":         {state.Relist{FileID: "f"}, row{a: a, d: d, x: x, s: s, u: u, q: q}},
		"missed":           {state.Miss{FileID: "f"}, row{a: a, d: d, x: x, s: s, u: u, q: q}},
		"restart verified": {state.Restart{FileID: "f"}, row{}},
	}
	for name, tt := range tests {
		for _, from := range state.Statuses() {
			r := in(t, from)
			if r.Status != from {
				t.Fatalf("the sample of %s is %s", from, r.Status)
			}
			after, _, err := state.Apply(r, env(), tt.change)
			want := tt.want[from]
			switch {
			case want == "" && !errors.Is(err, state.ErrIllegal):
				t.Errorf("%s while %s: %v, want ErrIllegal", name, from, err)
			case want != "" && (err != nil || after.Status != want):
				t.Errorf("%s while %s: %s, %v, want %s", name, from, after.Status, err, want)
			}
			for _, p := range after.Problems() {
				t.Errorf("%s while %s: %s", name, from, p)
			}
		}
	}
}

func TestWarrantMoves(t *testing.T) {
	t.Parallel()
	for _, from := range state.Statuses() {
		after, events, err := state.ApplyWarrant(in(t, from), env(), state.Warrant{ID: "w2"})
		if from != state.Archived && from != state.DeletionUnconfirmed {
			if !errors.Is(err, state.ErrIllegal) {
				t.Errorf("while %s: %v, want ErrIllegal", from, err)
			}
			continue
		}
		if err != nil || after.Status != state.Deleting || after.Deletion.WarrantID != "w2" || events[0].Warrant != "w2" {
			t.Errorf("while %s: %v, %+v", from, err, after.Deletion)
		}
	}
	archived := in(t, state.Archived)
	for name, c := range map[string]state.Change{
		"hold": state.Hold{On: true}, "gone": state.Gone{}, "late file": discover("late"),
		"manifest due": state.ManifestWritten{ETag: "m"},
	} {
		if _, _, err := state.ApplyWarrant(apply(t, archived, c), env(), state.Warrant{ID: "w"}); !errors.Is(err, state.ErrIllegal) {
			t.Errorf("%s: %v, want ErrIllegal", name, err)
		}
	}
	marked := archived
	marked.Files = slices.Clone(archived.Files)
	marked.Files[0].Marks.ContentSuspect = true
	if _, _, err := state.ApplyWarrant(marked, env(), state.Warrant{ID: "w"}); !errors.Is(err, state.ErrIllegal) {
		t.Errorf("marked: %v, want ErrIllegal", err)
	}
	accepted := apply(t, marked, state.Accept{})
	accepted = apply(t, accepted, state.ManifestWritten{ETag: "n", Rendered: accepted})
	if _, _, err := state.ApplyWarrant(accepted, env(), state.Warrant{ID: "w"}); err != nil {
		t.Errorf("accepted: %v", err)
	}
}

func file(t *testing.T, p state.Phase) state.Recording {
	t.Helper()
	r := apply(t, state.Recording{Tenant: "t", RecordID: "r"}, state.Track{}, discover("f"))
	stored := toStored("f")
	switch p {
	case state.Discovered:
		return r
	case state.Transferring:
		return apply(t, r, stored[:2]...)
	case state.Stored:
		return apply(t, r, stored...)
	case state.Verified:
		return apply(t, apply(t, r, stored...), state.Verify{FileID: "f", Level: state.LevelFullObject})
	default:
		return apply(t, r, state.QuarantineFile{FileID: "f", Reason: state.BadContent})
	}
}

// TestFileMoves is the table for the phases of a file.
func TestFileMoves(t *testing.T) {
	t.Parallel()
	const d, g, s, v, q = state.Discovered, state.Transferring, state.Stored, state.Verified, state.FileQuarantined
	type row = map[state.Phase]state.Phase
	all := row{d: d, g: g, s: s, v: v, q: q}
	pin := state.Pin{FileID: "f", Version: state.SourceVersion{ETag: "w"}}
	tests := map[string]struct {
		change state.Change
		want   row
	}{
		"start":       {state.Start{FileID: "f"}, row{d: g, g: g}},
		"pin":         {pin, row{g: g}},
		"intend":      {state.IntendUpload{FileID: "f", PartSize: 1}, row{g: g}},
		"open":        {state.OpenUpload{FileID: "f", UploadID: "u"}, row{}}, // without an intent
		"fail":        {state.Fail{FileID: "f"}, row{d: d, g: g, s: s, q: q}},
		"progressed":  {state.Progressed{FileID: "f"}, all},
		"restart":     {state.Restart{FileID: "f"}, row{d: d, g: d}},
		"doubt":       {state.Doubt{FileID: "f"}, row{d: d, g: d}},
		"stored":      {state.MarkStored{FileID: "f", Sums: state.Checksums{SHA256: "s"}}, row{g: s}},
		"rekey":       {state.Rekey{FileID: "f", Keys: []string{"k"}}, row{d: d, g: d}},
		"verify":      {state.Verify{FileID: "f", Level: state.LevelParts}, row{s: v, v: v}},
		"quarantine":  {state.QuarantineFile{FileID: "f", Reason: state.BadContent}, row{d: q, g: q, s: q, v: q, q: q}},
		"supersede":   {state.Supersede{FileID: "f"}, row{s: s, v: v}},
		"retry":       {state.Retry{}, row{d: d, g: g, s: s, v: v, q: d}},
		"twice":       {discover("f"), row{}},
		"relist":      {state.Relist{FileID: "f"}, all},
		"miss":        {state.Miss{FileID: "f"}, all},
		"other start": {state.Start{FileID: "none"}, row{}},
	}
	for name, tt := range tests {
		for _, from := range state.Phases() {
			after, _, err := state.Apply(file(t, from), env(), tt.change)
			want := tt.want[from]
			switch {
			case want == "" && !errors.Is(err, state.ErrIllegal):
				t.Errorf("%s while %s: %v, want ErrIllegal", name, from, err)
			case want != "" && (err != nil || after.Files[0].Phase != want):
				t.Errorf("%s while %s: %s, %v, want %s", name, from, after.Files[0].Phase, err, want)
			}
			for _, p := range after.Problems() {
				t.Errorf("%s while %s: %s", name, from, p)
			}
		}
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	r := file(t, state.Transferring)
	illegal := func(r state.Recording, what string, c ...state.Change) {
		t.Helper()
		if _, _, err := state.Apply(r, env(), c...); !errors.Is(err, state.ErrIllegal) {
			t.Errorf("%s: %v, want ErrIllegal", what, err)
		}
	}
	intent, open := state.IntendUpload{FileID: "f", PartSize: 8}, state.OpenUpload{FileID: "f", UploadID: "u"}
	unpinned := apply(t, file(t, state.Discovered), state.Start{FileID: "f"}, intent)
	illegal(unpinned, "an upload of an unpinned source", open)
	r = apply(t, r, intent, intent)
	illegal(r, "an upload without an ID", state.OpenUpload{FileID: "f"})
	r = apply(t, r, open)
	if u := r.Files[0].Upload; u.ID != "u" || u.PartSize != 8 || !u.IntendedAt.Equal(at(20)) {
		t.Errorf("the upload is %+v", u)
	}
	illegal(r, "a second upload", intent)
	illegal(r, "a second ID", open)
	illegal(r, "a second version of what is on its way", state.Pin{FileID: "f", Version: state.SourceVersion{ETag: "other"}})
	apply(t, r, state.Pin{FileID: "f", Version: state.SourceVersion{ETag: "v"}})
	kept := apply(t, r, state.QuarantineFile{FileID: "f", Reason: state.UploadFailed}, state.Retry{})
	if f := kept.Files[0]; f.Phase != state.Transferring || f.Upload == nil {
		t.Errorf("an upload that is still there was forgotten: %+v", f)
	}
	gone := apply(t, r, state.QuarantineFile{FileID: "f", Reason: state.UploadFailed, Aborted: true}, state.Retry{})
	if f := gone.Files[0]; f.Phase != state.Discovered || f.Upload != nil || f.Version != nil {
		t.Errorf("an upload that is gone was kept: %+v", f)
	}
	for _, c := range []state.Change{
		state.Restart{FileID: "f"}, state.Doubt{FileID: "f"}, state.Rekey{FileID: "f", Keys: []string{"k"}}, toStored("f")[2],
	} {
		if f := apply(t, r, c).Files[0]; f.Upload != nil {
			t.Errorf("%T leaves the upload", c)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	taken := map[string]bool{"a": true}
	e := state.Env{At: at(1), KeyTaken: func(_ state.FileRef, d state.Destination, k string) bool {
		return d.Bucket == "b" && taken[k]
	}}
	r := state.Recording{Tenant: "t", RecordID: "r"}
	one := state.Discover{FileID: "1", Keys: []string{"a", "b"}, Dest: state.Destination{Bucket: "b"}}
	two := state.Discover{FileID: "2", Keys: []string{"a", "b", "c"}, Dest: state.Destination{Bucket: "b"}}
	other := state.Discover{FileID: "3", Keys: []string{"a"}, Dest: state.Destination{Bucket: "other"}}
	r, _, err := state.Apply(r, e, state.Track{}, one, two, other)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, f := range r.Files {
		keys = append(keys, f.Key)
	}
	if d := cmp.Diff([]string{"b", "c", "a"}, keys); d != "" {
		t.Error(d)
	}
	none := state.Discover{FileID: "4", Keys: []string{"a", "b"}, Dest: state.Destination{Bucket: "b"}}
	if _, _, err := state.Apply(r, e, none); !errors.Is(err, state.ErrIllegal) {
		t.Errorf("no key is free: %v, want ErrIllegal", err)
	}
}

func TestManifestOfAnEarlierState(t *testing.T) {
	t.Parallel()
	r := apply(t, apply(t, in(t, state.Waiting), verified("f")...), state.Settle{})
	if !r.Manifest.Due {
		t.Fatal("the manifest is not due")
	}
	rendered := r
	rendered.ArchivedAt = at(3)
	late := apply(t, apply(t, r, verified("late")...), state.ManifestWritten{ETag: "m", Rendered: rendered})
	if late.Status != state.Archiving || !late.Manifest.Due || late.Manifest.ETag != "m" {
		t.Errorf("a manifest without the late file made it %s: %+v", late.Status, late.Manifest)
	}
	done := apply(t, r, state.ManifestWritten{ETag: "m", Rendered: rendered})
	if done.Status != state.Archived || done.Manifest.Due || !done.ArchivedAt.Equal(at(3)) || !done.Deletion.EligibleFrom.Equal(at(20)) {
		t.Errorf("it is %s: %+v", done.Status, done)
	}
	unsettled := apply(t, in(t, state.Waiting), verified("f")...)
	if unsettled = apply(t, unsettled, state.ManifestWritten{ETag: "m", Rendered: unsettled}); unsettled.Status != state.Archiving {
		t.Errorf("an unsettled listing made it %s", unsettled.Status)
	}
}

// TestProblems makes one thing impossible at a time.
func TestProblems(t *testing.T) {
	t.Parallel()
	archived := func(fn func(*state.Recording)) state.Recording {
		r := in(t, state.Archived)
		r.Files = slices.Clone(r.Files)
		fn(&r)
		return r
	}
	tests := map[string]state.Recording{
		"has no status":          archived(func(r *state.Recording) { r.Status = "" }),
		"source deleted without": archived(func(r *state.Recording) { r.Status = state.SourceDeleted }),
		"deleting without":       archived(func(r *state.Recording) { r.Status = state.Deleting }),
		"not verified":           archived(func(r *state.Recording) { r.Files[0].Phase = state.Stored }),
		"without a manifest":     archived(func(r *state.Recording) { r.Manifest = state.Manifest{} }),
		"waiting with files":     archived(func(r *state.Recording) { r.Status = state.Waiting }),
		"quarantined without":    archived(func(r *state.Recording) { r.Status = state.Quarantined }),
		"share the key":          archived(func(r *state.Recording) { r.Files = append(r.Files, r.Files[0]) }),
		"has no object key":      archived(func(r *state.Recording) { r.Files[0].Key = "" }),
		"without a checksum":     archived(func(r *state.Recording) { r.Files[0].Sums = state.Checksums{} }),
		"with an open upload":    archived(func(r *state.Recording) { r.Files[0].Upload = &state.Upload{} }),
		"verified without proof": archived(func(r *state.Recording) { r.Files[0].Level = "" }),
		"unknown phase":          archived(func(r *state.Recording) { r.Files[0].Phase = "odd" }),
		"before its transfer":    archived(func(r *state.Recording) { r.Files[0].Phase, r.Files[0].Upload = state.Discovered, &state.Upload{} }),
		"of an unpinned source": archived(func(r *state.Recording) {
			f := &r.Files[0]
			f.Phase, f.Version, f.Upload = state.Transferring, nil, &state.Upload{ID: "u"}
		}),
		"f: quarantined without": archived(func(r *state.Recording) { r.Files[0].Phase = state.FileQuarantined }),
	}
	for want, r := range tests {
		if got := strings.Join(r.Problems(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	for _, s := range state.Statuses() {
		if p := in(t, s).Problems(); len(p) > 0 {
			t.Errorf("a legal %s has problems: %q", s, p)
		}
	}
}

func TestSourceVersionSame(t *testing.T) {
	t.Parallel()
	v := func(etag, modified string, n int64) state.SourceVersion {
		return state.SourceVersion{ETag: etag, LastModified: modified, Length: n}
	}
	for _, tt := range []struct {
		a, b state.SourceVersion
		want bool
	}{
		{v("a", "", 1), v("a", "", 1), true},
		{v("a", "x", 1), v("a", "y", 1), true},
		{v("a", "", 1), v("a", "", 2), false},
		{v("a", "", -1), v("a", "", 2), true},
		{v("a", "x", 1), v("b", "x", 1), false},
		{v("a", "x", 1), v("", "x", 1), false},
		{v("", "x", 1), v("", "x", 1), true},
		{v("", "x", 1), v("", "y", 1), false},
		{v("", "", 1), v("", "", 1), false},
	} {
		if tt.a.Same(tt.b) != tt.want || tt.b.Same(tt.a) != tt.want {
			t.Errorf("%+v and %+v: want %v", tt.a, tt.b, tt.want)
		}
	}
}
