package statetest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"archiver/internal/state"
)

func transferTests() map[string]func(*env) {
	return map[string]func(*env){
		"Parts": func(e *env) {
			f := e.uploading(rec("acme", 1), "f")
			e.ok(e.s.AddParts(e.Context(), f, "up", part(3), part(1)))
			e.ok(e.s.AddParts(e.Context(), f, "up", part(2)))
			e.restart()
			e.wantParts(f, 1, 2, 3)
			again := part(2)
			again.ETag = "second"
			e.ok(e.s.AddParts(e.Context(), f, "up", again))
			got, err := e.s.Parts(e.Context(), f)
			e.ok(err)
			e.same("parts", []state.Part{part(1), again, part(3)}, got)
			e.wantParts(ref(f.Key, "f2"))
			e.wantParts(ref(rec("acme", 2), "f"))
		},
		"PartsOfAnotherUpload": func(e *env) {
			f := e.uploading(rec("acme", 1), "f")
			k := f.Key
			e.update(k, discover(k, "idle"))
			for _, id := range []string{"other", ""} {
				if err := e.s.AddParts(e.Context(), f, id, part(1)); !errors.Is(err, state.ErrIllegal) {
					e.Errorf("upload %q: %v, want ErrIllegal", id, err)
				}
			}
			if err := e.s.AddParts(e.Context(), ref(k, "idle"), "up", part(1)); !errors.Is(err, state.ErrIllegal) {
				e.Errorf("without an upload: %v, want ErrIllegal", err)
			}
			if err := e.s.AddParts(e.Context(), ref(rec("acme", 2), "f"), "up", part(1)); err == nil {
				e.Error("an untracked recording got a part")
			}
			for _, n := range []int32{-1, 0, 10_001} {
				if err := e.s.AddParts(e.Context(), f, "up", part(n)); !errors.Is(err, state.ErrIllegal) {
					e.Errorf("part %d: %v, want ErrIllegal", n, err)
				}
			}
			e.wantParts(f)
		},
		"FirstPartAfterAFailureIsProgress": func(e *env) {
			f := e.uploading(rec("acme", 1), "f")
			e.ok(e.s.AddParts(e.Context(), f, "up", part(1)))
			e.update(f.Key, state.Fail{FileID: "f", Error: "reset", RetryAt: far().Add(-time.Hour), Counts: true})
			e.ok(e.s.AddParts(e.Context(), f, "up", part(1)))
			if n := e.get(f.Key).Files[0].Attempts; n != 1 {
				e.Errorf("a part that was recorded already is no progress: %d attempts", n)
			}
			e.ok(e.s.AddParts(e.Context(), f, "up", part(2)))
			got := e.get(f.Key).Files[0]
			if got.Attempts != 0 || got.Error != "" || !got.NextAttemptAt.IsZero() {
				e.Errorf("the failure is still there: %+v", got)
			}
			if got := e.claim(state.WorkTransfer, "acme", day(1), 5); len(got) != 1 {
				e.Errorf("the file is not ready again: %v", got)
			}
		},
		"PartsAreDroppedWithTheUpload": func(e *env) {
			ends := map[string][]state.Change{
				"stored":   store("f"),
				"restart":  {state.Restart{FileID: "f"}},
				"rekey":    {state.Rekey{FileID: "f", Keys: []string{"another"}}},
				"aborted":  {state.QuarantineFile{FileID: "f", Reason: state.UploadFailed, Aborted: true}},
				"replaced": append([]state.Change{state.Restart{FileID: "f"}}, upload("f", "up2")...),
			}
			n := 0
			for name, changes := range ends {
				n++
				f := e.uploading(rec("acme", n), "f")
				other := e.uploading(f.Key, "f2")
				e.ok(e.s.AddParts(e.Context(), f, "up", part(1), part(2)))
				e.ok(e.s.AddParts(e.Context(), other, "up", part(1)))
				e.update(f.Key, changes...)
				e.wantParts(f)
				e.wantParts(other, 1)
				if e.Failed() {
					e.Fatal(name)
				}
			}
			f := e.uploading(rec("acme", 99), "f")
			e.ok(e.s.AddParts(e.Context(), f, "up", part(1)))
			e.update(f.Key, state.QuarantineFile{FileID: "f", Reason: state.UploadFailed})
			e.wantParts(f, 1) // the upload is still there
			e.update(f.Key, state.Retry{})
			e.wantParts(f, 1)
		},
	}
}

