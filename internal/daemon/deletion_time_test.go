package daemon_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

func TestDeletionIsOffUntilItIsOn(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("r", 2000)
	tr.archive("r")
	tr.advanceAll(100 * 24 * time.Hour)
	for _, lines := range [][]string{nil, {"delete_source:", "  after: 0s"}, {"delete_source:", "  enabled: false", "  after: 0s"}} {
		tr.start(lines...)
		tr.idle()
		tr.called("r", 0)
	}
	tr.start("delete_source:", "  enabled: true") // the default grace is over long ago
	tr.untilDeleted("r")
	tr.proven("r")
	tr.sound(tr.d)
}

// The grace time counts from the last file's verification.
func TestDeletionGrace(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	for _, id := range []string{"early", "late", "grown"} {
		tr.recording(id, 2000)
	}
	tr.archive("early", "grown")
	tr.advanceAll(30 * time.Minute)
	if err := tr.vendor.AddFile("grown", vendorsim.File{Start: begun.Add(time.Hour), Stop: begun.Add(2 * time.Hour), Content: movie(t, "grown", 5, 3000)}); err != nil {
		t.Fatal(err)
	}
	tr.archive("late")
	tr.advanceAll(29 * time.Minute)
	tr.enable("after: 1h")
	tr.idle()
	tr.called("", 0)
	tr.advanceAll(2 * time.Minute) // 61 min: early is due, and grown is looked at again
	tr.until("early deleted, grown found", func() bool {
		return tr.deleted("early") && len(tr.rec("grown").Files) == 2 && tr.rec("grown").Status == state.Archived
	})
	tr.idle()
	tr.called("early", 1)
	tr.called("late", 0)
	tr.called("grown", 0)
	tr.advanceAll(30 * time.Minute) // 91 min
	tr.untilDeleted("late")
	tr.called("grown", 0)
	tr.advanceAll(31 * time.Minute) // 122 min
	tr.untilDeleted("grown")
	for _, id := range []string{"early", "late", "grown"} {
		tr.called(id, 1)
		tr.proven(id)
	}
	tr.sound(tr.d)
}

// The hour's limit counts warrants, whatever came of them, across restarts.
func TestDeletionLimitAcrossRestarts(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	var ids []string
	for i := range 4 {
		ids = append(ids, fmt.Sprintf("r%d", i))
		tr.recording(ids[i], 2000)
	}
	tr.vendor.Inject(vendorsim.Fault{Call: "delRecordFile", Times: 1, Do: vendorsim.Envelope{Code: "500"}})
	tr.archive(ids...)
	tr.enable("max_per_hour: 2")
	tr.until("two calls", func() bool { return tr.deletions("") == 2 })
	for range 2 {
		tr.idle()
		tr.enable("max_per_hour: 2")
	}
	tr.advanceAll(59 * time.Minute)
	tr.idle()
	tr.called("", 2)
	tr.advanceAll(2 * time.Minute)
	tr.until("two more calls", func() bool { return tr.deletions("") == 4 })
	tr.idle()
	tr.called("", 4)
	tr.enable("max_per_hour: 3")
	tr.untilDeleted(ids...) // one was refused the first time
	tr.called("", 5)
	for _, id := range ids {
		tr.proven(id)
	}
	tr.sound(tr.d)
}

// A clock that is wrong, ours or the vendor's, pauses deletion.
func TestDeletionPausesWhileClocksDiffer(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	ids := []string{"vendor-ahead", "vendor-behind", "we-are-ahead", "right"}
	for _, id := range ids {
		tr.recording(id, 2000)
	}
	tr.archive(ids...)
	tr.enable()
	for _, id := range ids {
		tr.update(id, state.Hold{On: true})
	}
	for i, move := range []func(d time.Duration){
		func(d time.Duration) { tr.vendorAhead.Add(int64(d)) },
		func(d time.Duration) { tr.vendorAhead.Add(-int64(d)) },
		tr.advance,
	} {
		tr.update(ids[i], state.Hold{})
		move(5*time.Minute + 3*time.Second)
		tr.refused(ids[i], "set the clock right")
		tr.called("", 0)
		move(-5*time.Minute - 3*time.Second)
		tr.update(ids[i], state.Hold{On: true})
	}
	tr.advance(4 * time.Minute) // not much, and every wait is over
	for _, id := range ids {
		tr.update(id, state.Hold{})
	}
	tr.advance(50 * time.Second)
	tr.untilDeleted("vendor-ahead", "vendor-behind", "right")
	tr.sound(tr.d)
}

// asked says whether the bucket was asked about id since the n-th request.
func (tr *trial) asked(id string, n int) bool {
	return slices.ContainsFunc(tr.proxy.Log()[n:], func(e faultproxy.Entry) bool {
		return e.Method == http.MethodHead && strings.Contains(e.Path, "/"+id+"/")
	})
}

