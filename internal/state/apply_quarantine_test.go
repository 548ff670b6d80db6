package state_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

// told applies one change and returns the types of its events too.
func told(t *testing.T, r state.Recording, c state.Change) (state.Recording, []state.EventType) {
	t.Helper()
	after, events, err := state.Apply(r, env(), c)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	var types []state.EventType
	for _, e := range events {
		types = append(types, e.Type)
	}
	for _, p := range after.Problems() {
		t.Errorf("after %T: %s", c, p)
	}
	return after, types
}

func wantEvents(t *testing.T, got []state.EventType, want ...state.EventType) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

// TestVanishedWhileItsTransferEnds: the listing lost a file that came whole.
func TestVanishedWhileItsTransferEnds(t *testing.T) {
	t.Parallel()
	intent, open := state.IntendUpload{FileID: "f", PartSize: 8}, state.OpenUpload{FileID: "f", UploadID: "u"}
	sending := apply(t, file(t, state.Transferring), intent, open)
	gone := state.QuarantineFile{FileID: "f", Reason: state.SourceGone, Detail: "not listed"}
	r := apply(t, sending, gone)
	for _, c := range []state.Change{
		state.Pin{FileID: "f", Version: state.SourceVersion{ETag: "v"}}, intent, open,
	} {
		if _, _, err := state.Apply(r, env(), c); !errors.Is(err, state.ErrIllegal) {
			t.Errorf("%T: %v, want ErrIllegal", c, err)
		}
	}
	kept := apply(t, r, state.Progressed{FileID: "f"})
	if f := kept.Files[0]; f.Error != "not listed" || f.Upload == nil {
		t.Errorf("the file is %+v", f)
	}
	stored, events := told(t, kept, toStored("f")[2])
	wantEvents(t, events, state.EventStored, state.EventArchiving)
	if f := stored.Files[0]; f.Phase != state.Stored || f.Reason != "" || f.Upload != nil || f.Error != "" {
		t.Errorf("the file is %+v", f)
	}
	if stored.Status != state.Archiving || stored.Reason != "" || stored.Poll.Interval != 0 || !stored.Poll.NextAt.Equal(at(20)) {
		t.Errorf("the recording is %s (%s), %+v", stored.Status, stored.Reason, stored.Poll)
	}

	two := apply(t, r, discover("g"), state.QuarantineFile{FileID: "g", Reason: state.DownloadFailed})
	still, events := told(t, two, toStored("f")[2])
	wantEvents(t, events, state.EventStored)
	if still.Status != state.Quarantined || still.Poll.Interval != 24*time.Hour {
		t.Errorf("with another bad file it is %s, %+v", still.Status, still.Poll)
	}
	for _, reason := range state.Reasons() {
		if reason == state.SourceGone {
			continue
		}
		bad := apply(t, sending, state.QuarantineFile{FileID: "f", Reason: reason})
		if _, _, err := state.Apply(bad, env(), toStored("f")[2]); !errors.Is(err, state.ErrIllegal) {
			t.Errorf("stored while %s: %v, want ErrIllegal", reason, err)
		}
	}
}

func TestUploadOfAQuarantinedFile(t *testing.T) {
	t.Parallel()
	r := apply(t, file(t, state.Transferring), state.IntendUpload{FileID: "f"}, state.OpenUpload{FileID: "f", UploadID: "u"},
		state.QuarantineFile{FileID: "f", Reason: state.SourceGone, Detail: "why"})
	again, events := told(t, r, state.QuarantineFile{FileID: "f", Reason: state.BadContent, Detail: "x"})
	wantEvents(t, events)
	if d := cmp.Diff(r, again); d != "" {
		t.Errorf("a second quarantine changed (-want +got):\n%s", d)
	}
	failed, events := told(t, r, state.Fail{FileID: "f", Error: "x", RetryAt: at(22), Counts: true})
	wantEvents(t, events)
	if f := failed.Files[0]; f.Error != "why" || f.Attempts != 0 || !f.NextAttemptAt.Equal(at(22)) {
		t.Errorf("after a failure it is %+v", f)
	}
	aborted, events := told(t, failed, state.QuarantineFile{FileID: "f", Reason: state.BadContent, Detail: "x", Aborted: true})
	wantEvents(t, events)
	f := aborted.Files[0]
	if f.Upload != nil || f.Version != nil || f.Reason != state.SourceGone || f.Error != "why" || !f.NextAttemptAt.IsZero() {
		t.Errorf("aborted it is %+v", f)
	}
}

func TestRetryAt(t *testing.T) {
	t.Parallel()
	const h = time.Hour
	now := at(20)
	for left, want := range map[time.Duration]time.Duration{
		-h: 24 * h, 0: 24 * h, 1: h, h: h, 2 * h: h, 3 * h: 90 * time.Minute, 24*h - 2: 12*h - 1, 24 * h: 24 * h, 99 * h: 24 * h,
	} {
		if got := state.RetryAt(now, now.Add(left)).Sub(now); got != want {
			t.Errorf("with %s left it is tried in %s, want %s", left, got, want)
		}
	}
	if got := state.RetryAt(now, time.Time{}).Sub(now); got != 24*h {
		t.Errorf("without a deadline it is tried in %s", got)
	}
}

