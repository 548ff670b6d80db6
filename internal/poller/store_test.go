package poller_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"archiver/internal/poller"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestKeys: neighbours in a bucket never share a key, and later generations
// lie beside the first.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	same := file(-time.Hour, 10)
	same.Name, same.Dir = "a.mp4", "x"
	twin := same
	twin.Dir = "y"
	w.add("R", same, twin)
	w.track("R")
	w.run(0)
	r := w.get("R")
	if len(r.Files) != 2 {
		t.Fatalf("%d files", len(r.Files))
	}
	keys := []string{r.Files[0].Key, r.Files[1].Key}
	slices.Sort(keys)
	if keys[0] != "acme/R/a.mp4" || !strings.HasPrefix(keys[1], "acme/R/a~") {
		t.Errorf("keys are %q", keys)
	}
	id := r.Files[0].ID
	_, err := w.store.Update(t.Context(), key("R"), state.Do(state.Start{FileID: id}, state.Pin{FileID: id},
		state.MarkStored{FileID: id, Size: 10, Sums: state.Checksums{SHA256: "00"}}))
	if err != nil {
		t.Fatal(err)
	}
	w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Do: vendorsim.WrongFileSize(11)})
	w.run(2 * time.Hour)
	f, ok := w.get("R").File(id + "-2")
	if !ok || !strings.Contains(f.Key, "~"+id+"-2.mp4") || f.DeclaredSize != 11 {
		t.Errorf("second generation: %v %+v", ok, f)
	}
	if old, _ := w.get("R").File(id); !old.Superseded {
		t.Error("the first generation still counts")
	}
	if w.said("source changed after archiving") != 1 {
		t.Error("nothing was said")
	}
}

func TestKeysWhereConditionsAreIgnored(t *testing.T) {
	w := newWorld(t, func(o *poller.Options) { o.Tenants[0].KeyHasFileID = func() bool { return true } })
	w.add("R", file(-time.Hour, 10))
	w.track("R")
	w.run(0)
	f := w.get("R").Files[0]
	if !strings.HasSuffix(f.Key, "~"+f.ID+".mp4") {
		t.Errorf("key is %s", f.Key)
	}
}

// TestStoreFails: nothing of a poll that could not be written is lost.
func TestStoreFails(t *testing.T) {
	full := errors.New("disk full")
	for name, set := range map[string]func(*failing){
		"asked, not written":    func(f *failing) { f.before = map[string]error{"A": full} },
		"asked, then error":     func(f *failing) { f.after = map[string]error{"A": full} },
		"adopted, not written":  func(f *failing) { f.before = map[string]error{"B": full} },
		"adopted, then error":   func(f *failing) { f.after = map[string]error{"B": full} },
		"everything, then none": func(f *failing) { f.before = map[string]error{"A": full, "B": full} },
	} {
		t.Run(name, func(t *testing.T) {
			f := &failing{}
			set(f)
			w := newWorld(t, func(o *poller.Options) { o.Store = f })
			w.add("B", file(-time.Hour, 10))
			w.addRecording(vendorsim.Recording{ID: "A", Tenant: "acme", ConferenceKey: "1866", Also: []string{"B"}})
			w.track("A")
			if _, err := w.PollOnce(t.Context(), start); !errors.Is(err, full) {
				t.Errorf("error is %v", err)
			}
			f.mu.Lock()
			f.before, f.after = nil, nil
			f.mu.Unlock()
			w.run(time.Minute)
			w.is("A", state.Redirected)
			if r := w.is("B", state.Archiving); r.AdoptedFrom != "A" || len(r.Files) != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestIllegalMove: a plan that the state refuses costs this recording alone,
// and neither settles nor redirects who listed it.
func TestIllegalMove(t *testing.T) {
	f := &failing{before: map[string]error{"B": state.ErrIllegal}}
	w := newWorld(t, func(o *poller.Options) { o.Store = f })
	w.add("B", file(-time.Hour, 10))
	w.add("C", file(-time.Hour, 10))
	w.addRecording(vendorsim.Recording{ID: "A", Tenant: "acme", ConferenceKey: "1866", Also: []string{"B"}})
	w.track("A", "C")
	w.run(0)
	w.is("A", state.Waiting)
	w.is("C", state.Archiving)
	if w.said("listed file of another recording not recorded") != 1 {
		t.Error("nothing was said")
	}
	f.mu.Lock()
	f.before = nil
	f.mu.Unlock()
	w.run(time.Minute)
	w.is("A", state.Redirected)
	w.is("B", state.Archiving)
}

// TestIllegalMoveOfItsOwn: the recording is asked about less often, and says
// why.
func TestIllegalMoveOfItsOwn(t *testing.T) {
	f := &failing{before: map[string]error{"A": state.ErrIllegal}, times: 1}
	w := newWorld(t, func(o *poller.Options) { o.Store = f })
	w.add("A", file(-time.Hour, 10))
	w.track("A")
	w.run(0)
	if r := w.is("A", state.Waiting); r.Poll.Error == "" || !r.Poll.NextAt.Equal(start.Add(time.Hour)) {
		t.Errorf("%+v", r.Poll)
	}
	if w.said("poll not recorded") != 1 {
		t.Error("nothing was said")
	}
}
