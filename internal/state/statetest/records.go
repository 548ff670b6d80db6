package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"archiver/internal/state"
)

func recordTests() map[string]func(*env) {
	return map[string]func(*env){
		"UpdateOfUntracked": func(e *env) {
			k := rec("acme", 1)
			var seen state.Recording
			r, err := e.s.Update(e.Context(), k, func(r state.Recording) ([]state.Change, error) { seen = r; return nil, nil })
			e.ok(err)
			e.same("decide sees", state.Recording{Tenant: "acme", RecordID: "rec-0001"}, seen)
			e.same("result", seen, r)
			_, err = e.s.Update(e.Context(), k, state.Do(state.Settle{}))
			if !errors.Is(err, state.ErrIllegal) {
				e.Errorf("a change of an untracked recording: %v, want ErrIllegal", err)
			}
			_, err = e.s.Get(e.Context(), k)
			if !errors.Is(err, state.ErrNotFound) {
				e.Errorf("Get: %v, want ErrNotFound", err)
			}
		},
		"NoChangesWriteNothing": func(e *env) {
			k := rec("acme", 1)
			before := e.archive(k, "f")
			n := len(e.events())
			r, err := e.s.Update(e.Context(), k, func(state.Recording) ([]state.Change, error) { return nil, nil })
			e.ok(err)
			e.same("recording", before, r)
			if got := len(e.events()); got != n {
				e.Errorf("%d events, want %d", got, n)
			}
		},
		"ErrorsWriteNothing":  errorsWriteNothing,
		"ReturnsWhatIsStored": returnsWhatIsStored,
		"Track": func(e *env) {
			a, b, c := rec("acme", 1), rec("acme", 2), rec("beta", 1)
			got, err := e.s.Track(e.Context(), []state.Key{a, b, a})
			e.ok(err)
			e.same("first", []bool{true, true, false}, got)
			e.archive(c, "f")
			got, err = e.s.Track(e.Context(), []state.Key{c, b})
			e.ok(err)
			e.same("again", []bool{false, false}, got)
			if st := e.get(c).Status; st != state.Archived {
				e.Errorf("tracking again made an archived recording %s", st)
			}
			got, err = e.s.Track(e.Context(), nil)
			e.ok(err)
			e.same("nothing", []bool{}, got)
			if n := len(e.events()); n != 2+len(eventsOf(e, c)) {
				e.Errorf("%d events", n)
			}
		},
		"TrackMany": func(e *env) {
			var keys []state.Key
			for i := range 2500 {
				keys = append(keys, rec("acme", i))
			}
			got, err := e.s.Track(e.Context(), keys)
			e.ok(err)
			if len(got) != len(keys) {
				e.Fatalf("%d reports, want %d", len(got), len(keys))
			}
			n, err := e.s.Totals(e.Context())
			e.ok(err)
			e.same("totals", map[state.Status]int{state.Waiting: 2500}, n["acme"].Recordings)
		},
		"NamesDoNotRunTogether": func(e *env) {
			keys := []state.Key{{Tenant: "a", RecordID: "bc"}, {Tenant: "ab", RecordID: "c"}, {Tenant: "a", RecordID: "b"}, {Tenant: "a", RecordID: "Ü/ 'x'"}}
			for _, k := range keys {
				e.archive(k, "f", "f2")
			}
			for _, k := range keys {
				r := e.get(k)
				e.same("key", k, r.ID())
				if len(r.Files) != 2 || len(eventsOf(e, k)) == 0 {
					e.Errorf("%s has %d files and %d events", k, len(r.Files), len(eventsOf(e, k)))
				}
			}
			for _, k := range []state.Key{{}, {Tenant: "a"}, {RecordID: "b"}, {Tenant: "a", RecordID: strings.Repeat("x", 5000)}} {
				if _, err := e.s.Update(e.Context(), k, state.Do(state.Track{})); err == nil {
					e.Errorf("%q was tracked", k)
				}
				if _, err := e.s.Track(e.Context(), []state.Key{k}); err == nil {
					e.Errorf("%q was tracked", k)
				}
			}
		},
		"KeysAreReservedForGood": keysAreReserved,
		"ConcurrentUpdatesLoseNothing": func(e *env) {
			k := rec("acme", 1)
			e.update(k, state.Track{}, discover(k, "f"))
			var wg sync.WaitGroup
			for range 40 {
				wg.Go(func() {
					if _, err := e.s.Update(e.Context(), k, state.Do(state.Miss{FileID: "f"})); err != nil {
						e.Error(err)
					}
				})
			}
			wg.Wait()
			if n := e.get(k).Files[0].Missing; n != 40 {
				e.Errorf("%d of 40 updates are there", n)
			}
		},
		"OneBadCallSparesTheOthers": func(e *env) {
			var wg sync.WaitGroup
			bad := errors.New("no")
			for i := range 30 {
				wg.Go(func() {
					k := rec("acme", i)
					d := state.Do(state.Track{})
					half := discover(k, "f") // fails when it is encoded, after the recording
					half.Listing.Vendor = []byte("{")
					switch i % 3 {
					case 1:
						d = func(state.Recording) ([]state.Change, error) { return nil, bad }
					case 2:
						d = state.Do(state.Track{}, []state.Change{discover(k, ""), half}[i%2])
					}
					_, err := e.s.Update(e.Context(), k, d)
					if (err == nil) != (i%3 == 0) {
						e.Errorf("%s: %v", k, err)
					}
				})
			}
			wg.Wait()
			n, err := e.s.Totals(e.Context())
			e.ok(err)
			e.same("totals", map[state.Status]int{state.Waiting: 10}, n["acme"].Recordings)
			if n := len(e.events()); n != 10 {
				e.Errorf("%d events, want 10", n)
			}
		},
		"DecideMayScribble": func(e *env) {
			k := rec("acme", 1)
			e.update(k, state.Track{}, discover(k, "f"))
			_, err := e.s.Update(e.Context(), k, func(r state.Recording) ([]state.Change, error) {
				r.Files[0] = state.File{ID: "f", Deadline: day(20), Key: "other", Phase: state.Verified}
				return []state.Change{state.Fail{FileID: "f", Error: "x", RetryAt: far()}}, nil
			})
			e.ok(err)
			if f := e.get(k).Files[0]; f.Phase != state.Discovered || f.Error != "x" {
				e.Errorf("the file is %+v", f)
			}
		},
		"ContextEnds": contextEnds,
		"Durable": func(e *env) {
			a, b := rec("acme", 1), rec("acme", 2)
			want := e.archive(a, "f", "g")
			e.track(b)
			events := e.events()
			totals, err := e.s.Totals(e.Context())
			e.ok(err)
			e.restart()
			e.same("recording", want, e.get(a))
			e.same("events", events, e.events())
			again, err := e.s.Totals(e.Context())
			e.ok(err)
			e.same("totals", totals, again)
		},
		"Totals": totals,
	}
}

