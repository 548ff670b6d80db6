package sync_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// Every byte, file and proof is told of, and what is in flight is seen there.
func TestObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const large, small = 2*part + 12345, 4000
	if at := w.Beat(); !at.IsZero() {
		t.Errorf("beats at %s before it runs", at)
	}
	begun := time.Now()
	var most archivesync.Progress
	w.told.heard = func() {
		for _, p := range w.InFlight() {
			if p.Size == large && p.Transferred > most.Transferred {
				most = p
			}
		}
	}
	w.archive("r", large, small)
	if w.Beat().Before(begun) {
		t.Errorf("the last beat is of %s", w.Beat())
	}
	if w.Transferring() != 0 || len(w.InFlight()) != 0 || len(w.TransferringBy()) != 0 {
		t.Errorf("in flight at the end: %+v", w.InFlight())
	}
	f := w.get("r").Files[0]
	want := archivesync.Progress{
		Ref: state.FileRef{Key: key("r"), FileID: f.ID}, Filename: f.Filename, Size: large, Transferred: large, StartedAt: most.StartedAt,
	}
	if diff := cmp.Diff(want, most); diff != "" || most.StartedAt.Before(begun) {
		t.Error(diff, most)
	}
	o := w.told
	if o.read != large+small || o.took != large+small {
		t.Errorf("told of %d bytes read and %d taken, of %d", o.read, o.took, large+small)
	}
	for _, d := range []string{
		cmp.Diff(map[int64]int{large: 1, small: 1}, o.stored),
		cmp.Diff(map[string]int{"full_object ok": 2}, o.verified),
		cmp.Diff(map[string]int(nil), o.links),
		cmp.Diff(map[string]int(nil), o.retried),
	} {
		if d != "" {
			t.Error(d)
		}
	}
}

// Retries are told by side, and links by why they are asked for.
func TestObservedFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Times: 1, Do: vendorsim.Status{Code: 403}})
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, After: 1, Times: 1, Do: vendorsim.Status{Code: 503}})
	w.proxy.Inject(faultproxy.Rule{
		Method: "PUT", Path: regexp.MustCompile(`/r/`), Times: 3, Do: faultproxy.Reply{Status: 400, Code: "InvalidDigest"},
	})
	w.archive("r", 4000)
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	if diff := cmp.Diff(map[string]int{archivesync.RefreshRefused: 1}, w.told.links); diff != "" {
		t.Error(diff)
	}
	if r := w.told.retried; r[archivesync.SideSource] != 1 || r[archivesync.SideBucket] < 1 {
		t.Errorf("retried: %v", r)
	}
}

// After a restart no link is known.
func TestObservedMissingLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.recording("r", 4000)
	access, secret := store.Keys()
	w.build(access, secret)
	w.until("r is archived", func() bool { return w.get("r").Status == state.Archived })
	if diff := cmp.Diff(map[string]int{archivesync.RefreshMissing: 1}, w.told.links); diff != "" {
		t.Error(diff)
	}
}

// enabled: false between the warrant and the call still keeps the call from
// being made, and the warrant explains nothing.
func TestDeletionTurnedOffBeforeTheCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive("r", 4000)
	w.store.warranted = func() { w.deletes.Store(false) }
	w.deletes.Store(true)
	w.until("the warrant came to nothing", func() bool {
		r := w.get("r")
		return r.Status == state.Archived && r.Deletion.Error != ""
	})
	if calls := w.vendor.CallsOf("delRecordFile"); len(calls) > 0 {
		t.Errorf("called %d times", len(calls))
	}
	if id := w.get("r").Deletion.WarrantID; id != "" {
		t.Errorf("warrant %s is left", id)
	}
	if w.deletes.Load() {
		t.Error("no warrant was stored")
	}
}

// TestReadThroughIsSeen: what the bucket turns out to have counts as it is
// read, so that nobody takes a long adoption for a standstill.
func TestReadThroughIsSeen(t *testing.T) {
	t.Parallel()
	const size = 3*part + 12345
	w := newWorld(t)
	w.archive("r", size)
	seen := map[int64]bool{}
	w.told.mu.Lock()
	w.told.heard = func() {
		for _, p := range w.InFlight() {
			seen[p.Transferred] = true
		}
	}
	w.told.mu.Unlock()
	w.update("r", state.Untrack{})
	w.poll("r")
	w.until("it is adopted", func() bool { return w.get("r").Status == state.Archived })
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	if !seen[part] && !seen[2*part] {
		t.Errorf("seen of %d bytes: %v", size, seen)
	}
	if w.told.took != size {
		t.Errorf("the bucket took %d bytes of %d", w.told.took, size)
	}
}