// TestQuarantineSchedulesItsRetry, whatever was scheduled before.
func TestQuarantineSchedulesItsRetry(t *testing.T) {
	t.Parallel()
	want := func(r state.Recording, next time.Time) {
		t.Helper()
		if r.Status != state.Quarantined || r.Poll.Interval != 24*time.Hour || !r.Poll.NextAt.Equal(next) {
			t.Errorf("it is %s, asked about at %s, %s", r.Status, r.Poll.NextAt, r.Poll.Interval)
		}
	}
	soon := state.Polled{Poll: state.Poll{NextAt: at(21), Interval: time.Minute}}
	for _, before := range []state.Change{soon, state.Polled{}} {
		want(apply(t, file(t, state.Discovered), before, state.QuarantineFile{FileID: "f", Reason: state.BadContent}), at(44))
		want(apply(t, file(t, state.Discovered), before, state.Quarantine{Reason: state.VendorRejected}), at(44))
	}
	dying := state.Relist{FileID: "f", Listing: state.Listing{Deadline: at(30)}}
	r := apply(t, file(t, state.Discovered), dying, state.QuarantineFile{FileID: "f", Reason: state.BadContent})
	want(r, at(25))
	// What is quarantined already keeps its retry.
	want(apply(t, r, discover("g"), state.QuarantineFile{FileID: "g", Reason: state.BadContent}, state.Quarantine{Reason: state.VendorRejected}), at(25))
}

func TestFailTellsNews(t *testing.T) {
	t.Parallel()
	r := file(t, state.Transferring)
	for i, tt := range []struct {
		text   string
		counts bool
		want   []state.EventType
	}{
		{"a", false, []state.EventType{state.EventAttemptFailed}},
		{"a", false, nil},
		{"a", true, []state.EventType{state.EventAttemptFailed}},
		{"a", true, []state.EventType{state.EventAttemptFailed}},
		{"b", false, []state.EventType{state.EventAttemptFailed}},
	} {
		var got []state.EventType
		r, got = told(t, r, state.Fail{FileID: "f", Error: tt.text, Counts: tt.counts, RetryAt: at(i)})
		wantEvents(t, got, tt.want...)
		if f := r.Files[0]; f.Error != tt.text || !f.NextAttemptAt.Equal(at(i)) {
			t.Errorf("failure %d: %+v", i, f)
		}
	}
	if n := r.Files[0].Attempts; n != 2 {
		t.Errorf("%d attempts count", n)
	}
}

func TestVoidWarrant(t *testing.T) {
	t.Parallel()
	void := state.DeletionFailed{Detail: "refused", Void: true}
	for _, from := range []state.Status{state.Deleting, state.DeletionUnconfirmed} {
		after, events, err := state.Apply(in(t, from), env(), void)
		if err != nil || after.Deletion.WarrantID != "" || len(events) != 1 || events[0].Warrant != "w" {
			t.Errorf("while %s: %v, %+v, %+v", from, err, after.Deletion, events)
		}
		if after, events, err = state.Apply(after, env(), void); err != nil || len(events) > 0 || after.Deletion.WarrantID != "" {
			t.Errorf("twice: %v, %+v", err, events)
		}
	}
	open := apply(t, in(t, state.Deleting), state.DeletionFailed{Detail: "lost"})
	if open.Deletion.WarrantID != "w" {
		t.Errorf("a warrant that may have been carried out is %q", open.Deletion.WarrantID)
	}
	covered, events, err := state.ApplyCovered(in(t, state.Archived), env(), state.Warrant{ID: "c"})
	if err != nil || len(events) > 0 || covered.Status != state.Archived || covered.Deletion.WarrantID != "c" {
		t.Errorf("covered: %v, %+v, %s under %q", err, events, covered.Status, covered.Deletion.WarrantID)
	}
}

func TestProvenAgain(t *testing.T) {
	t.Parallel()
	r := in(t, state.Archived)
	first := r.Files[0].Object
	other := state.Object{ETag: "other"}
	verify := func(r state.Recording, l state.Level, o state.Object, readback bool) state.Recording {
		return apply(t, r, state.Verify{FileID: "f", Level: l, Object: o, Readback: readback})
	}
	read := verify(r, state.LevelFullObject, first, true)
	if read.Manifest.Due || read.Files[0].ReadbackAt.IsZero() {
		t.Errorf("read back: %+v", read.Manifest)
	}
	if f := verify(read, state.LevelFullObject, first, false).Files[0]; f.ReadbackAt.IsZero() {
		t.Error("the readback of the same object is forgotten")
	}
	if f := verify(read, state.LevelFullObject, other, false).Files[0]; !f.ReadbackAt.IsZero() || f.Object != other {
		t.Errorf("the readback of another object counts: %+v", f)
	}
	if f := verify(read, state.LevelFullObject, other, true).Files[0]; f.ReadbackAt.IsZero() {
		t.Error("the readback of the new object is forgotten")
	}
	if r := verify(read, state.LevelReadback, first, true); !r.Manifest.Due || r.Status != state.Archived {
		t.Errorf("another level: %s, %+v", r.Status, r.Manifest)
	}
	early := verify(apply(t, in(t, state.Waiting), verified("f")...), state.LevelReadback, first, true)
	if early.Manifest.Due {
		t.Error("a manifest is due before there was one")
	}
	sending := file(t, state.Transferring)
	sending.Files = slices.Clone(sending.Files)
	sending.Files[0].ReadbackAt = at(1)
	if f := apply(t, sending, toStored("f")[2]).Files[0]; !f.ReadbackAt.IsZero() {
		t.Error("a readback of an earlier object is kept")
	}
}

func TestMergedManifest(t *testing.T) {
	t.Parallel()
	r := in(t, state.Archived)
	for _, merged := range []bool{true, false} {
		if r = apply(t, r, state.ManifestWritten{ETag: "m", Rendered: r, Merged: merged}); r.Manifest.Merged != merged {
			t.Errorf("merged is %v, want %v", r.Manifest.Merged, merged)
		}
	}
}
