package statetest

import (
	"errors"
	"fmt"

	"archiver/internal/state"
)

// untrack forgets a recording and all that is derived from it: the check at
// the end of each test looks for what was left.
func untrackTests() map[string]func(*env) {
	return map[string]func(*env){
		"Forgotten": func(e *env) {
			k, other := rec("acme", 1), rec("acme", 2)
			first := e.archive(k, "f", "g")
			e.archive(other, "f")
			n := len(e.events())
			r := e.update(k, state.Untrack{})
			e.same("result", state.Recording{Tenant: k.Tenant, RecordID: k.RecordID}, r)
			e.restart()
			if _, err := e.s.Get(e.Context(), k); !errors.Is(err, state.ErrNotFound) {
				e.Errorf("Get: %v, want ErrNotFound", err)
			}
			totals, err := e.s.Totals(e.Context())
			e.ok(err)
			e.same("totals", map[string]state.Totals{"acme": {
				Recordings: map[state.Status]int{state.Archived: 1}, Files: map[state.Phase]int{state.Verified: 1}, Bytes: 10,
			}}, totals)
			page, err := e.s.List(e.Context(), state.Query{})
			e.ok(err)
			if len(page.Items) != 1 || page.Items[0].RecordID != other.RecordID {
				e.Errorf("%d are listed", len(page.Items))
			}
			ev := e.events()[n:]
			if len(ev) != 1 || ev[0].Type != state.EventUntracked || ev[0].From != "archived" || ev[0].To != "" {
				e.Errorf("the events are %+v", ev)
			}
			if got := eventsOf(e, k); len(got) < 2 || got[len(got)-1].Seq != ev[0].Seq {
				e.Errorf("its log was cut: %+v", got)
			}
			// Its keys are free, and it may come again.
			again := e.archive(k, "f", "g")
			for i, f := range again.Files {
				if f.Key != first.Files[i].Key {
					e.Errorf("file %s has the key %s, want %s", f.ID, f.Key, first.Files[i].Key)
				}
			}
			e.clean()
			e.update(k, state.Untrack{})
			e.update(other, state.Untrack{})
			totals, err = e.s.Totals(e.Context())
			e.ok(err)
			e.same("totals of nothing", map[string]state.Totals{}, totals)
		},
		"NotTracked": func(e *env) {
			if _, err := e.s.Update(e.Context(), rec("acme", 1), state.Do(state.Untrack{})); !errors.Is(err, state.ErrNotFound) {
				e.Errorf("%v, want ErrNotFound", err)
			}
		},
		"Anew": func(e *env) {
			k := rec("acme", 1)
			e.archive(k, "f")
			r := e.update(k, state.Untrack{}, state.Track{})
			if r.Status != state.Waiting || len(r.Files) > 0 {
				e.Errorf("it is %s with %d files", r.Status, len(r.Files))
			}
			e.same("stored", r, e.get(k))
			_, err := e.s.Parts(e.Context(), ref(k, "f"))
			e.ok(err)
		},
		"Claimed": untrackClaimed,
		"Covered": func(e *env) {
			a, b := rec("acme", 1), rec("acme", 2)
			e.archive(a, "f")
			e.archive(b, "g")
			w := e.warrant("w", a, b)
			_, err := e.s.StoreWarrant(e.Context(), w, 9, permit)
			e.ok(err)
			if _, err := e.s.Update(e.Context(), a, state.Do(state.Untrack{})); !errors.Is(err, state.ErrIllegal) {
				e.Errorf("while deleting: %v, want ErrIllegal", err)
			}
			e.update(b, state.Untrack{})
			if _, err := e.s.Update(e.Context(), b, state.Do(state.Deleted{WarrantID: "w"})); !errors.Is(err, state.ErrIllegal) {
				e.Errorf("what the warrant would do to one that is gone: %v, want ErrIllegal", err)
			}
			e.update(a, state.Deleted{WarrantID: "w"})
			e.update(a, state.Untrack{})
			if _, err := e.s.Warrant(e.Context(), "acme", "w"); err != nil {
				e.Errorf("the warrant is gone: %v", err)
			}
			var refused *state.WarrantRefused
			e.archive(b, "g")
			w = e.warrant("w2", b)
			w.Covers = append(w.Covers, a.RecordID)
			if _, err := e.s.StoreWarrant(e.Context(), w, 9, permit); !errors.As(err, &refused) || refused.Clause != "evidence" {
				e.Errorf("a warrant that covers an untracked one: %v", err)
			}
		},
	}
}

