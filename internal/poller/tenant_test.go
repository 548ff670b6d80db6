package poller_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/poller"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestForbiddenAlone: 403 about one recordId, while the last good one works.
func TestForbiddenAlone(t *testing.T) {
	w := newWorld(t, func(o *poller.Options) { o.Concurrency = 1 })
	w.add("good", file(-time.Hour, 10))
	w.track("good")
	w.run(0)
	w.addRecording(vendorsim.Recording{ID: "theirs", Tenant: "other", ConferenceKey: "9"})
	w.add("late", file(-time.Hour, 10))
	w.track("theirs", "late")
	w.run(time.Minute)
	if r := w.is("theirs", state.Quarantined); r.Reason != state.VendorRejected {
		t.Errorf("%s %s", r.Reason, r.Detail)
	}
	w.is("late", state.Archiving)
	if s := w.Suspended(); len(s) != 0 {
		t.Errorf("suspended: %v", s)
	}
}

// TestForbiddenArchived: what is archived stays so.
func TestForbiddenArchived(t *testing.T) {
	w := newWorld(t)
	w.add("good", file(-time.Hour, 10))
	w.add("R", file(-time.Hour, 10))
	w.track("good", "R")
	w.run(0)
	archive(w, "R")
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: "R", Do: vendorsim.Envelope{Code: "403"}})
	if _, err := w.Ask(t.Context(), key("good")); err != nil {
		t.Fatal(err)
	}
	w.run(2 * time.Hour)
	if r := w.is("R", state.Archived); r.Poll.Error == "" || !r.Poll.NextAt.Equal(r.SettledAt.Add(24*time.Hour)) {
		t.Errorf("%+v", r.Poll)
	}
}

func archive(w *world, id string) {
	w.t.Helper()
	f := w.get(id).Files[0]
	r, err := w.store.Update(w.t.Context(), key(id), state.Do(state.Start{FileID: f.ID}, state.Pin{FileID: f.ID},
		state.MarkStored{FileID: f.ID, Size: f.DeclaredSize, Sums: state.Checksums{SHA256: "00"}},
		state.Verify{FileID: f.ID, Level: state.LevelFullObject}))
	if err != nil {
		w.t.Fatal(err)
	}
	r.ArchivedAt = w.clock.Now()
	if _, err := w.store.Update(w.t.Context(), key(id), state.Do(state.ManifestWritten{Key: "m", ETag: "e", Rendered: r})); err != nil {
		w.t.Fatal(err)
	}
}

// TestSuspension: the key itself is refused. One probe a run, rotating; other
// tenants go on; the first success ends it.
func TestSuspension(t *testing.T) {
	w := newWorld(t)
	ids := []string{"r0", "r1", "r2", "r3"}
	for _, id := range ids {
		w.add(id) // no file: due at every run
	}
	w.track(ids...)
	w.addRecording(vendorsim.Recording{ID: "o", Tenant: "other", ConferenceKey: "9", Files: []vendorsim.File{file(-time.Hour, 10)}})
	w.run(0)
	var lift []func()
	for _, id := range ids {
		lift = append(lift, w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: id, Do: vendorsim.Envelope{Code: "403"}}))
	}
	if _, err := w.store.Track(t.Context(), []state.Key{{Tenant: "other", RecordID: "o"}}); err != nil {
		t.Fatal(err)
	}
	_, seq := w.asked(0)
	w.run(time.Minute)
	if s := w.Suspended(); s["acme"] == "" || len(s) != 1 {
		t.Fatalf("suspended: %v", s)
	}
	if r, err := w.store.Get(t.Context(), state.Key{Tenant: "other", RecordID: "o"}); err != nil || r.Status != state.Archiving {
		t.Errorf("other tenant: %v %s", err, r.Status)
	}
	_, seq = w.asked(seq)
	if _, err := w.Ask(t.Context(), key("r1")); fault.KindOf(err) != fault.Unauthorized {
		t.Errorf("Ask: %v", err)
	}
	probed := map[string]bool{}
	for range 10 {
		w.run(time.Minute)
		var got []string
		got, seq = w.asked(seq)
		if len(got) != 1 {
			t.Errorf("a run asked about %v", got)
		}
		for _, id := range got {
			probed[id] = true
		}
	}
	if len(probed) != len(ids) {
		t.Errorf("probes rotated over %v", probed)
	}
	for _, id := range ids {
		w.is(id, state.Waiting)
	}
	if n := w.said("tenant suspended: the vendor refuses its key"); n != 1 {
		t.Errorf("said %d times", n)
	}
	for _, f := range lift {
		f()
	}
	w.run(time.Minute)
	if s := w.Suspended(); len(s) != 0 {
		t.Errorf("still suspended: %v", s)
	}
	got, _ := w.asked(seq)
	for _, id := range ids {
		if w.get(id).Poll.Error != "" {
			t.Errorf("%s was not asked about after the recovery: %v", id, got)
		}
	}
	if w.said("tenant recovered: the vendor accepts its key again") != 1 {
		t.Error("recovery was not said once")
	}
}

