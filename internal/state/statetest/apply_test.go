package statetest_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"archiver/internal/state"
	"archiver/internal/state/statetest"
)

// deep is a copy that shares nothing.
func deep(t *rapid.T, r state.Recording) state.Recording {
	t.Helper()
	var out state.Recording
	b, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	for _, f := range r.Files {
		var g state.File
		b, err2 := json.Marshal(f)
		err = errors.Join(err, err2, json.Unmarshal(b, &g))
		out.Files = append(out.Files, g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWhateverIsDecided draws decisions, legal or not, and holds the result
// against what must be true of every recording and of every audit log.
func TestWhateverIsDecided(t *testing.T) {
	t.Parallel()
	reached := map[state.Status]int{}
	rapid.Check(t, func(rt *rapid.T) {
		r := state.Recording{Tenant: "t", RecordID: "r"}
		now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
		var log []state.Event
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			now = now.Add(time.Minute)
			taken := rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(rt, "taken")
			e := state.Env{At: now, KeyTaken: func(_ state.FileRef, _ state.Destination, k string) bool { return k == taken }}
			changes, _ := statetest.Decision(rt)(r)
			before := deep(rt, r)
			after, events, err := state.Apply(r, e, changes...)
			if r.Deletable() && rapid.Bool().Draw(rt, "warrant") {
				after, events, err = state.ApplyWarrant(r, e, state.Warrant{ID: "w"})
			}
			same(rt, "Apply changed what it was given", before, deep(rt, r))
			if err != nil {
				if !errors.Is(err, state.ErrIllegal) && !errors.Is(err, state.ErrNotFound) || len(events) > 0 {
					rt.Fatalf("%v with %d events", err, len(events))
				}
				same(rt, "a refusal changed something", before, after)
				continue
			}
			for _, ev := range events {
				if !ev.At.Equal(now) || ev.Tenant != "t" || ev.RecordID != "r" {
					rt.Fatalf("the event says %+v", ev)
				}
			}
			log = append(log, events...)
			follow(rt, log, after)
			if after.Status == "" {
				if d := cmp.Diff(state.Recording{Tenant: "t", RecordID: "r"}, after); d != "" {
					rt.Fatalf("something is left of an untracked recording: %s", d)
				}
				r = after
				continue
			}
			for _, p := range after.Problems() {
				rt.Errorf("after %T: %s", changes, p)
			}
			if !slices.IsSortedFunc(after.Files, func(a, b state.File) int { return a.StartTime.Compare(b.StartTime) }) {
				rt.Errorf("the files are not in order after %T", changes)
			}
			r = after
			reached[r.Status]++
		}
	})
	for _, s := range []state.Status{state.Waiting, state.Archiving, state.Archived, state.Deleting, state.Quarantined} {
		if reached[s] == 0 {
			t.Errorf("no run came to %s: %v", s, reached)
		}
	}
}

// follow replays events: each move begins where the one before it ended, and
// the last one leads to what is true now.
func follow(t *rapid.T, log []state.Event, r state.Recording) {
	is := map[string]string{}
	for _, e := range log {
		if e.Type == state.EventUntracked {
			if e.From != is[""] {
				t.Fatalf("%+v begins elsewhere than at %q", e, is[""])
			}
			clear(is)
			continue
		}
		if e.To == "" {
			continue
		}
		if e.From != is[e.FileID] {
			t.Fatalf("%+v begins elsewhere than at %q", e, is[e.FileID])
		}
		is[e.FileID] = e.To
	}
	if is[""] != string(r.Status) {
		t.Fatalf("the events lead to %q, it is %s", is[""], r.Status)
	}
	for _, f := range r.Files {
		if is[f.ID] != string(f.Phase) {
			t.Fatalf("the events lead file %s to %q, it is %s", f.ID, is[f.ID], f.Phase)
		}
	}
}

func same(t *rapid.T, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return // far faster
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
