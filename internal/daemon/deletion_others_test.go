package daemon_test

import (
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// couple archives r and, a second later, r-s; from then on r's listing names
// r-s too. r's deletion is tried first.
func (tr *trial) couple(takesAll bool) {
	tr.t.Helper()
	tr.add(vendorsim.Recording{ID: "r-s"}, 3000)
	tr.add(vendorsim.Recording{ID: "r", Also: []string{"r-s"}, DeleteTakesAll: takesAll}, 4000)
	alone := tr.vendor.Inject(listed("r", vendorsim.EditItems(func(items []vendorsim.Item) []vendorsim.Item { return items[:1] })))
	tr.archive("r")
	tr.advance(time.Second)
	tr.archive("r-s")
	alone()
}

// What one call deletes of other recordings is known to be deleted; what it
// spares is deleted under a warrant of its own.
func TestDeletionTakesOrSparesOthers(t *testing.T) {
	t.Parallel()
	for _, takesAll := range []bool{true, false} {
		t.Run(map[bool]string{true: "takes", false: "spares"}[takesAll], func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, worldOptions{})
			tr.couple(takesAll)
			tr.enable()
			tr.untilDeleted("r", "r-s")
			w := tr.proven("r")
			if len(w.Evidence) != 2 || !slices.Equal(w.Covers, []string{"r", "r-s"}) {
				t.Errorf("the warrant covers %q with evidence of %d files", w.Covers, len(w.Evidence))
			}
			own := tr.proven("r-s")
			if (own.ID == w.ID) != takesAll {
				t.Errorf("r was deleted under %s, r-s under %s", w.ID, own.ID)
			}
			tr.called("r", 1)
			tr.called("r-s", map[bool]int{true: 0, false: 1}[takesAll])
			tr.sound(tr.d)
		})
	}
}

// A call that leaves r listed may still have taken r-s.
func TestDeletionTakesOthersUnconfirmed(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.couple(true)
	var kept vendorsim.Item
	tr.vendor.Inject(listed("r", vendorsim.EditItems(func(items []vendorsim.Item) []vendorsim.Item {
		if len(items) == 0 {
			return []vendorsim.Item{kept}
		}
		kept = slices.Clone(items[0])
		return items
	})))
	tr.enable()
	tr.until("tried", func() bool { return tr.rec("r").Status == state.DeletionUnconfirmed && tr.deleted("r-s") })
	tr.called("r", 1)
	tr.called("r-s", 0)
	if w := tr.proven("r-s"); w.RecordID != "r" || tr.events("r-s", state.EventSourceGone) != 0 {
		t.Errorf("r-s: %+v", w)
	}
	tr.sound(tr.d)
}

// A recording that has no listing of its own is listed as long as the one that
// names it is: a call that failed has not deleted it.
func TestDeletionOfWhatAnotherLists(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.haunt()
	tr.vendor.Inject(vendorsim.Fault{Call: "delRecordFile", Times: 1, Do: vendorsim.Envelope{Code: "500"}})
	tr.archive("host")
	tr.enable()
	tr.until("tried", func() bool {
		return tr.rec("ghost").Deletion.Error != "" && tr.rec("host").Deletion.Error != "" && tr.deletions("host") == 1
	})
	if h, g := tr.rec("host").Status, tr.rec("ghost").Status; h != state.Archived || g != state.Archived {
		t.Errorf("after a call that failed host is %s and ghost %s", h, g)
	}
	tr.advance(31 * time.Second)
	tr.untilDeleted("host", "ghost")
	if w := tr.proven("ghost"); w.RecordID != "host" || len(w.Evidence) != 2 {
		t.Errorf("ghost: %+v", w)
	}
	tr.called("host", 2)
	tr.called("ghost", 0)
	tr.sound(tr.d)
}

// haunt adds host, whose listing names a file of its own and one of ghost,
// which has no listing.
func (tr *trial) haunt() {
	tr.t.Helper()
	t := tr.t
	ghost := vendorsim.File{Start: begun.Add(time.Hour), Stop: begun.Add(2 * time.Hour), Content: movie(t, "ghost", 0, 3000), CarriedID: "ghost"}
	host := vendorsim.File{Start: begun, Stop: begun.Add(time.Minute), Content: movie(t, "host", 0, 4000)}
	err := tr.vendor.AddRecording(vendorsim.Recording{ID: "host", Tenant: "acme", ConferenceKey: "1866", Files: []vendorsim.File{host, ghost}})
	if err != nil {
		t.Fatal(err)
	}
}

