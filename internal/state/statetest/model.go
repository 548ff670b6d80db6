package statetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"archiver/internal/state"
)

// machine runs a store and a model side by side.
type machine struct {
	s        state.Store
	recs     map[state.Key]state.Recording
	sessions map[state.ConferenceRef]state.Session
	events   []state.Event
	parts    map[state.FileRef]map[int32]state.Part
	compared int // events
	clock    time.Time
	n        int // of warrants and comparisons
}

func modelKeys() []state.Key {
	return []state.Key{rec("acme", 1), rec("acme", 2), rec("beta", 1)}
}

func model(t *testing.T, open Open, reopen Reopen) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{
			s: open(t), recs: map[state.Key]state.Recording{}, parts: map[state.FileRef]map[int32]state.Part{},
			sessions: map[state.ConferenceRef]state.Session{},
			clock:    time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"update":  m.update,
			"update2": m.update, // most of what happens
			"update3": m.update,
			"parts":   m.addParts,
			"warrant": m.warrant,
			"claim":   m.claim,
			"session": m.conference,
			"reopen": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "really") == 0 {
					m.s = reopen(t, m.s)
					m.lose(rt)
				}
			},
			"": m.compare,
		})
	})
}

// ctx is the background: a run of rapid has no context of its own.
func (m *machine) ctx() context.Context { return context.Background() }

// env is the model's own: an hour passes with each change.
func (m *machine) env() state.Env {
	m.clock = m.clock.Add(time.Hour)
	return state.Env{At: m.clock, KeyTaken: func(f state.FileRef, d state.Destination, key string) bool {
		for k, r := range m.recs {
			for _, g := range r.Files {
				if g.Dest == d && g.Key == key && (state.FileRef{Key: k, FileID: g.ID}) != f {
					return true
				}
			}
		}
		return false
	}}
}

func (m *machine) recording(k state.Key) state.Recording {
	if r, ok := m.recs[k]; ok {
		return r
	}
	return state.Recording{Tenant: k.Tenant, RecordID: k.RecordID}
}

// moved takes over what Apply has returned.
func (m *machine) moved(r state.Recording, events []state.Event) {
	m.logged(events...)
	if r.Status == "" {
		delete(m.recs, r.ID())
		maps.DeleteFunc(m.parts, func(f state.FileRef, _ map[int32]state.Part) bool { return f.Key == r.ID() })
		return
	}
	m.recs[r.ID()] = r
	for _, f := range r.Files {
		if f.Upload == nil || f.Upload.ID == "" {
			delete(m.parts, ref(r.ID(), f.ID))
		}
	}
}

func (m *machine) logged(events ...state.Event) {
	for _, e := range events {
		e.Seq = uint64(len(m.events) + 1)
		m.events = append(m.events, e)
	}
}

func (m *machine) update(t *rapid.T) {
	k := rapid.SampledFrom(modelKeys()).Draw(t, "key")
	decide := Decision(t)
	before := m.recording(k)
	changes, _ := decide(before)
	want, events, wantErr := state.Apply(before, m.env(), changes...)
	got, err := m.s.Update(m.ctx(), k, decide)
	if (err != nil) != (wantErr != nil) || err != nil && !errors.Is(err, state.ErrIllegal) && !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("%T: the store says %v, the model %v", changes, err, wantErr)
	}
	if err != nil {
		return
	}
	m.dropReplaced(before, changes)
	m.moved(want, events)
	m.same(t, "updated", want, got)
}

// dropReplaced drops the parts of uploads that ended and were followed by
// another within one update.
func (m *machine) dropReplaced(r state.Recording, changes []state.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case state.Restart:
			delete(m.parts, ref(r.ID(), c.FileID))
		case state.Doubt:
			delete(m.parts, ref(r.ID(), c.FileID))
		case state.Rekey:
			delete(m.parts, ref(r.ID(), c.FileID))
		case state.Untrack:
			maps.DeleteFunc(m.parts, func(f state.FileRef, _ map[int32]state.Part) bool { return f.Key == r.ID() })
		}
	}
}

