package daemon_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// outcome is one way in which a call of delRecordFile can go.
type outcome struct {
	name   string
	after  vendorsim.Answer // of getRecords, once it is deleted
	others bool             // then getRecords lists other recordings' items
	first  vendorsim.Action // what the first call meets; nil: it works
	then   state.Status     // after the first call
	why    string           // in Deletion.Error after it
	twice  bool             // a second call, under a new warrant, deletes it
	wait   time.Duration    // before that, at least; 0: 30 s
	events state.EventType  // that tells of the first call
	void   bool             // the call is known to have had no effect: its warrant explains nothing
}

func outcomes() []outcome {
	failed := func(name string, do vendorsim.Action, why string) outcome {
		return outcome{name: name, first: do, then: state.Archived, why: why, twice: true, events: state.EventDeletionFailed}
	}
	done := func(name string, after vendorsim.Answer, do vendorsim.Action) outcome {
		return outcome{name: name, after: after, first: do, then: state.SourceDeleted, events: state.EventSourceDeleted}
	}
	others := done("leaves-others", vendorsim.AnswerEmpty, nil)
	others.others = true
	refused := func(code string) outcome {
		o := failed("says-"+code, vendorsim.Envelope{Code: code}, code)
		o.void = true
		return o
	}
	slow := failed("too-many", vendorsim.Status{Code: 429, RetryAfter: 2 * time.Minute}, "429")
	slow.wait, slow.void = 2*time.Minute, true
	return []outcome{
		done("then-empty", vendorsim.AnswerEmpty, nil),
		done("then-null", vendorsim.AnswerNull, nil),
		done("then-400", vendorsim.Answer400, nil),
		done("then-200008", vendorsim.Answer200008, nil),
		others,
		done("reply-lost", vendorsim.AnswerEmpty, vendorsim.Reset{AfterEffect: true}),
		done("reply-cut", vendorsim.Answer400, vendorsim.Truncate{At: 7}),
		failed("request-lost", vendorsim.Reset{}, "delRecordFile"),
		refused("400"),
		refused("403"),
		failed("says-500", vendorsim.Envelope{Code: "500"}, "500"),
		refused("200001"),
		refused("200008"),
		failed("gateway-502", vendorsim.Status{Code: 502}, "502"),
		failed("gateway-503", vendorsim.Status{Code: 503}, "503"),
		failed("portal", vendorsim.HTML{}, "no JSON"),
		slow,
		{name: "lies", first: vendorsim.Envelope{Code: "200"}, then: state.DeletionUnconfirmed, why: "still lists", twice: true, events: state.EventDeletionUnconfirmed},
	}
}

