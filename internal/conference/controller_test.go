package conference_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

const out = "archiver record stop 1 --tenant acme" // the way out

func TestRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.ok(err)
	if begun.Status != "open" || begun.Kind != "record" || begun.ConferenceKey != "1" || begun.IntendedAt == nil || begun.ChangedAt == nil || begun.Error != "" {
		t.Errorf("started: %+v", begun)
	}
	w.recorded(begun.RecordID)
	list, err := w.c.List(t.Context(), "")
	w.ok(err)
	if len(list) != 1 || list[0].RecordID != begun.RecordID {
		t.Errorf("the list has %+v", list)
	}
	ended, err := w.c.StopRecord(t.Context(), "acme", "1")
	w.ok(err)
	if ended.Status != "closed" || ended.RecordID != begun.RecordID {
		t.Errorf("stopped: %+v", ended)
	}
	if list, err := w.c.List(t.Context(), "acme"); err != nil || list == nil || len(list) != 0 {
		t.Errorf("in the end the list has %+v, %v", list, err)
	}
	if n := w.tracked.Load(); n != 2 {
		t.Errorf("the poller was told %d times", n)
	}
	w.calls("openRecord", 1)
	w.calls("closeRecord", 1)
}

// A recording that has waited for a whole meeting is asked about at once when
// it was stopped.
func TestStopPolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.ok(err)
	k := state.Key{Tenant: "acme", RecordID: begun.RecordID}
	late := time.Now().Add(6 * time.Hour)
	_, err = w.store.Update(t.Context(), k, state.Do(state.Polled{Poll: state.Poll{NextAt: late, Interval: 6 * time.Hour, Empty: 3}}))
	w.ok(err)
	_, err = w.c.StopRecord(t.Context(), "acme", "1")
	w.ok(err)
	r, err := w.store.Get(t.Context(), k)
	w.ok(err)
	if p := r.Poll; p.NextAt.After(time.Now()) || p.Interval != 0 || p.Empty != 3 {
		t.Errorf("after the stop it is to be asked about at %s, interval %s, %d empty listings", p.NextAt, p.Interval, p.Empty)
	}
}

// A recording that others started is tracked when it is stopped.
func TestStopOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.ok(err)
	other := newWorld(t)
	other.vendor = w.vendor
	other.use("key-a", 0)
	got, err := other.c.StopRecord(t.Context(), "acme", "1")
	w.ok(err)
	if got.Status != "closed" || got.RecordID != begun.RecordID {
		t.Errorf("stopped: %+v", got)
	}
	other.recorded(got.RecordID)
	// The first one's stop comes too late: it has all it needs.
	c, err := w.c.StopRecord(t.Context(), "acme", "1")
	w.refused(c, err, 409, "not_recording", "200007", begun.RecordID, "nothing is left to do")
	w.is("1", state.SessionClosed)
}

// A reply that is lost leaves the session unresolved: visible, never repeated,
// and resolved by closeRecord, which tells the recordId.
func TestLostReply(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]vendorsim.Action{
		"reset":         vendorsim.Reset{AfterEffect: true},
		"a proxy":       vendorsim.HTML{},
		"server error":  vendorsim.Status{Code: 502},
		"code 500":      vendorsim.Envelope{Code: "500"},
		"no recordId":   vendorsim.Envelope{Code: "200"},
		"cut off":       vendorsim.Truncate{At: 5},
		"unknown code":  vendorsim.Envelope{Code: "777"},
		"before effect": vendorsim.Reset{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.inject("openRecord", fault)
			c, err := w.c.StartRecord(t.Context(), "acme", "1")
			w.refused(c, err, 504, "ambiguous", "start recording conference 1 of tenant acme", out)
			if s := w.is("1", state.SessionUnresolved); s.Error == "" || s.RecordID != "" {
				t.Errorf("unresolved: %+v", s)
			}
			list, err := w.c.List(t.Context(), "acme")
			w.ok(err)
			if len(list) != 1 || list[0].Status != "unresolved" || list[0].Error == "" {
				t.Errorf("the list has %+v", list)
			}
			c, err = w.c.StartRecord(t.Context(), "acme", "1")
			w.refused(c, err, 409, "unresolved", out)
			w.calls("openRecord", 1)

			ended, err := w.c.StopRecord(t.Context(), "acme", "1")
			w.ok(err)
			if ended.Status != "closed" {
				t.Errorf("stopped: %+v", ended)
			}
			if recordings := w.vendor.Recordings(); len(recordings) == 1 {
				w.recorded(ended.RecordID)
			} else if ended.RecordID != "" || !strings.Contains(ended.Error, "cannot be known") || !strings.Contains(ended.Error, "console") {
				t.Errorf("nothing was recorded, and the answer is %+v", ended)
			}
			again, err := w.c.StartRecord(t.Context(), "acme", "1")
			w.ok(err)
			w.recorded(again.RecordID)
		})
	}
}

