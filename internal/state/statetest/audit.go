package statetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"archiver/internal/state"
)

func permit() error { return nil }

// warrantFor is what the verifying code would make of these recordings, the
// first of which is to be deleted.
func warrantFor(id string, at time.Time, recs ...state.Recording) state.Warrant {
	w := state.Warrant{
		ID: id, Tenant: recs[0].Tenant, RecordID: recs[0].RecordID, At: at, ListedAt: at,
		Clocks: state.Clocks{Ours: at, Vendor: at},
	}
	for _, r := range recs {
		w.Covers = append(w.Covers, r.RecordID)
		for _, f := range r.Files {
			if f.Superseded {
				continue
			}
			w.Evidence = append(w.Evidence, state.Evidence{
				RecordID: r.RecordID, FileID: f.ID, DeclaredSize: f.DeclaredSize, Dest: f.Dest, Key: f.Key,
				Object: f.Object, Size: f.Size, Sums: f.Sums, Level: f.Level,
			})
		}
	}
	return w
}

func (e *env) warrant(id string, keys ...state.Key) state.Warrant {
	e.Helper()
	var recs []state.Recording
	for _, k := range keys {
		recs = append(recs, e.get(k))
	}
	return warrantFor(id, day(10), recs...)
}

func auditTests() map[string]func(*env) {
	return map[string]func(*env){
		"Events": func(e *env) {
			e.archive(rec("acme", 1), "f", "g")
			e.archive(rec("acme", 2), "f")
			e.restart()
			e.track(rec("beta", 1))
			all := e.events()
			for i, ev := range all {
				if ev.Seq != uint64(i+1) || ev.At.IsZero() || ev.RecordID == "" {
					e.Errorf("event %d is %+v", i+1, ev)
				}
			}
			for _, tt := range []struct {
				after       uint64
				limit, want int
			}{{0, 3, 3}, {3, 2, 2}, {uint64(len(all)) - 1, 9, 1}, {uint64(len(all)), 9, 0}, {1 << 63, 9, 0}, {^uint64(0), 9, 0}, {0, 0, 0}} {
				got, err := e.s.Events(e.Context(), tt.after, tt.limit)
				e.ok(err)
				e.same(fmt.Sprintf("%+v", tt), all[min(int(min(tt.after, uint64(len(all)))), len(all)):][:tt.want], got)
			}
		},
		"EventsOf": func(e *env) {
			k := rec("acme", 1)
			e.track(k, rec("acme", 10), rec("acme", 2))
			e.archive(k, "f")
			e.track(rec("acme", 3))
			var want []state.Event
			for _, ev := range e.events() {
				if ev.RecordID == k.RecordID {
					want = append(want, ev)
				}
			}
			e.same("all", want, eventsOf(e, k))
			for n := range len(want) + 2 {
				got, err := e.s.EventsOf(e.Context(), k, n)
				e.ok(err)
				e.same("latest", want[max(0, len(want)-n):], got)
			}
			e.same("of nobody", []state.Event(nil), eventsOf(e, rec("acme", 77)))
		},
		"Warrant":         storeWarrant,
		"WarrantCovers":   warrantCovers,
		"WarrantClauses":  warrantClauses,
		"WarrantsPerHour": warrantsPerHour,
		"WarrantIsNoMore": func(e *env) {
			a, b := rec("acme", 1), rec("acme", 2)
			e.archive(a, "f")
			e.archive(b, "f")
			_, err := e.s.StoreWarrant(e.Context(), e.warrant("w", a), 9, permit)
			e.ok(err)
			// One warrant permits one call: its ID is used up.
			if _, err := e.s.StoreWarrant(e.Context(), e.warrant("w", b), 9, permit); !errors.Is(err, state.ErrIllegal) {
				e.Errorf("a second warrant of that ID: %v, want ErrIllegal", err)
			}
			if _, err := e.s.StoreWarrant(e.Context(), e.warrant("w2", a), 9, permit); !errors.Is(err, state.ErrIllegal) {
				e.Errorf("a second warrant while deleting: %v, want ErrIllegal", err)
			}
			if _, err := e.s.Warrant(e.Context(), "acme", "w2"); !errors.Is(err, state.ErrNotFound) {
				e.Errorf("a refused warrant is stored: %v", err)
			}
		},
	}
}