func eventsOf(e *env, k state.Key) []state.Event {
	ev, err := e.s.EventsOf(e.Context(), k, 1<<20)
	e.ok(err)
	return ev
}

func errorsWriteNothing(e *env) {
	k := rec("acme", 1)
	before := e.archive(k, "f")
	n := len(e.events())
	mine := errors.New("mine")
	_, err := e.s.Update(e.Context(), k, func(state.Recording) ([]state.Change, error) {
		return []state.Change{state.Hold{On: true}}, mine
	})
	if err != mine { //nolint:errorlint // the contract: as it is
		e.Errorf("decide's error became %v", err)
	}
	_, err = e.s.Update(e.Context(), k, state.Do(state.Hold{On: true}, state.Retry{}))
	if !errors.Is(err, state.ErrIllegal) {
		e.Errorf("an illegal change: %v, want ErrIllegal", err)
	}
	e.same("recording", before, e.get(k))
	if got := len(e.events()); got != n {
		e.Errorf("%d events, want %d", got, n)
	}
}

func returnsWhatIsStored(e *env) {
	k := rec("acme", 1)
	e.update(k, state.Track{AdoptedFrom: "other"}, state.Describe{ConferenceKey: "c", EntID: "52", Start: day(1), Stop: day(2)})
	late := discover(k, "a")
	late.Listing.Start = day(5)
	late.Listing.Vendor = []byte(`{"recordId":"x","downUrl":"http://h/a.mp4<&>"}`)
	r := e.update(k, late, discover(k, "b"), discover(k, "c"))
	e.same("order", []string{"b", "c", "a"}, ids(r))
	e.same("stored", r, e.get(k))
	r = e.update(k, state.Relist{FileID: "b", Listing: state.Listing{DeclaredSize: -1, Start: day(6)}})
	e.same("order", []string{"c", "a", "b"}, ids(r))
	e.same("stored", r, e.get(k))
	r = e.update(k, store("c")...)
	e.same("stored", r, e.get(k))
}

func ids(r state.Recording) (out []string) {
	for _, f := range r.Files {
		out = append(out, f.ID)
	}
	return out
}