func part(n int32) state.Part {
	return state.Part{Number: n, Offset: int64(n) * 5, Size: 5, CRC64NVME: uint64(n), ETag: "e", Hash: []byte{1, 2}}
}

func upload(id, uploadID string) []state.Change {
	return []state.Change{
		state.Start{FileID: id},
		state.Pin{FileID: id, Version: version(id)},
		state.IntendUpload{FileID: id, PartSize: 5},
		state.OpenUpload{FileID: id, UploadID: uploadID},
	}
}

// uploading brings a file to an open upload with the ID "up".
func (e *env) uploading(k state.Key, id string) state.FileRef {
	e.Helper()
	e.update(k, append([]state.Change{state.Track{}, discover(k, id)}, upload(id, "up")...)...)
	return ref(k, id)
}

func (e *env) wantParts(f state.FileRef, numbers ...int32) {
	e.Helper()
	got, err := e.s.Parts(e.Context(), f)
	e.ok(err)
	var n []int32
	for _, p := range got {
		n = append(n, p.Number)
	}
	e.same("parts of "+f.String(), numbers, n)
}

func (e *env) claim(w state.Work, tenant string, now time.Time, n int) []state.FileRef {
	e.Helper()
	got, err := e.s.Claim(e.Context(), w, tenant, now, n)
	e.ok(err)
	return got
}

func queueTests() map[string]func(*env) {
	return map[string]func(*env){
		"Poll":     pollQueue,
		"Transfer": transferOrder,
		"Delayed":  delayedTransfer,
		"Aborts":   abortQueue,
		"Manifest": func(e *env) {
			a, b := rec("acme", 1), rec("acme", 2)
			for _, k := range []state.Key{a, b} {
				e.update(k, append(append([]state.Change{state.Track{}, discover(k, "f")}, store("f")...), verify("f"))...)
			}
			e.same("before it is settled", []state.FileRef(nil), e.claim(state.WorkManifest, "acme", far(), 9))
			e.update(a, state.Settle{}, state.ManifestFailed{Error: "x", RetryAt: day(5)})
			e.update(b, state.Settle{})
			e.same("due", []state.FileRef{ref(b, "")}, e.claim(state.WorkManifest, "acme", day(4), 9))
			e.same("later", []state.FileRef{ref(a, "")}, e.claim(state.WorkManifest, "acme", day(5), 9))
			e.s.Release(state.WorkManifest, ref(a, ""), ref(b, ""))
			e.update(a, written(e.get(a)))
			e.same("written", []state.FileRef{ref(b, "")}, e.claim(state.WorkManifest, "acme", far(), 9))
		},
		"DeleteAndConfirm": deleteQueue,
		"ClaimsOfAllKinds": func(e *env) {
			k := rec("acme", 1)
			e.update(k, state.Track{}, discover(k, "f"))
			if len(e.claim(state.WorkPoll, "acme", far(), 9)) != 1 || len(e.claim(state.WorkTransfer, "acme", far(), 9)) != 1 {
				e.Error("a claim of one kind keeps others from another kind")
			}
			for _, n := range []int{0, -1} {
				e.same("none", []state.FileRef(nil), e.claim(state.WorkPoll, "acme", far(), n))
			}
			if _, err := e.s.Claim(e.Context(), "odd", "acme", far(), 1); err == nil {
				e.Error("an unknown kind of work was claimed")
			}
			e.s.Release("odd", ref(k, ""))
			e.s.Release(state.WorkConfirm, ref(rec("nobody", 1), "x"))
		},
		"NeverTwice": neverTwice,
	}
}