func TestDeletionOutcomes(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	var ids, again []string
	for _, o := range outcomes() {
		tr.add(vendorsim.Recording{ID: o.name, AfterDelete: o.after}, 2000)
		ids = append(ids, o.name)
		if o.first != nil {
			tr.vendor.Inject(vendorsim.Fault{Call: "delRecordFile", Subject: o.name, Times: 1, Do: o.first})
		}
		if o.twice {
			again = append(again, o.name)
		}
		if o.others {
			tr.vendor.Inject(listed(o.name, vendorsim.EditItems(func(items []vendorsim.Item) []vendorsim.Item {
				if len(items) > 0 {
					return items
				}
				return []vendorsim.Item{{{Name: "recordId", Value: "somebody-else"}, {Name: "startTime", Value: "2019-05-31 01:43:09"}}}
			})))
		}
	}
	tr.archive(ids...)
	tr.enable()
	tr.until("each was tried", func() bool {
		for _, o := range outcomes() {
			if tr.rec(o.name).Status != o.then || tr.deletions(o.name) == 0 {
				return false
			}
		}
		return true
	})
	for _, o := range outcomes() {
		r := tr.rec(o.name)
		if r.Status != o.then || !strings.Contains(r.Deletion.Error, o.why) || (r.Deletion.WarrantID == "") != o.void {
			t.Errorf("%s: it is %s with %+v", o.name, r.Status, r.Deletion)
		}
		if n := tr.events(o.name, o.events); n != 1 {
			t.Errorf("%s: %d events %s", o.name, n, o.events)
		}
		tr.called(o.name, 1)
		if o.then == state.SourceDeleted {
			if truth, _ := tr.vendor.Recording(o.name); truth.Deletions != 1 {
				t.Errorf("%s was deleted %d times", o.name, truth.Deletions)
			}
		}
	}
	warrants := map[string]string{}
	for _, id := range again {
		warrants[id] = tr.rec(id).Deletion.WarrantID
	}

	tr.advance(31 * time.Second)
	var soon []string
	for _, o := range outcomes() {
		if o.twice && o.wait == 0 {
			soon = append(soon, o.name)
		}
	}
	tr.untilDeleted(soon...)
	tr.advance(90 * time.Second)
	tr.untilDeleted(again...)
	for _, id := range ids {
		tr.proven(id)
	}
	for _, o := range outcomes() {
		if o.twice {
			tr.waited(o.name, max(o.wait, 30*time.Second))
		}
	}
	for _, id := range again {
		tr.called(id, 2)
		if w := tr.rec(id).Deletion.WarrantID; w == warrants[id] || tr.events(id, state.EventWarrant) != 2 {
			t.Errorf("%s: %d warrants; the second call was made under %s, the first under %s", id, tr.events(id, state.EventWarrant), w, warrants[id])
		}
	}
	tr.sound(tr.d)
}

// waited checks that the second warrant came so long after the first outcome.
func (tr *trial) waited(id string, least time.Duration) {
	tr.t.Helper()
	all, err := tr.d.Store().EventsOf(tr.t.Context(), key(id), 1000)
	if err != nil {
		tr.t.Fatal(err)
	}
	var failed, again time.Time
	for _, e := range all {
		switch e.Type {
		case state.EventDeletionFailed, state.EventDeletionUnconfirmed:
			failed = e.At
		case state.EventWarrant:
			again = e.At
		default:
		}
	}
	if d := again.Sub(failed); failed.IsZero() || d < least {
		tr.t.Errorf("%s: tried again after %s, want %s", id, d, least)
	}
}

// The wait between two tries doubles from 30 s to 1 h.
func TestDeletionBacksOff(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("liar", 2000)
	mend := tr.vendor.Inject(vendorsim.Fault{Call: "delRecordFile", Do: vendorsim.Envelope{Code: "200"}})
	tr.archive("liar")
	tr.enable()
	wait := 30 * time.Second
	for n := 1; n <= 10; n++ {
		tr.until("another try", func() bool { return tr.events("liar", state.EventDeletionUnconfirmed) == n })
		r := tr.rec("liar")
		if r.Status != state.DeletionUnconfirmed || r.Deletion.Backoff != wait || n > 1 && tr.deletions("liar") != n {
			t.Fatalf("after try %d: %s, wait %s, %d calls; want the wait %s", n, r.Status, r.Deletion.Backoff, tr.deletions("liar"), wait)
		}
		tr.advanceAll(wait + time.Second)
		wait = min(wait*2, time.Hour)
	}
	mend()
	tr.untilDeleted("liar")
	tr.called("liar", 11)
	tr.sound(tr.d)
}

// The warrant, with all its evidence, is durable when the call arrives.
func TestWarrantIsStoredBeforeTheCall(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.pair("both")
	tr.archive("both", "both-s")
	tr.enable()
	tr.update("both-s", state.Hold{On: true})
	tr.refused("both", "on hold")
	tr.called("", 0)
	tr.update("both-s", state.Hold{})
	tr.advance(31 * time.Second)
	var seen state.Warrant
	var err error
	check := func(c vendorsim.Call) {
		if c.Name != "delRecordFile" || c.RecordID != "both" {
			return
		}
		r, gerr := tr.d.Store().Get(context.Background(), key("both"))
		if gerr == nil && r.Status == state.Deleting {
			seen, err = tr.d.Store().Warrant(context.Background(), "acme", r.Deletion.WarrantID)
		}
	}
	tr.onCall.Store(&check)
	tr.untilDeleted("both", "both-s")
	if err != nil || seen.RecordID != "both" || len(seen.Evidence) == 0 || seen.ID != tr.rec("both").Deletion.WarrantID {
		t.Errorf("when the call arrived the stored warrant was %+v (%v)", seen, err)
	}
	tr.proven("both")
	tr.proven("both-s")
	tr.sound(tr.d)
}