func keysAreReserved(e *env) {
	a, b := rec("acme", 1), rec("beta", 1)
	want := func(id string, keys ...string) state.Discover {
		return state.Discover{FileID: id, Dest: dest(), Keys: keys, Listing: state.Listing{DeclaredSize: -1}}
	}
	e.update(a, state.Track{}, want("f", "k"))
	elsewhere := want("h", "k")
	elsewhere.Dest.Bucket = "other"
	r := e.update(b, state.Track{}, want("f", "k", "k~f"), want("g", "k~f", "k~g"), elsewhere)
	e.same("keys", map[string]string{"f": "k~f", "g": "k~g", "h": "k"}, keysOf(r))
	_, err := e.s.Update(e.Context(), b, state.Do(want("i", "k", "k~f")))
	if !errors.Is(err, state.ErrIllegal) {
		e.Errorf("all keys are taken: %v, want ErrIllegal", err)
	}
	e.restart()
	r = e.update(b, want("i", "k", "k~i"))
	if got := keysOf(r)["i"]; got != "k~i" {
		e.Errorf("after opening again the key is %s", got)
	}
	// Rekey moves the reservation.
	e.update(a, state.Start{FileID: "f"}, state.Rekey{FileID: "f", Keys: []string{"k~f", "k~~f"}})
	e.same("moved", map[string]string{"f": "k~~f"}, keysOf(e.get(a)))
	r = e.update(b, want("j", "k", "k~j"))
	if got := keysOf(r)["j"]; got != "k" {
		e.Errorf("the key that was left is not free: %s", got)
	}
}

func keysOf(r state.Recording) map[string]string {
	out := map[string]string{}
	for _, f := range r.Files {
		out[f.ID] = f.Key
	}
	return out
}

func contextEnds(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	k := rec("acme", 1)
	calls := map[string]func() error{
		"Update": func() error { _, err := e.s.Update(ctx, k, state.Do(state.Track{})); return err },
		"Track":  func() error { _, err := e.s.Track(ctx, []state.Key{k}); return err },
		"Get":    func() error { _, err := e.s.Get(ctx, k); return err },
		"List":   func() error { _, err := e.s.List(ctx, state.Query{}); return err },
		"Claim":  func() error { _, err := e.s.Claim(ctx, state.WorkPoll, "acme", far(), 1); return err },
		"Events": func() error { _, err := e.s.Events(ctx, 0, 1); return err },
		"Check":  func() error { return e.s.Check(ctx, func(string) {}) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			e.Errorf("%s: %v, want context canceled", name, err)
		}
	}
	if n := len(e.events()); n != 0 {
		e.Errorf("%d events were written", n)
	}
}

func totals(e *env) {
	e.archive(rec("acme", 1), "f", "g")
	e.track(rec("acme", 2), rec("acme", 3), rec("beta", 1))
	k := rec("acme", 3)
	e.update(k, discover(k, "f"))
	e.update(k, state.QuarantineFile{FileID: "f", Reason: state.BadContent, Detail: "x"})
	want := map[string]state.Totals{
		"acme": {
			Recordings: map[state.Status]int{state.Archived: 1, state.Waiting: 1, state.Quarantined: 1},
			Files:      map[state.Phase]int{state.Verified: 2, state.FileQuarantined: 1}, Bytes: 20,
		},
		"beta": {Recordings: map[state.Status]int{state.Waiting: 1}},
	}
	got, err := e.s.Totals(e.Context())
	e.ok(err)
	e.same("totals", want, got)
}

func listTests() map[string]func(*env) {
	return map[string]func(*env){"Filters": listFilters, "Pages": listPages, "Limits": listLimits}
}

func listed(e *env, q state.Query) []string {
	e.Helper()
	p, err := e.s.List(e.Context(), q)
	e.ok(err)
	var out []string
	for _, r := range p.Items {
		e.same("item", e.get(r.ID()), r)
		out = append(out, r.ID().String())
	}
	return out
}