// The conference is over by the time that its unresolved session is stopped.
func TestUnresolvedOfAnEndedConference(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"200006", "200007", "200008"} {
		w := newWorld(t)
		w.inject("openRecord", vendorsim.Reset{AfterEffect: true})
		_, err := w.c.StartRecord(t.Context(), "acme", "1")
		if err == nil {
			t.Fatal("a lost reply was not noticed")
		}
		w.inject("closeRecord", vendorsim.Envelope{Code: code})
		ended, err := w.c.StopRecord(t.Context(), "acme", "1")
		w.ok(err)
		if ended.Status != "closed" || !strings.Contains(ended.Error, "cannot be known") || !strings.Contains(ended.Error, code) {
			t.Errorf("%s: %+v", code, ended)
		}
	}
}

// TestNoAnswer has the vendor say nothing for as long as a call may take.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.use("key-a", time.Second)
	w.inject("openRecord", vendorsim.Hang{})
	c, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.refused(c, err, 504, "ambiguous", out)
	w.is("1", state.SessionUnresolved)
}

// TestClientHangsUp ends the request between the call's effect and its reply.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, hangUp := context.WithCancel(t.Context())
	w.when("openRecord", hangUp)
	begun, err := w.c.StartRecord(ctx, "acme", "1")
	w.ok(err)
	if ctx.Err() == nil {
		t.Fatal("nobody hung up")
	}
	w.recorded(begun.RecordID)
	ctx, hangUp = context.WithCancel(t.Context())
	w.when("closeRecord", hangUp)
	_, err = w.c.StopRecord(ctx, "acme", "1")
	w.ok(err)
	w.is("1", state.SessionClosed)
}

// TestCrash closes the state between the intent, the call and its reply, as a
// process that dies does.
func TestCrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.when("openRecord", func() {
		if s := w.session("1", state.KindRecord); s.Status != state.SessionOpening {
			t.Errorf("while the call is under way it is %q", s.Status)
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := w.c.StartRecord(t.Context(), "acme", "1")
	id := w.vendor.Recordings()[0].ID
	w.refused(c, err, 500, "state", id, out) // the recordId is told at least here
	w.open()
	w.is("1", state.SessionUnresolved)
	c, err = w.c.StartRecord(t.Context(), "acme", "1")
	w.refused(c, err, 409, "unresolved", out)
	w.calls("openRecord", 1)
	ended, err := w.c.StopRecord(t.Context(), "acme", "1")
	w.ok(err)
	if ended.RecordID != id {
		t.Errorf("closeRecord told %s, it is %s", ended.RecordID, id)
	}
	w.recorded(id)
}

// TestOneAtATime starts and stops while a start is under way.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer, arrived := make(chan struct{}), make(chan struct{})
	w.when("openRecord", func() { close(arrived); <-answer })
	begun := make(chan error, 1)
	go func() { _, err := w.c.StartRecord(context.Background(), "acme", "1"); begun <- err }()
	<-arrived
	c, err := w.c.StartRecord(t.Context(), "acme", "1")
	w.refused(c, err, 409, "busy", "under way")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	c, err = w.c.StopRecord(gone, "acme", "1")
	w.refused(c, err, 503, "busy", "nothing was called")
	w.calls("closeRecord", 0)
	ended := make(chan error, 1)
	go func() { _, err := w.c.StopRecord(context.Background(), "acme", "1"); ended <- err }()
	if _, err := w.c.StartLive(t.Context(), "acme", "1"); err != nil { // that is another session
		t.Error(err)
	}
	close(answer)
	w.ok(<-begun)
	w.ok(<-ended)
	w.is("1", state.SessionClosed)
}