func pollQueue(e *env) {
	for i, at := range []time.Time{day(3), day(1), day(2), {}, day(4)} {
		e.update(rec("acme", i), state.Track{}, state.Polled{Poll: state.Poll{NextAt: at}})
	}
	e.update(rec("beta", 0), state.Track{}, state.Polled{Poll: state.Poll{NextAt: day(1)}})
	e.same("nothing due", []state.FileRef(nil), e.claim(state.WorkPoll, "acme", day(1).Add(-1), 9))
	e.same("one", []state.FileRef{ref(rec("acme", 1), "")}, e.claim(state.WorkPoll, "acme", day(3), 1))
	e.same("two", []state.FileRef{ref(rec("acme", 2), ""), ref(rec("acme", 0), "")}, e.claim(state.WorkPoll, "acme", day(3), 9))
	e.s.Release(state.WorkPoll, ref(rec("acme", 2), ""))
	e.same("given back", []state.FileRef{ref(rec("acme", 2), "")}, e.claim(state.WorkPoll, "acme", day(3), 9))
	e.same("other tenant", []state.FileRef{ref(rec("beta", 0), "")}, e.claim(state.WorkPoll, "beta", day(3), 9))
	e.restart()
	if n := len(e.claim(state.WorkPoll, "acme", far(), 9)); n != 4 {
		e.Errorf("after opening again %d of 4 can be claimed", n)
	}
	e.update(rec("acme", 1), state.Polled{})
	e.s.Release(state.WorkPoll, ref(rec("acme", 1), ""))
	e.same("not polled any more", []state.FileRef(nil), e.claim(state.WorkPoll, "acme", far(), 9))
}

func transferOrder(e *env) {
	k := rec("acme", 1)
	add := func(id string, deadline, start time.Time) {
		d := discover(k, id)
		d.Listing.Deadline, d.Listing.Start = deadline, start
		e.update(k, state.Track{}, d)
	}
	add("none-late", time.Time{}, day(9))
	add("none-early", time.Time{}, day(1))
	add("d5-late", day(5), day(4))
	add("d5-early", day(5), day(3))
	add("d4", day(4), day(8))
	add("verified", day(1), day(1))
	add("superseded", day(1), day(1))
	add("bad", day(1), day(1))
	add("stored", day(3), day(1))
	e.update(k, append(store("verified"), verify("verified"))...)
	e.update(k, append(store("superseded"), state.Supersede{FileID: "superseded"})...)
	e.update(k, store("stored")...)
	e.update(k, state.Start{FileID: "d4"})
	e.update(k, state.QuarantineFile{FileID: "bad", Reason: state.BadContent})
	var got []string
	for _, f := range e.claim(state.WorkTransfer, "acme", day(1), 99) {
		got = append(got, f.FileID)
	}
	e.same("order", []string{"stored", "d4", "d5-early", "d5-late", "none-early", "none-late"}, got)
	// A listing that changes the deadline changes the rank.
	e.s.Release(state.WorkTransfer, ref(k, "none-late"), ref(k, "d4"))
	e.update(k, state.Relist{FileID: "none-late", Listing: state.Listing{Deadline: day(2)}})
	e.same("rank", []state.FileRef{ref(k, "none-late"), ref(k, "d4")}, e.claim(state.WorkTransfer, "acme", day(1), 99))
}