func listFilters(e *env) {
	for i := 1; i <= 4; i++ {
		k := rec("acme", i)
		e.update(k, state.Track{}, state.Describe{ConferenceKey: fmt.Sprint("conf", i%2), Start: day(i)})
	}
	a2 := rec("acme", 2)
	f := discover(a2, "f")
	f.Filename = "Board Ünïcode.mp4"
	e.update(a2, f)
	e.update(rec("acme", 3), state.Quarantine{Reason: state.NeverProduced})
	e.update(rec("beta", 9), state.Track{}, state.Describe{ConferenceKey: "conf1", Start: day(3).Add(1)})
	tests := map[string]struct {
		q    state.Query
		want []string
	}{
		"all":                {state.Query{}, []string{"acme/rec-0004", "beta/rec-0009", "acme/rec-0003", "acme/rec-0002", "acme/rec-0001"}},
		"tenant":             {state.Query{Tenant: "beta"}, []string{"beta/rec-0009"}},
		"unknown tenant":     {state.Query{Tenant: "nobody"}, nil},
		"status":             {state.Query{Statuses: []state.Status{state.Waiting}}, []string{"acme/rec-0004", "beta/rec-0009", "acme/rec-0001"}},
		"statuses":           {state.Query{Statuses: []state.Status{state.Quarantined, state.Archiving, state.Quarantined}}, []string{"acme/rec-0003", "acme/rec-0002"}},
		"unknown status":     {state.Query{Statuses: []state.Status{"odd"}}, nil},
		"conference":         {state.Query{ConferenceKey: "conf1"}, []string{"beta/rec-0009", "acme/rec-0003", "acme/rec-0001"}},
		"part of conference": {state.Query{ConferenceKey: "conf"}, nil},
		"both":               {state.Query{ConferenceKey: "conf1", Statuses: []state.Status{state.Waiting}, Tenant: "acme"}, []string{"acme/rec-0001"}},
		"since":              {state.Query{Since: day(3)}, []string{"acme/rec-0004", "beta/rec-0009", "acme/rec-0003"}},
		"until":              {state.Query{Until: day(3)}, []string{"acme/rec-0002", "acme/rec-0001"}},
		"between":            {state.Query{Since: day(2), Until: day(3).Add(1)}, []string{"acme/rec-0003", "acme/rec-0002"}},
		"text in id":         {state.Query{Text: "REC-0004"}, []string{"acme/rec-0004"}},
		"text in conference": {state.Query{Text: "ONF0"}, []string{"acme/rec-0004", "acme/rec-0002"}},
		"text in filename":   {state.Query{Text: "board ÜN"}, []string{"acme/rec-0002"}},
		"text nowhere":       {state.Query{Text: "zzz"}, nil},
	}
	for name, tt := range tests {
		e.same(name, tt.want, listed(e, tt.q))
	}
	// Where the start is not known, the time of tracking counts: now.
	e.track(rec("acme", 7))
	if got := listed(e, state.Query{Limit: 1}); got[0] != "acme/rec-0007" {
		e.Errorf("the newest is %s", got[0])
	}
}

func listPages(e *env) {
	want := 0
	for i := range 23 {
		k := rec([]string{"acme", "beta", "c"}[i%3], i)
		e.update(k, state.Track{}, state.Describe{ConferenceKey: "c", Start: day(1 + i/4)}) // some at the same time
		if i%2 == 0 {
			e.update(k, state.Quarantine{Reason: state.SourceGone})
		}
		want++
	}
	for _, q := range []state.Query{{}, {ConferenceKey: "c"}, {Statuses: state.Statuses()}, {Text: "rec"}} {
		whole := listed(e, q)
		if len(whole) != want {
			e.Fatalf("%+v: %d items, want %d", q, len(whole), want)
		}
		for _, limit := range []int{1, 4, 22, 23, 24} {
			var got []string
			q.Limit, q.Cursor = limit, ""
			for pages := 0; ; pages++ {
				p, err := e.s.List(e.Context(), q)
				e.ok(err)
				if len(p.Items) > limit || pages > want {
					e.Fatalf("page %d has %d items", pages, len(p.Items))
				}
				for _, r := range p.Items {
					got = append(got, r.ID().String())
				}
				if q.Cursor = p.NextCursor; q.Cursor == "" {
					break
				}
			}
			e.same(fmt.Sprintf("%+v in pages of %d", q, limit), whole, got)
		}
	}
}

func listLimits(e *env) {
	var keys []state.Key
	for i := range 1001 {
		keys = append(keys, rec("acme", i))
	}
	e.track(keys...)
	for limit, want := range map[int]int{0: 100, 1: 1, 1000: 1000} {
		p, err := e.s.List(e.Context(), state.Query{Limit: limit})
		e.ok(err)
		if len(p.Items) != want || p.NextCursor == "" {
			e.Errorf("limit %d: %d items, cursor %q", limit, len(p.Items), p.NextCursor)
		}
	}
	for _, q := range []state.Query{{Limit: -1}, {Limit: 1001}, {Cursor: "?"}, {Cursor: "AAAA"}} {
		if _, err := e.s.List(e.Context(), q); err == nil {
			e.Errorf("%+v was accepted", q)
		}
	}
}