// untrackClaimed takes recordings away from under those who work on them.
func untrackClaimed(e *env) {
	polled, moving, neighbour := rec("acme", 1), rec("acme", 2), rec("acme", 3)
	e.track(polled, neighbour)
	e.update(moving, state.Track{}, discover(moving, "f"))
	polls, err := e.s.Claim(e.Context(), state.WorkPoll, "acme", far(), 9)
	e.ok(err)
	files, err := e.s.Claim(e.Context(), state.WorkTransfer, "acme", far(), 9)
	e.ok(err)
	if len(polls) != 3 || len(files) != 1 {
		e.Fatalf("%d polls and %d files are due", len(polls), len(files))
	}
	e.update(polled, state.Untrack{})
	if _, err := e.s.Update(e.Context(), moving, state.Do(state.Untrack{})); !errors.Is(err, state.ErrIllegal) {
		e.Errorf("while its file is claimed: %v, want ErrIllegal", err)
	}
	e.s.Release(state.WorkTransfer, files...)
	e.update(moving, state.Untrack{})
	seen := state.Recording{Status: "none"}
	_, err = e.s.Update(e.Context(), polled, func(r state.Recording) ([]state.Change, error) { seen = r; return nil, nil })
	e.ok(err)
	e.same("whoever polls sees", state.Recording{Tenant: "acme", RecordID: polled.RecordID}, seen)
	if _, err := e.s.Update(e.Context(), moving, state.Do(state.Start{FileID: "f"})); !errors.Is(err, state.ErrIllegal) {
		e.Errorf("whoever transfers: %v, want ErrIllegal", err)
	}
	if err := e.s.AddParts(e.Context(), files[0], "u", part(1)); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("a part: %v, want ErrNotFound", err)
	}
	e.s.Release(state.WorkPoll, polls...)
	polls, err = e.s.Claim(e.Context(), state.WorkPoll, "acme", far(), 9)
	e.ok(err)
	e.same("due", []state.FileRef{ref(neighbour, "")}, polls)
	files, err = e.s.Claim(e.Context(), state.WorkTransfer, "acme", far(), 9)
	e.ok(err)
	e.same("files", []state.FileRef(nil), files)
	// Tracked again, it is due like any other.
	e.track(polled)
	polls, err = e.s.Claim(e.Context(), state.WorkPoll, "acme", far(), 9)
	e.ok(err)
	e.same("due again", []state.FileRef{ref(polled, "")}, polls)
}

func backlogTests() map[string]func(*env) {
	return map[string]func(*env){
		"Backlog": func(e *env) {
			b, err := e.s.Backlog(e.Context(), "acme", 9)
			e.ok(err)
			e.same("of nothing", state.Backlog{}, b)
			k, other := rec("acme", 1), rec("acme", 2)
			e.archive(rec("acme", 3), "f")
			e.archive(rec("beta", 1), "f")
			file := func(id string, size int64, deadline int) state.Discover {
				d := discover(k, id)
				d.Listing.DeclaredSize = size
				if d.Listing.Deadline = day(deadline); deadline == 0 {
					d.Listing.Deadline = state.Listing{}.Deadline
				}
				return d
			}
			e.update(k, state.Track{}, state.Describe{Start: day(5)},
				file("none", -1, 0), file("late", 20, 8), file("soon", -1, 6), file("next", 30, 7), file("set aside", 1, 9), file("gone", 1, 5))
			// Put off for long, it is as urgent as it was.
			e.update(k, state.Fail{FileID: "soon", Error: "x", RetryAt: far()}, state.Start{FileID: "next"}, state.Start{FileID: "none"},
				state.Pin{FileID: "none", Version: version("v")}, state.Pin{FileID: "next", Version: version("v")},
				state.IntendUpload{FileID: "next"}, state.OpenUpload{FileID: "next", UploadID: "u"},
				state.QuarantineFile{FileID: "set aside", Reason: state.BadContent}, state.QuarantineFile{FileID: "gone", Reason: state.SourceGone},
				state.QuarantineFile{FileID: "next", Reason: state.BadContent})
			e.track(other)
			want := []state.PendingFile{
				{Ref: ref(k, "soon"), Phase: state.Discovered, Deadline: day(6), Size: -1},
				{Ref: ref(k, "next"), Phase: state.FileQuarantined, Deadline: day(7), Size: 30, Uploading: true},
				{Ref: ref(k, "late"), Phase: state.Discovered, Deadline: day(8), Size: 20},
				{Ref: ref(k, "set aside"), Phase: state.FileQuarantined, Deadline: day(9), Size: 1},
				{Ref: ref(k, "none"), Phase: state.Transferring, Size: 10},
			}
			for limit := range 6 {
				b, err := e.s.Backlog(e.Context(), "acme", limit)
				e.ok(err)
				e.same(fmt.Sprint("files of at most ", limit), want[:min(limit, len(want))], b.Files)
				if b.More != (limit < len(want)) {
					e.Errorf("with a limit of %d there are more: %v", limit, b.More)
				}
			}
			b, err = e.s.Backlog(e.Context(), "acme", 0)
			e.ok(err)
			if at := e.get(other).TrackedAt; !b.Oldest.Equal(at) { // k is quarantined
				e.Errorf("the oldest is of %v, want %v", b.Oldest, at)
			}
			e.update(k, state.Retry{})
			b, err = e.s.Backlog(e.Context(), "acme", 0)
			e.ok(err)
			if !b.Oldest.Equal(day(5)) {
				e.Errorf("the oldest is of %v, want %v", b.Oldest, day(5))
			}
		},
		"LastEvent": func(e *env) {
			for n := range uint64(3) {
				if seq, err := e.s.LastEvent(e.Context()); err != nil || seq != n {
					e.Errorf("the last event is %d, %v, want %d", seq, err, n)
				}
				e.track(rec("acme", int(n)))
			}
			e.restart()
			if seq, err := e.s.LastEvent(e.Context()); err != nil || seq != 3 {
				e.Errorf("the last event is %d, %v, want 3", seq, err)
			}
		},
	}
}