func delayedTransfer(e *env) {
	k := rec("acme", 1)
	late := discover(k, "late")
	late.Listing.Deadline = day(20)
	e.update(k, state.Track{}, late, discover(k, "urgent"))
	fail := func(at time.Time) {
		e.update(k, state.Fail{FileID: "urgent", Error: "x", RetryAt: at, Counts: true})
	}
	fail(day(5))
	one := []state.FileRef{ref(k, "late")}
	both := []state.FileRef{ref(k, "urgent"), ref(k, "late")}
	e.same("before its time", one, e.claim(state.WorkTransfer, "acme", day(5).Add(-1), 9))
	e.s.Release(state.WorkTransfer, one...)
	e.same("in its time, first again", both, e.claim(state.WorkTransfer, "acme", day(5), 9))
	e.s.Release(state.WorkTransfer, both...)
	e.same("under an earlier clock", one, e.claim(state.WorkTransfer, "acme", day(4), 9))
	e.s.Release(state.WorkTransfer, both...)
	e.restart()
	e.same("after opening again", both, e.claim(state.WorkTransfer, "acme", day(5), 9))
	e.s.Release(state.WorkTransfer, both...)
	// Ranked first, but not due under the store's own clock.
	fail(far().Add(-time.Hour))
	e.same("far from now", both, e.claim(state.WorkTransfer, "acme", far(), 9))
	e.s.Release(state.WorkTransfer, both...)
	e.same("the ready one", one, e.claim(state.WorkTransfer, "acme", day(6), 9))
	e.s.Release(state.WorkTransfer, both...)
	fail(day(5))
	e.same("promoted again", 2, len(e.claim(state.WorkTransfer, "acme", day(5), 9)))
	e.s.Release(state.WorkTransfer, both...)
	// Whatever happens to a file whose time had come, its entry goes with it.
	moved := discover(k, "urgent").Listing
	moved.Deadline = day(30)
	e.update(k, state.Relist{FileID: "urgent", Listing: moved})
	e.same("relisted", []state.FileRef{one[0], both[0]}, e.claim(state.WorkTransfer, "acme", day(6), 9))
	e.s.Release(state.WorkTransfer, both...)
	fail(day(7))
	e.same("failed again", one, e.claim(state.WorkTransfer, "acme", day(6), 9))
	e.s.Release(state.WorkTransfer, both...)
	e.same("promoted", 2, len(e.claim(state.WorkTransfer, "acme", day(7), 9)))
	e.s.Release(state.WorkTransfer, both...)
	e.update(k, append(append(store("urgent"), verify("urgent")), state.QuarantineFile{FileID: "late", Reason: state.SourceGone})...)
	e.same("done", []state.FileRef(nil), e.claim(state.WorkTransfer, "acme", far(), 9))
}

// abortQueue: the upload of a quarantined file waits for somebody to abort it.
func abortQueue(e *env) {
	f := e.uploading(rec("acme", 1), "f")
	intent := rec("acme", 2)
	e.update(intent, append([]state.Change{state.Track{}, discover(intent, "f")}, upload("f", "")[:3]...)...)
	none := rec("acme", 3)
	e.update(none, state.Track{}, discover(none, "f"), state.Start{FileID: "f"})
	bad := state.QuarantineFile{FileID: "f", Reason: state.SourceGone, Detail: "gone"}
	for _, k := range []state.Key{f.Key, intent, none} {
		e.update(k, bad)
	}
	both := []state.FileRef{f, ref(intent, "f")}
	e.same("to be aborted", both, e.claim(state.WorkTransfer, "acme", day(1), 9))
	e.s.Release(state.WorkTransfer, both...)
	n := len(e.events())
	// Its last parts may still come in.
	e.ok(e.s.AddParts(e.Context(), f, "up", part(1)))
	e.update(f.Key, state.Fail{FileID: "f", Error: "refused", RetryAt: day(5), Counts: true})
	e.ok(e.s.AddParts(e.Context(), f, "up", part(2)))
	e.wantParts(f, 1, 2)
	if got := e.get(f.Key).Files[0]; got.Error != "gone" || got.Attempts != 0 || !got.NextAttemptAt.Equal(day(5)) {
		e.Errorf("the file is %+v", got)
	}
	e.same("put off", both[1:], e.claim(state.WorkTransfer, "acme", day(4), 9))
	e.s.Release(state.WorkTransfer, both...)
	e.restart()
	e.same("in its time", 2, len(e.claim(state.WorkTransfer, "acme", day(5), 9)))
	e.s.Release(state.WorkTransfer, both...)
	aborted := bad
	aborted.Aborted, aborted.Reason, aborted.Detail = true, state.UploadFailed, "aborted"
	e.update(f.Key, aborted)
	e.update(intent, aborted)
	got := e.get(f.Key)
	if g := got.Files[0]; g.Upload != nil || g.Version != nil || g.Reason != state.SourceGone || g.Error != "gone" || got.Status != state.Quarantined {
		e.Errorf("the file is %+v", g)
	}
	e.wantParts(f)
	e.same("no news", n, len(e.events()))
	e.same("aborted", []state.FileRef(nil), e.claim(state.WorkTransfer, "acme", far(), 9))
}