func storeWarrant(e *env) {
	a, b := rec("acme", 1), rec("acme", 2)
	e.archive(a, "f", "g")
	e.archive(b, "h")
	w := e.warrant("w1", a, b)
	n := len(e.events())
	r, err := e.s.StoreWarrant(e.Context(), w, 1, permit)
	e.ok(err)
	if r.Status != state.Deleting || r.Deletion.WarrantID != "w1" {
		e.Errorf("the recording is %s under %q", r.Status, r.Deletion.WarrantID)
	}
	e.same("stored", r, e.get(a))
	if r := e.get(b); r.Status != state.Archived || r.Deletion.WarrantID != "w1" {
		e.Errorf("a covered recording is %s under %q", r.Status, r.Deletion.WarrantID)
	}
	e.restart()
	got, err := e.s.Warrant(e.Context(), "acme", "w1")
	e.ok(err)
	e.same("warrant", w, got)
	ev := e.events()[n:]
	if len(ev) != 1 || ev[0].Type != state.EventWarrant || ev[0].Warrant != "w1" {
		e.Errorf("the events are %+v", ev)
	}
	for _, id := range []string{"w2", ""} {
		if _, err := e.s.Warrant(e.Context(), "acme", id); !errors.Is(err, state.ErrNotFound) {
			e.Errorf("warrant %q: %v, want ErrNotFound", id, err)
		}
	}
	if _, err := e.s.Warrant(e.Context(), "beta", "w1"); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("of another tenant: %v, want ErrNotFound", err)
	}
	e.update(a, state.Deleted{WarrantID: "w1"})
	e.update(b, state.Deleted{WarrantID: "w1"})
}

// warrantCovers: a covered recording keeps what its own warrant has led to, and
// no warrant explains a late file.
func warrantCovers(e *env) {
	a, own, done, late := rec("acme", 1), rec("acme", 2), rec("acme", 3), rec("acme", 4)
	all := []state.Key{a, own, done, late}
	for _, k := range all {
		e.archive(k, "f")
	}
	for i, k := range all[1:3] {
		_, err := e.s.StoreWarrant(e.Context(), e.warrant(fmt.Sprint("own", i+1), k), 9, permit)
		e.ok(err)
	}
	e.update(done, state.Deleted{WarrantID: "own2"})
	w := e.warrant("w", all...)
	w.Covers = append(w.Covers, late.RecordID) // twice
	n := len(e.events())
	_, err := e.s.StoreWarrant(e.Context(), w, 9, permit)
	e.ok(err)
	e.same("one event", 1, len(e.events())-n)
	for i, want := range []string{"w", "own1", "own2", "w"} {
		if got := e.get(all[i]).Deletion.WarrantID; got != want {
			e.Errorf("%s is under %q, want %q", all[i], got, want)
		}
	}
	e.update(late, discover(late, "g"))
	e.update(done, discover(done, "g"))
	for _, k := range []state.Key{late, done} {
		if r := e.get(k); r.Status != state.Archiving || r.Deletion.WarrantID != "" {
			e.Errorf("with a late file %s is %s under %q", k, r.Status, r.Deletion.WarrantID)
		}
	}
}

// clause is one fact that keeps a warrant from being stored, on top of a world
// in which it would be.
type clause struct {
	name, want string // want: the clause that refuses, "" for ErrIllegal
	world      []state.Change
	of         int // the recording of world: 1 is deleted, 2 is covered too
	warrant    func(w *state.Warrant)
	perHour    int
	permit     func() error
}

func clauses() []clause {
	file := func(fn func(*state.Evidence)) func(*state.Warrant) {
		return func(w *state.Warrant) { fn(&w.Evidence[len(w.Evidence)-1]) }
	}
	evidence := func(name string, fn func(*state.Evidence)) clause {
		return clause{name: name, want: "evidence", warrant: file(fn)}
	}
	next := state.Discover{FileID: "h-2", Dest: dest(), Keys: []string{"h-2"}, Generation: 2}
	return []clause{
		{name: "disabled", want: "disabled", permit: func() error { return errors.New("deletion is off") }},
		{name: "limit", want: "limit", perHour: -1},
		{name: "hold", want: "hold", of: 1, world: []state.Change{state.Hold{On: true}}},
		{name: "hold of a covered one", want: "hold", of: 2, world: []state.Change{state.Hold{On: true}}},
		{name: "covered one is not tracked", want: "evidence", warrant: func(w *state.Warrant) { w.Covers = append(w.Covers, "nobody") }},
		{name: "does not cover itself", want: "evidence", warrant: func(w *state.Warrant) { w.Covers = w.Covers[1:] }},
		{name: "no evidence", want: "evidence", warrant: func(w *state.Warrant) { w.Evidence = nil }},
		{name: "evidence outside", want: "evidence", warrant: func(w *state.Warrant) { w.Covers = w.Covers[:1] }},
		{
			name: "not verified", want: "evidence", of: 2,
			world: []state.Change{state.QuarantineFile{FileID: "h", Reason: state.VerifyFailed}, state.Retry{}},
		},
		{
			name: "superseded", want: "evidence", of: 2,
			world: []state.Change{state.Supersede{FileID: "h"}, next},
		},
		evidence("unknown file", func(ev *state.Evidence) { ev.FileID = "odd" }),
		evidence("SHA-256", func(ev *state.Evidence) { ev.Sums.SHA256 += "0" }),
		evidence("CRC64NVME", func(ev *state.Evidence) { ev.Sums.CRC64NVME++ }),
		evidence("size", func(ev *state.Evidence) { ev.Size++ }),
		evidence("bucket", func(ev *state.Evidence) { ev.Dest.Bucket += "x" }),
		evidence("endpoint", func(ev *state.Evidence) { ev.Dest.Endpoint += "x" }),
		evidence("key", func(ev *state.Evidence) { ev.Key += "x" }),
		evidence("ETag", func(ev *state.Evidence) { ev.Object.ETag += "x" }),
		evidence("version", func(ev *state.Evidence) { ev.Object.VersionID += "x" }),
		evidence("last modified", func(ev *state.Evidence) { ev.Object.LastModified = ev.Object.LastModified.Add(1) }),
		evidence("level", func(ev *state.Evidence) { ev.Level = state.LevelParts }),
		{name: "not archived", of: 1, world: []state.Change{state.Discover{FileID: "late", Dest: dest(), Keys: []string{"late"}}}},
		{name: "gone", of: 1, world: []state.Change{state.Gone{}}},
		{name: "manifest is due", of: 1, world: []state.Change{state.ManifestWritten{ETag: "m", Dest: dest()}}},
	}
}

