package poller_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/poller"
	"archiver/internal/state"
)

func (w *world) tracked() []string {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), state.Query{Tenant: "acme", Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	ids := map[string]bool{}
	var out []string
	for _, r := range page.Items {
		if !ids[r.RecordID] {
			ids[r.RecordID] = true
			out = append(out, r.RecordID)
		}
	}
	return out
}

func (w *world) isTracked(ids ...string) {
	w.t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	for _, id := range w.tracked() {
		got[id] = true
	}
	if d := cmp.Diff(want, got); d != "" {
		w.t.Errorf("tracked (-want +got):\n%s", d)
	}
}

// badLines returns the line numbers that were complained about.
func (w *world) badLines() (lines []int64) {
	for _, e := range w.logs.FilterMessage("record_ids_file: not a recordId").All() {
		lines = append(lines, e.ContextMap()["line"].(int64))
	}
	return lines
}

func TestRecordIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ids")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, func(o *poller.Options) {
		o.Tenants[0].RecordIDs = []string{"c1", "bad\x00", "c2"}
		o.Tenants[0].RecordIDsFile = path
	})
	w.run(0)
	w.run(time.Minute)
	w.isTracked("c1", "c2")
	if n := w.said("record_ids_file"); n != 1 {
		t.Errorf("the missing file was reported %d times", n)
	}
	if w.said("record_ids: not a recordId") != 1 {
		t.Error("the bad id was not reported")
	}

	write("\xef\xbb\xbff1\r\n# comment\r\n\r\n  f2 \r\n" + strings.Repeat("x", 65) + "\nf\x013\n" + strings.Repeat("y", 9000) + "\n录制-1\nf4")
	w.run(time.Minute)
	w.isTracked("c1", "c2", "f1", "f2", "录制-1", "f4")
	if d := cmp.Diff([]int64{5, 6, 7}, w.badLines()); d != "" {
		t.Errorf("bad lines (-want +got):\n%s", d)
	}
	w.run(time.Minute) // not read again: nothing is reported again
	if n := len(w.badLines()); n != 3 {
		t.Errorf("%d complaints", n)
	}

	write("f5\n") // leaving the file untracks nothing
	w.run(time.Minute)
	w.isTracked("c1", "c2", "f1", "f2", "录制-1", "f4", "f5")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.run(time.Minute)
	write("f6\n")
	w.run(time.Minute)
	w.isTracked("c1", "c2", "f1", "f2", "录制-1", "f4", "f5", "f6")
	if n := w.said("record_ids_file"); n != 2 {
		t.Errorf("missing files were reported %d times", n)
	}

	write(strings.Repeat("\x7f\n", 100))
	w.run(time.Minute)
	if n := len(w.badLines()); n != 3+20 {
		t.Errorf("%d complaints", n)
	}
	if w.said("record_ids_file: more lines that are not recordIds") != 1 {
		t.Error("the rest was not counted")
	}
}

// TestManyRecordIDs crosses the batches in which ids are tracked.
func TestManyRecordIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ids")
	var b strings.Builder
	for i := range 2001 {
		b.WriteString("id" + time.Duration(i).String() + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &script{}
	w := newWorld(t, func(o *poller.Options) {
		o.Tenants = []poller.Tenant{tenant(t, "acme", v)}
		o.Tenants[0].RecordIDsFile = path
	})
	v.now = func() time.Time { w.clock.advance(time.Millisecond); return w.clock.Now() } // time goes on within the run
	if r := w.run(0); r.Polled != 2001 {
		t.Errorf("polled %d", r.Polled)
	}
	totals, err := w.store.Totals(t.Context())
	if err != nil || totals["acme"].Recordings[state.Waiting] != 2001 {
		t.Errorf("%v %v", err, totals)
	}
}

// TestUnreadableRecordIDs: a directory in its place stops nothing.
func TestUnreadableRecordIDs(t *testing.T) {
	w := newWorld(t, func(o *poller.Options) {
		o.Tenants[0].RecordIDs = []string{"R"}
		o.Tenants[0].RecordIDsFile = t.TempDir()
	})
	w.add("R", file(-time.Hour, 10))
	w.run(0)
	w.is("R", state.Archiving)
	if w.said("record_ids_file") != 1 {
		t.Error("not reported")
	}
}