func deleteQueue(e *env) {
	a, b := rec("acme", 1), rec("acme", 2)
	at := e.archive(a, "f").Deletion.EligibleFrom
	e.archive(b, "f")
	e.same("too early", []state.FileRef(nil), e.claim(state.WorkDelete, "acme", at.Add(-time.Nanosecond), 9))
	e.same("in its time", []state.FileRef{ref(a, "")}, e.claim(state.WorkDelete, "acme", at, 1))
	e.s.Release(state.WorkDelete, ref(a, ""))
	e.update(b, state.Hold{On: true})
	e.same("one is on hold", []state.FileRef{ref(a, "")}, e.claim(state.WorkDelete, "acme", far(), 9))
	e.s.Release(state.WorkDelete, ref(a, ""))
	e.update(b, state.Hold{})
	e.update(a, state.DeletionFailed{Detail: "x", EligibleFrom: far().Add(-time.Hour)})
	e.same("one was put off", []state.FileRef{ref(b, "")}, e.claim(state.WorkDelete, "acme", far().Add(-2*time.Hour), 9))
	e.same("nothing to confirm", []state.FileRef(nil), e.claim(state.WorkConfirm, "acme", far(), 9))
	_, err := e.s.StoreWarrant(e.Context(), e.warrant("w", b), 1, permit)
	e.ok(err)
	e.s.Release(state.WorkDelete, ref(b, ""))
	e.same("deleting", []state.FileRef{ref(a, "")}, e.claim(state.WorkDelete, "acme", far(), 9))
	e.same("always due", []state.FileRef{ref(b, "")}, e.claim(state.WorkConfirm, "acme", day(1), 9))
	e.update(b, state.Deleted{WarrantID: "w"})
	e.s.Release(state.WorkConfirm, ref(b, ""))
	e.same("confirmed", []state.FileRef(nil), e.claim(state.WorkConfirm, "acme", far(), 9))
}

// neverTwice has workers claim, finish or give back at random: whoever has a
// file has it alone, and in the end each one was finished once.
func neverTwice(e *env) {
	const files = 60
	k := rec("acme", 1)
	changes := []state.Change{state.Track{}}
	for i := range files {
		changes = append(changes, discover(k, rec("", i).RecordID))
	}
	e.update(k, changes...)
	var mu sync.Mutex
	holder, finished := map[state.FileRef]int{}, map[state.FileRef]int{}
	done := func() bool { mu.Lock(); defer mu.Unlock(); return e.Failed() || len(finished) == files }
	work := func(w int) error {
		rnd := rand.New(rand.NewPCG(1, uint64(w)))
		for !done() {
			got, err := e.s.Claim(e.Context(), state.WorkTransfer, "acme", day(1), 1+rnd.IntN(4))
			if err != nil {
				return err
			}
			mu.Lock()
			for _, f := range got {
				if holder[f] != 0 || finished[f] > 0 {
					e.Errorf("worker %d got %s, which worker %d has, or had finished %d times", w, f, holder[f], finished[f])
				}
				holder[f] = w
			}
			mu.Unlock()
			for _, f := range got {
				finish := rnd.IntN(2) == 0
				if finish {
					if _, err := e.s.Update(e.Context(), k, state.Do(append(store(f.FileID), verify(f.FileID))...)); err != nil {
						return err
					}
				}
				mu.Lock()
				holder[f] = 0
				if finish {
					finished[f]++
				}
				mu.Unlock()
				e.s.Release(state.WorkTransfer, f)
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			if err := work(w + 1); err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
}