// TestSuspensionAtOnce: nothing is known that ever worked.
func TestSuspensionAtOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		id := fmt.Sprintf("r%d", i)
		w.addRecording(vendorsim.Recording{ID: id, Tenant: "other", ConferenceKey: "9"})
		w.track(id)
	}
	w.run(0)
	if s := w.Suspended(); s["acme"] == "" {
		t.Fatalf("suspended: %v", s)
	}
	got, seq := w.asked(0)
	if len(got) > 4 { // each worker may have been on its way
		t.Errorf("asked about %v", got)
	}
	for range 3 {
		w.run(time.Minute)
	}
	if again, _ := w.asked(seq); len(again) != 3 {
		t.Errorf("three runs asked about %v", again)
	}
}

// TestLastGoodSurvivesRestart: the recordId that proves a key does.
func TestLastGoodSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	w.add("good", file(-time.Hour, 10))
	w.track("good")
	w.run(0)
	w.close()
	w.open()
	w.addRecording(vendorsim.Recording{ID: "theirs", Tenant: "other", ConferenceKey: "9"})
	w.track("theirs")
	w.run(time.Minute)
	w.is("theirs", state.Quarantined)
	if s := w.Suspended(); len(s) != 0 {
		t.Errorf("suspended: %v", s)
	}
}

// TestControlCannotTell: the vendor fails while it is being found out whose
// fault a 403 is; nobody is blamed.
func TestControlCannotTell(t *testing.T) {
	w := newWorld(t)
	w.add("good", file(-time.Hour, 10))
	w.track("good")
	w.run(0)
	w.addRecording(vendorsim.Recording{ID: "theirs", Tenant: "other", ConferenceKey: "9"})
	w.track("theirs")
	remove := w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: "good", Do: vendorsim.Envelope{Code: "500"}})
	w.run(time.Minute)
	w.is("theirs", state.Waiting)
	if s := w.Suspended(); len(s) != 0 {
		t.Errorf("suspended: %v", s)
	}
	remove()
	w.run(time.Minute)
	w.is("theirs", state.Quarantined)
}

// TestControlIsGone: what worked last was deleted since; the next success
// decides.
func TestControlIsGone(t *testing.T) {
	w := newWorld(t, func(o *poller.Options) { o.Concurrency = 1 })
	w.add("good", file(-time.Hour, 10))
	w.track("good")
	w.run(0)
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: "good", Do: vendorsim.Envelope{Code: "200008"}})
	w.addRecording(vendorsim.Recording{ID: "theirs", Tenant: "other", ConferenceKey: "9"})
	w.track("theirs")
	w.run(time.Minute)
	if s := w.Suspended(); len(s) != 1 {
		t.Fatalf("suspended: %v", s)
	}
	_, seq := w.asked(0)
	w.add("fine")
	w.track("fine")
	for range 3 {
		w.run(time.Minute)
	}
	w.is("theirs", state.Quarantined)
	w.is("fine", state.Waiting)
	if got, _ := w.asked(seq); slices.Contains(got, "good") {
		t.Errorf("what proves nothing any more was asked again: %v", got)
	}
	if d := cmp.Diff(map[string]string{}, w.Suspended()); d != "" {
		t.Error(d)
	}
}

// TestForbiddenLastGoodItself: asking it again would prove nothing.
func TestForbiddenLastGoodItself(t *testing.T) {
	w := newWorld(t)
	w.add("only")
	w.track("only")
	w.run(0)
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Times: 1, Do: vendorsim.Envelope{Code: "403"}})
	_, seq := w.asked(0)
	w.run(time.Minute)
	if got, _ := w.asked(seq); len(got) != 1 || len(w.Suspended()) != 1 {
		t.Errorf("asked about %v, suspended: %v", got, w.Suspended())
	}
	w.run(time.Minute)
	if r := w.is("only", state.Waiting); r.Poll.Error != "" || len(w.Suspended()) != 0 {
		t.Errorf("%+v, suspended: %v", r.Poll, w.Suspended())
	}
}