func warrantClauses(e *env) {
	// First of all: without any such fact it is stored.
	good := clause{name: "nothing"}
	if err := e.try(0, good); err != nil {
		e.Fatalf("%s is wrong: %v", good.name, err)
	}
	for i, c := range clauses() {
		err := e.try(i+1, c)
		refused, ok := errors.AsType[*state.WarrantRefused](err)
		switch {
		case c.want == "" && !errors.Is(err, state.ErrIllegal):
			e.Errorf("%s: %v, want ErrIllegal", c.name, err)
		case c.want != "" && (!ok || refused.Clause != c.want):
			e.Errorf("%s: %v, want clause %q", c.name, err, c.want)
		}
	}
	w := warrantFor("w", day(1), state.Recording{Tenant: "acme", RecordID: "nobody"})
	if _, err := e.s.StoreWarrant(e.Context(), w, 1, permit); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("of an untracked recording: %v, want ErrNotFound", err)
	}
}

// try stores a warrant in a tenant of its own and, where it is refused, makes
// sure that nothing was written.
func (e *env) try(n int, c clause) error {
	e.Helper()
	tenant := fmt.Sprint("t", n)
	a, b := rec(tenant, 1), rec(tenant, 2)
	e.archive(a, "f", "g")
	e.archive(b, "h")
	w := e.warrant("w", a, b)
	if c.warrant != nil {
		c.warrant(&w)
	}
	if c.world != nil {
		if _, err := e.s.Update(e.Context(), rec(tenant, c.of), state.Do(c.world...)); err != nil {
			e.Fatalf("%s: %v", c.name, err)
		}
	}
	ask := permit
	if c.permit != nil {
		ask = c.permit
	}
	before, events := e.get(a), len(e.events())
	_, err := e.s.StoreWarrant(e.Context(), w, 1+c.perHour, ask)
	if err == nil {
		return nil
	}
	e.same(c.name, before, e.get(a))
	if n := len(e.events()); n != events {
		e.Errorf("%s: %d events were written", c.name, n-events)
	}
	if _, err := e.s.Warrant(e.Context(), tenant, "w"); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("%s: the warrant is stored: %v", c.name, err)
	}
	if n, err := e.s.WarrantsSince(e.Context(), tenant, time.Time{}); n != 0 || err != nil {
		e.Errorf("%s: %d warrants are counted, %v", c.name, n, err)
	}
	return err
}

func warrantsPerHour(e *env) {
	const most = 2
	at := day(10)
	n := 0
	try := func(tenant string, at time.Time) bool {
		k := rec(tenant, n)
		e.archive(k, "f")
		w := e.warrant(fmt.Sprint("w", n), k)
		w.At = at
		n++
		_, err := e.s.StoreWarrant(e.Context(), w, most, permit)
		if refused, ok := errors.AsType[*state.WarrantRefused](err); ok && refused.Clause == "limit" {
			return false
		}
		e.ok(err)
		return true
	}
	steps := []struct {
		tenant string
		after  time.Duration
		want   bool
	}{
		{"acme", 0, true},
		{"acme", 30 * time.Minute, true},
		{"acme", time.Hour - 1, false}, // both are younger than an hour
		{"beta", time.Hour - 1, true},  // another tenant has its own limit
		{"acme", time.Hour, true},      // the first is an hour old
		{"acme", 90*time.Minute - 1, false},
		{"acme", 90 * time.Minute, true},
		{"acme", 0, false}, // a clock set back does not open the door
	}
	var stored []time.Time
	for _, s := range steps {
		if got := try(s.tenant, at.Add(s.after)); got != s.want {
			e.Errorf("%s after %v: %v, want %v", s.tenant, s.after, got, s.want)
		}
		if s.want && s.tenant == "acme" {
			stored = append(stored, at.Add(s.after))
		}
		e.restart()
	}
	for _, since := range []time.Time{{}, at, at.Add(1), at.Add(30 * time.Minute), at.Add(90 * time.Minute), at.Add(2 * time.Hour)} {
		got, err := e.s.WarrantsSince(e.Context(), "acme", since)
		e.ok(err)
		want := len(slices.DeleteFunc(slices.Clone(stored), func(t time.Time) bool { return t.Before(since) }))
		if got != want {
			e.Errorf("%d warrants since %v, want %d", got, since, want)
		}
	}
}
