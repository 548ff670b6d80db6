package metrics

import (
	"fmt"
	"testing"
	"time"

	"archiver/internal/state"
)

// archive brings a tracked recording to archived.
func (w *world) archive(id string) {
	w.t.Helper()
	w.update(id, discovered("f-"+id, 10, time.Time{}), state.Settle{}, state.Start{FileID: "f-" + id})
	w.update(id, state.MarkStored{FileID: "f-" + id, Size: 10}, state.Verify{FileID: "f-" + id, Level: state.LevelFullObject})
	r, err := w.store.Get(w.t.Context(), key(id))
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(id, state.ManifestWritten{Rendered: r})
}

func (w *world) timestamps(polled, archived, tracked time.Time) {
	w.t.Helper()
	for name, at := range map[string]time.Time{
		"poll_last_success_timestamp_seconds":    polled,
		"archive_last_success_timestamp_seconds": archived,
		"last_tracked_timestamp_seconds":         tracked,
	} {
		var want float64
		if !at.IsZero() {
			want = float64(at.Unix())
		}
		if got := w.value(name); got != want {
			w.t.Errorf("%s of acme is %v, want %v", name, got, want)
		}
	}
}

// value is the value of acme's only series of that name.
func (w *world) value(name string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != prefix+name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "tenant" && l.GetValue() == "acme" {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	w.t.Fatalf("no %s of acme", name)
	return 0
}

// The timestamps outlive a restart, and what happened in between counts.
func TestTimestampsSurvive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.track("a") // before there were any metrics
	w.now = start.Add(time.Minute)
	w.run(func() {
		w.Polled("acme", nil)
		w.archive("a")
	})
	w.timestamps(start.Add(time.Minute), start.Add(time.Minute), start)
	w.now = start.Add(time.Hour)
	w.open()
	w.timestamps(time.Time{}, time.Time{}, time.Time{})
	w.track("b") // another command, while no daemon runs
	w.now = start.Add(2 * time.Hour)
	w.run(func() {})
	w.timestamps(start.Add(time.Minute), start.Add(time.Minute), start.Add(time.Hour))
}

// A fact that cannot be read is as good as none.
func TestTimestampsDamaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.track("a")
	if err := w.store.SetFact(t.Context(), factName, []byte(`{"after": "x"`)); err != nil {
		t.Fatal(err)
	}
	w.run(func() {})
	w.timestamps(time.Time{}, time.Time{}, start)
}

// Moves are counted from the audit log, those of before this process are not.
func TestMovesAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SetTenants([]string{"acme"})
	w.track("old")
	w.update("old", state.Quarantine{Reason: state.NeverProduced})
	if _, err := w.store.Events(t.Context(), 0, 10); err != nil {
		t.Fatal(err)
	}
	w.Begin(t.Context())
	ids := make([]string, 0, tailBatch) // more events than are read at a time
	for i := range tailBatch {
		ids = append(ids, fmt.Sprintf("r%d", i))
	}
	w.track(ids...)
	w.update("r0", state.Quarantine{Reason: state.VendorRejected})
	w.update("r1", discovered("f1", 10, time.Time{}), discovered("f2", 10, time.Time{}))
	w.update("r1", state.QuarantineFile{FileID: "f1", Reason: state.BadContent}, state.QuarantineFile{FileID: "f2", Reason: state.BadContent})
	w.archive("r2")
	w.update("r2", state.DeletionFailed{Detail: "no"})
	w.update("r2", state.Deleted{WarrantID: "x"})
	for range 2 { // nothing counts twice
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.vec.deletions.DeletePartialMatch(map[string]string{"tenant": "other"})
	w.vec.quarantined.DeletePartialMatch(map[string]string{"tenant": "other"})
	w.compare(`
# HELP archiver_quarantined_total Recordings set aside.
# TYPE archiver_quarantined_total counter
archiver_quarantined_total{reason="bad_content",tenant="acme"} 1
archiver_quarantined_total{reason="download_failed",tenant="acme"} 0
archiver_quarantined_total{reason="never_produced",tenant="acme"} 0
archiver_quarantined_total{reason="source_gone",tenant="acme"} 0
archiver_quarantined_total{reason="upload_failed",tenant="acme"} 0
archiver_quarantined_total{reason="vendor_rejected",tenant="acme"} 1
archiver_quarantined_total{reason="verify_failed",tenant="acme"} 0
# HELP archiver_source_deletions_total Tries at deletion at the source.
# TYPE archiver_source_deletions_total counter
archiver_source_deletions_total{result="failed",tenant="acme"} 1
archiver_source_deletions_total{result="source_deleted",tenant="acme"} 1
archiver_source_deletions_total{result="unconfirmed",tenant="acme"} 0
`, "archiver_quarantined_total", "archiver_source_deletions_total")
}

func (w *world) quarantine(id string) {
	w.t.Helper()
	w.update(id, state.Quarantine{Reason: state.NeverProduced})
}

// Without what was saved the log is looked through from its end, some of it at
// a time, and a restart goes on where that was.
func TestTimestampsFromAfar(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.track("a")
	w.archive("a")
	w.now = start.Add(time.Hour)
	keys := make([]state.Key, olderBatch)
	for i := range keys {
		keys[i] = key(fmt.Sprintf("r%d", i))
	}
	if _, err := w.store.Track(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	step := func() {
		t.Helper()
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step()
	w.timestamps(time.Time{}, time.Time{}, w.now)
	if err := w.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.open()
	step()
	w.timestamps(time.Time{}, start, w.now)
	if n := w.tail.older; n != 0 {
		t.Errorf("%d events are still to be looked at", n)
	}
}