func (m *machine) addParts(t *rapid.T) {
	k := rapid.SampledFrom(modelKeys()).Draw(t, "key")
	r := m.recording(k)
	if len(r.Files) == 0 {
		return
	}
	f := rapid.SampledFrom(r.Files).Draw(t, "file")
	p := part(rapid.Int32Range(1, 3).Draw(t, "part"))
	at := ref(k, f.ID)
	err := m.s.AddParts(m.ctx(), at, "up-"+f.ID, p)
	if f.Upload == nil || f.Upload.ID != "up-"+f.ID {
		if !errors.Is(err, state.ErrIllegal) {
			t.Fatalf("a part of no upload: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.parts[at] == nil {
		m.parts[at] = map[int32]state.Part{}
	}
	if _, old := m.parts[at][p.Number]; !old {
		after, events, err := state.Apply(r, m.env(), state.Progressed{FileID: f.ID})
		if err != nil {
			t.Fatal(err)
		}
		m.moved(after, events)
	}
	m.parts[at][p.Number] = p
}

func (m *machine) warrant(t *rapid.T) {
	k := rapid.SampledFrom(modelKeys()).Draw(t, "key")
	before := m.recording(k)
	m.n++
	w := warrantFor(fmt.Sprint("w", m.n), day(1), before)
	after, events, wantErr := state.ApplyWarrant(before, m.env(), w)
	weak := slices.ContainsFunc(w.Evidence, func(e state.Evidence) bool { return e.Level == state.LevelParts })
	_, err := m.s.StoreWarrant(m.ctx(), w, 1000, permit)
	if (err == nil) != (wantErr == nil && !weak) {
		t.Fatalf("the store says %v, the model %v", err, wantErr)
	}
	if err == nil {
		m.moved(after, events)
	}
}

// due is what waits for work of a kind, told from the recordings alone.
func (m *machine) due(w state.Work, tenant string) (out []state.FileRef) {
	for k, r := range m.recs {
		if k.Tenant != tenant {
			continue
		}
		if w == state.WorkPoll && !r.Poll.NextAt.IsZero() || w == state.WorkManifest && r.Manifest.Due ||
			w == state.WorkDelete && r.Deletable() || w == state.WorkConfirm && r.Status == state.Deleting {
			out = append(out, ref(k, ""))
		}
		for _, f := range r.Files {
			if w == state.WorkTransfer && !f.Superseded && f.Phase != state.Verified &&
				(f.Phase != state.FileQuarantined || f.Upload != nil) {
				out = append(out, ref(k, f.ID))
			}
		}
	}
	return out
}

// pending is what is not in the bucket yet and still may be.
func (m *machine) pending(tenant string) (out []state.FileRef) {
	for k, r := range m.recs {
		for _, f := range r.Files {
			lost := f.Phase == state.FileQuarantined && f.Reason == state.SourceGone && f.Upload == nil
			if k.Tenant == tenant && !f.Superseded && f.Phase != state.Verified && !lost {
				out = append(out, ref(k, f.ID))
			}
		}
	}
	return out
}

func (m *machine) claim(t *rapid.T) {
	w := rapid.SampledFrom([]state.Work{
		state.WorkPoll, state.WorkTransfer, state.WorkManifest, state.WorkDelete, state.WorkConfirm,
	}).Draw(t, "work")
	n := rapid.SampledFrom([]int{1, 2, 100}).Draw(t, "n")
	want := m.due(w, "acme")
	var got []state.FileRef
	for {
		claimed, err := m.s.Claim(m.ctx(), w, "acme", far(), n)
		if err != nil {
			t.Fatal(err)
		}
		if len(claimed) == 0 {
			break
		}
		got = append(got, claimed...)
	}
	m.same(t, "claimed", want, got, cmpopts.SortSlices(func(a, b state.FileRef) bool { return a.String() < b.String() }))
	m.s.Release(w, got...)
}

func (m *machine) same(t *rapid.T, what string, want, got any, opts ...cmp.Option) {
	// Times of the clocks differ; times that were given are of 2024.
	given := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	times := cmp.Comparer(func(a, b time.Time) bool {
		return a.Equal(b) || a.After(given) && b.After(given)
	})
	if d := cmp.Diff(want, got, append(opts, times, cmpopts.EquateEmpty())...); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// compare asks the store: what is new at each step, everything at some.
func (m *machine) compare(t *rapid.T) {
	if m.n++; m.n%5 == 0 {
		m.compareAll(t)
	}
	events, err := m.s.Events(m.ctx(), uint64(m.compared), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m.same(t, "events", m.events[m.compared:], events)
	m.compared = len(m.events)
	want := map[string]state.Totals{}
	for _, k := range modelKeys() {
		m.compareOne(t, k)
		r, ok := m.recs[k]
		if !ok {
			continue
		}
		n, ok := want[k.Tenant]
		if !ok {
			n = state.Totals{Recordings: map[state.Status]int{}, Files: map[state.Phase]int{}}
		}
		n.Recordings[r.Status]++
		for _, f := range r.Files {
			n.Files[f.Phase]++
			if f.Phase == state.Verified {
				n.Bytes += f.Size
			}
		}
		want[k.Tenant] = n
	}
	totals, err := m.s.Totals(m.ctx())
	if err != nil {
		t.Fatal(err)
	}
	m.same(t, "totals", want, totals)
}

func (m *machine) compareAll(t *rapid.T) {
	if err := m.s.Check(m.ctx(), func(p string) { t.Errorf("check: %s", p) }); err != nil {
		t.Fatal(err)
	}
	m.compared = 0
	m.compareSessions(t)
	m.compareBacklog(t)
	page, err := m.s.List(m.ctx(), state.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	byID := cmpopts.SortSlices(func(a, b state.Recording) bool { return a.ID().String() < b.ID().String() })
	m.same(t, "list", slices.Collect(maps.Values(m.recs)), page.Items, byID)
}

func (m *machine) compareOne(t *rapid.T, k state.Key) {
	r, err := m.s.Get(m.ctx(), k)
	want, ok := m.recs[k]
	if !ok {
		if !errors.Is(err, state.ErrNotFound) {
			t.Fatalf("%s: %v, want ErrNotFound", k, err)
		}
		return
	}
	m.same(t, k.String(), want, r)
	for _, f := range r.Files {
		parts, err := m.s.Parts(m.ctx(), ref(k, f.ID))
		if err != nil {
			t.Fatal(err)
		}
		var want []state.Part
		for _, n := range slices.Sorted(maps.Keys(m.parts[ref(k, f.ID)])) {
			want = append(want, m.parts[ref(k, f.ID)][n])
		}
		m.same(t, "parts", want, parts)
	}
}