// A warrant that led to nothing does not explain that a recording has no
// listing of its own while the other one still names it.
func TestDeletionUnconfirmedOfWhatAnotherLists(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.haunt()
	tr.vendor.Inject(vendorsim.Fault{Call: "delRecordFile", Times: 1, Do: vendorsim.Envelope{Code: "200"}})
	tr.archive("host")
	tr.enable()
	tr.until("tried", tr.is("host", state.DeletionUnconfirmed))
	if tr.rec("ghost").Deletion.WarrantID == "" {
		t.Error("the warrant does not cover ghost")
	}
	tr.update("host", state.Hold{On: true})
	tr.advance(31 * time.Second)
	tr.until("ghost was looked at", func() bool { return tr.deleted("ghost") || tr.rec("ghost").Deletion.Error != "" })
	if g := tr.rec("ghost"); g.Status != state.Archived {
		t.Errorf("ghost is %s though host's listing names it", g.Status)
	}
	tr.update("host", state.Hold{})
	tr.advance(2 * time.Minute)
	tr.untilDeleted("host", "ghost")
	tr.called("host", 2)
	tr.called("ghost", 0)
	tr.sound(tr.d)
}

// What a warrant covers of other recordings is read back like its own.
func TestDeletionReadsBackWhatOthersOwn(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.haunt()
	tr.archive("host")
	tr.enable("require: readback")
	tr.untilDeleted("host", "ghost")
	w := tr.proven("host")
	for _, ev := range w.Evidence {
		if ev.Level != state.LevelReadback || ev.ReadbackAt.IsZero() {
			t.Errorf("file of %s went at %s, read back at %s", ev.RecordID, ev.Level, ev.ReadbackAt)
		}
	}
	if len(w.Evidence) != 2 {
		t.Errorf("evidence of %d files", len(w.Evidence))
	}
	tr.called("ghost", 0)
	tr.sound(tr.d)
}

// One recording about which the vendor says nothing more does not keep the
// other's deletion from being confirmed.
func TestDeletionConfirmedBesideARefusal(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.couple(true)
	refuse := func(c vendorsim.Call) {
		if c.Name == "delRecordFile" {
			tr.vendor.Inject(listed("r-s", vendorsim.Envelope{Code: "200001"}))
		}
	}
	tr.onCall.Store(&refuse)
	tr.enable()
	tr.untilDeleted("r")
	tr.proven("r")
	if s := tr.rec("r-s").Status; s == state.SourceDeleted {
		t.Error("r-s is source_deleted though nobody said so")
	}
	tr.sound(tr.d)
}

// The confirmation that could not be had is asked for again, and no call is
// made meanwhile.
func TestDeletionConfirmedLater(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("r", 2000)
	tr.archive("r")
	var mend func()
	refuse := func(c vendorsim.Call) {
		if c.Name == "delRecordFile" {
			mend = tr.vendor.Inject(listed("r", vendorsim.Envelope{Code: "403"}))
		}
	}
	tr.onCall.Store(&refuse)
	tr.enable()
	tr.until("called", func() bool { return tr.deletions("r") == 1 })
	tr.idle()
	if s := tr.rec("r").Status; s != state.Deleting {
		t.Errorf("it is %s", s)
	}
	mend()
	tr.advance(31 * time.Second)
	tr.untilDeleted("r")
	tr.called("r", 1)
	tr.proven("r")
	tr.sound(tr.d)
}

// Every manifest is in the bucket before anything is deleted, also that of a
// recording that another one's listing names.
func TestDeletionWaitsForEveryManifest(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.pair("r")
	mend := tr.proxy.Inject(faultproxy.Rule{
		Method: http.MethodPut, Path: regexp.MustCompile("manifests/acme/r-s.json"), Do: faultproxy.Reply{Status: 503, Code: "SlowDown"},
	})
	tr.enable("max_per_hour: 1000")
	if _, err := tr.d.Store().Track(t.Context(), []state.Key{key("r"), key("r-s")}); err != nil {
		t.Fatal(err)
	}
	tr.run(func() {
		tr.wait("tried", func() bool { return tr.rec("r").Deletion.Error != "" && tr.rec("r-s").AllVerified() })
	})
	tr.advance(31 * time.Second)
	tr.idle()
	tr.called("", 0)
	mend()
	tr.until("the manifest written", func() bool { return !tr.rec("r-s").Manifest.Due })
	tr.advance(2 * time.Minute)
	tr.untilDeleted("r", "r-s")
	tr.proven("r")
	tr.proven("r-s")
	tr.sound(tr.d)
}