// between keeps the warrant of id waiting for the bucket's answer while f does
// something, and returns when the try has ended.
func (tr *trial) between(id string, f func()) {
	tr.t.Helper()
	release := make(chan struct{})
	remove := tr.proxy.Inject(heads(id, faultproxy.Hold{Until: release}))
	before := len(tr.proxy.Log())
	tr.run(func() {
		tr.wait("the bucket is asked about "+id, func() bool { return tr.asked(id, before) })
		f()
		remove()
		close(release)
	})
}

// Between the evidence and the warrant the facts may change: what is in our
// own state is looked at once more in the transaction that stores it.
func TestDeletionLooksAgainInTheTransaction(t *testing.T) {
	t.Parallel()
	facts := map[string]struct {
		change func(tr *trial)
		mend   func(tr *trial)
	}{
		"hold":       {func(tr *trial) { tr.update("r", state.Hold{On: true}) }, func(tr *trial) { tr.update("r", state.Hold{}) }},
		"other hold": {func(tr *trial) { tr.update("r-s", state.Hold{On: true}) }, func(tr *trial) { tr.update("r-s", state.Hold{}) }},
		"enabled":    {func(tr *trial) { tr.cfg.Tenants["acme"].Delete.Enabled = false }, func(tr *trial) { tr.enable() }},
		"limit": {func(tr *trial) {
			if _, err := tr.d.Store().StoreWarrant(tr.t.Context(), tr.warrantFor("x"), 1, func() error { return nil }); err != nil {
				tr.t.Error(err)
			}
		}, func(tr *trial) { tr.enable("max_per_hour: 9") }},
		"another proof": {func(tr *trial) { tr.tag(`"another"`) }, func(tr *trial) {
			objects, _, _ := tr.contents()
			tr.tag(objects[0].ETag)
		}},
	}
	for name, fact := range facts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, worldOptions{})
			switch name {
			case "other hold":
				tr.couple(false)
			case "limit":
				tr.recording("x", 1000)
				fallthrough
			default:
				tr.recording("r", 4000)
				tr.archive("r")
			}
			if name == "limit" {
				tr.advance(time.Second)
				tr.archive("x") // r is tried first
			}
			tr.enable("max_per_hour: 1")
			tr.between("r", func() { fact.change(tr) })
			tr.called("", 0)
			fact.mend(tr)
			tr.advance(31 * time.Second)
			tr.untilDeleted("r")
			tr.proven("r")
			tr.sound(tr.d)
		})
	}
}

// tag changes the ETag that the state has of r's object.
func (tr *trial) tag(etag string) {
	f := tr.rec("r").Files[0]
	o := f.Object
	o.ETag = etag
	tr.update("r", state.Verify{FileID: f.ID, Level: f.Level, Object: o})
}

// warrantFor is a warrant as another part of the program would have it.
func (tr *trial) warrantFor(id string) state.Warrant {
	w := state.Warrant{ID: "by hand", Tenant: "acme", RecordID: id, At: tr.now(), Covers: []string{id}}
	for _, f := range tr.rec(id).Files {
		w.Evidence = append(w.Evidence, state.Evidence{
			RecordID: id, FileID: f.ID, Dest: f.Dest, Key: f.Key, Object: f.Object, Size: f.Size, Sums: f.Sums, Level: f.Level,
		})
	}
	return w
}

// Evidence that took longer than 30 s is no evidence.
func TestDeletionEvidenceIsFresh(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("r", 2000)
	tr.archive("r")
	tr.enable()
	tr.between("r", func() { tr.advance(31 * time.Second) })
	tr.called("r", 0)
	if e := tr.rec("r").Deletion.Error; !strings.Contains(e, "longer than 30s") {
		t.Errorf("it says %q", e)
	}
	tr.advance(31 * time.Second)
	tr.between("r", func() { tr.advance(20 * time.Second) })
	tr.untilDeleted("r")
	tr.called("r", 1)
	tr.proven("r")
	tr.sound(tr.d)
}

// A call that would have to wait for api_rate until its evidence is too old is
// not made.
func TestDeletionCallIsMadeInTime(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("r", 2000)
	tr.archive("r")
	tr.rate = "0.2"
	tr.enable()
	release := make(chan struct{})
	remove := tr.proxy.Inject(heads("r", faultproxy.Hold{Until: release}))
	before := len(tr.proxy.Log())
	tr.run(func() {
		tr.wait("the bucket is asked", func() bool { return tr.asked("r", before) })
		tr.advance(26 * time.Second)
		remove()
		close(release)
		tr.wait("the warrant is spent", func() bool { return tr.events("r", state.EventWarrant) == 1 && tr.rec("r").Status != state.Deleting })
	})
	tr.called("r", 0)
	if r := tr.rec("r"); r.Status != state.Archived || r.Deletion.Error == "" {
		t.Errorf("it is %s: %q", r.Status, r.Deletion.Error)
	}
	tr.rate = ""
	tr.enable()
	tr.advance(31 * time.Second)
	tr.untilDeleted("r")
	tr.called("r", 1)
	tr.proven("r")
	tr.sound(tr.d)
}
