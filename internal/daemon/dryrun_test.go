package daemon_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/fault"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// dryRun plans, and checks that nothing but getRecords happened.
func dryRun(t *testing.T, w *world, known daemon.Known, ids ...string) ([]daemon.Planned, error) {
	t.Helper()
	cfg, err := config.Load(w.configFile(), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]state.Key, 0, len(ids))
	for _, id := range slices.Sorted(slices.Values(ids)) {
		keys = append(keys, key(id))
	}
	before := w.vendor.Counts()
	var out []daemon.Planned
	err = daemon.DryRun(t.Context(), cfg, daemon.Options{Logger: zap.NewNop()}, known, state.KeySetOf(keys...), func(p daemon.Planned) error {
		out = append(out, p)
		return nil
	})
	for call, n := range w.vendor.Counts() {
		if call != "getRecords" && n != before[call] {
			t.Errorf("%s was called %d times", call, n-before[call])
		}
	}
	return out, err
}

func TestDryRun(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.recording("a", 1000)
	w.recording("b", 1000, 70_000)
	w.recording("c", 500)
	for _, r := range []vendorsim.Recording{
		{ID: "leads", Tenant: "acme", Also: []string{"a", "c"}},
		{ID: "leads-too", Tenant: "acme", Also: []string{"c"}},
		{ID: "none", Tenant: "acme"},
	} {
		if err := w.vendor.AddRecording(r); err != nil {
			t.Fatal(err)
		}
	}
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: "bad", Do: vendorsim.Envelope{Code: "200008"}})
	got, err := dryRun(t, w, nil, "leads", "leads-too", "none", "b", "a", "bad")
	if err != nil {
		t.Fatal(err)
	}
	want := []daemon.Planned{
		{Key: key("a"), Files: 1, Bytes: 1000},
		{Key: key("b"), Files: 2, Bytes: 71_000},
		{Key: key("bad"), Err: cmpopts.AnyError},
		{Key: key("leads"), Files: 1, Bytes: 500, Others: []string{"a", "c"}}, // a is asked about itself
		{Key: key("leads-too"), Others: []string{"c"}},                        // counted above
		{Key: key("none")},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateErrors(), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}

	// What is verified is subtracted, as long as the vendor lists the same.
	d := w.open()
	w.backfill(d, "b")
	got, err = dryRun(t, w, d.Store(), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	want = []daemon.Planned{{Key: key("a"), Files: 1, Bytes: 1000}, {Key: key("b"), Have: 2}}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if !w.vendor.ReplaceContent("b", 0, movie(t, "b", 7, 1001)) {
		t.Fatal("not replaced")
	}
	if _, err := d.Store().Track(t.Context(), []state.Key{key("c")}); err != nil {
		t.Fatal(err)
	}
	got, err = dryRun(t, w, d.Store()) // everything that is tracked
	if err != nil {
		t.Fatal(err)
	}
	want = []daemon.Planned{{Key: key("b"), Files: 1, Bytes: 1001, Have: 1}, {Key: key("c"), Files: 1, Bytes: 500}}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestDryRunOpenAndUnsized(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.recording("r", 1000, 2000, 3000)
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Do: vendorsim.EditItems(func(items []vendorsim.Item) []vendorsim.Item {
		items[0].Drop("fileSize")
		items[1].Drop("downUrl")
		return items
	})})
	got, err := dryRun(t, w, nil, "r")
	if err != nil {
		t.Fatal(err)
	}
	want := []daemon.Planned{{Key: key("r"), Files: 2, Bytes: 3000, Unsized: 1, Open: 1}}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestDryRunWrongKey(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.recording("z", 100)
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
	for _, id := range ids {
		w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: id, Do: vendorsim.Envelope{Code: "403"}})
	}
	got, err := dryRun(t, w, nil, ids...)
	if fault.KindOf(err) != fault.Unauthorized || !strings.HasPrefix(err.Error(), "ask about the recordings of tenant acme: ") {
		t.Errorf("error %v", err)
	}
	if n := w.vendor.Counts()["getRecords"]; len(got) > 2 || n > 12 {
		t.Errorf("%d plans, %d calls: a refused key was used again and again", len(got), n)
	}
	// A key that was accepted is not in doubt.
	for _, id := range ids {
		w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: "x" + id, Do: vendorsim.Envelope{Code: "403"}})
	}
	w.recording("A", 100)
	got, err = dryRun(t, w, nil, "A", "xa", "xb", "xc", "xd")
	if err != nil || len(got) != 5 || got[4].Err == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDryRunEnds(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.recording("a", 100)
	cfg, err := config.Load(w.configFile(), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	keys := []state.Key{key("a"), key("b"), key("c")}
	err = daemon.DryRun(t.Context(), cfg, daemon.Options{}, nil, state.KeySetOf(keys...), func(daemon.Planned) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = daemon.DryRun(ctx, cfg, daemon.Options{}, nil, state.KeySetOf(keys...), func(daemon.Planned) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