// A daemon that ends between warrant and outcome asks first when it is back.
func TestDeletionAfterACrash(t *testing.T) {
	t.Parallel()
	for _, deleted := range []bool{true, false} {
		t.Run(map[bool]string{true: "deleted", false: "not deleted"}[deleted], func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, worldOptions{})
			tr.recording("r", 2000)
			unhang := tr.vendor.Inject(vendorsim.Fault{Call: "delRecordFile", Do: vendorsim.Hang{}})
			tr.archive("r")
			tr.enable()
			ctx, kill := context.WithCancel(t.Context())
			ended := make(chan error)
			d := tr.d
			go func() { ended <- d.Run(ctx, ctx) }()
			tr.wait("the call hangs", func() bool { return tr.deletions("r") == 1 })
			kill()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
			if s := tr.rec("r").Status; s != state.Deleting {
				t.Fatalf("it is %s", s)
			}
			if err := d.Store().Close(); err != nil {
				t.Fatal(err)
			}
			unhang()
			if deleted {
				tr.vendor.RemoveFile("r", 0)
			}
			// As long as the vendor cannot be asked, nothing is called.
			silent := tr.vendor.Inject(listed("r", vendorsim.Envelope{Code: "403"}))
			tr.enable()
			before := len(tr.vendor.Calls())
			tr.until("asked in vain", func() bool { return len(tr.vendor.Calls()) > before })
			if s := tr.rec("r").Status; s != state.Deleting {
				t.Errorf("it is %s while the vendor cannot be asked", s)
			}
			silent()
			tr.enable("max_per_hour: 1") // used up: this is about the old warrant alone
			before = len(tr.vendor.Calls())
			if deleted {
				tr.untilDeleted("r")
				tr.proven("r")
			} else {
				tr.until("confirmed", tr.is("r", state.DeletionUnconfirmed))
			}
			tr.called("r", 1)
			if c := tr.vendor.Calls()[before]; c.Name != "getRecords" || c.RecordID != "r" {
				t.Errorf("after the crash %s was called first", c.Name)
			}
			if !deleted {
				tr.enable()
				tr.advance(31 * time.Second)
				tr.untilDeleted("r")
				tr.called("r", 2)
				tr.proven("r")
			}
			tr.sound(tr.d)
		})
	}
}

// What the vendor lists no more, without a warrant of ours, is gone: nothing
// is called, and the archived recording stays archived.
func TestSourceGoneIsNotDeleted(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("gone", 2000)
	tr.recording("there", 2000)
	tr.archive("gone", "there")
	tr.vendor.RemoveFile("gone", 0)
	tr.enable()
	tr.refused("gone", "lists no file of it")
	if n := tr.events("gone", state.EventSourceGone); n != 0 {
		t.Error("one empty listing was enough")
	}
	tr.until("three empty listings", func() bool { return tr.events("gone", state.EventSourceGone) == 1 })
	tr.advance(2 * time.Minute)
	tr.untilDeleted("there")
	tr.idle()
	tr.called("gone", 0)
	if r := tr.rec("gone"); r.Status != state.Archived || r.SourceGoneAt.IsZero() || !r.SourceDeletedAt.IsZero() {
		t.Errorf("it is %s, gone at %s, deleted at %s", r.Status, r.SourceGoneAt, r.SourceDeletedAt)
	}
	asked := 0
	for _, c := range tr.vendor.CallsOf("getRecords") {
		if c.RecordID == "gone" {
			asked++
		}
	}
	if asked < 3+1 { // one of them before the file was gone
		t.Errorf("asked %d times", asked)
	}
	tr.sound(tr.d)
}
