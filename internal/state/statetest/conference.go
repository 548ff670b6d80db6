package statetest

import (
	"errors"
	"fmt"

	"archiver/internal/state"
)

func session(tenant string, n int, kind state.ConferenceKind) state.ConferenceRef {
	return state.ConferenceRef{Tenant: tenant, ConferenceKey: fmt.Sprint("conf-", n), Kind: kind}
}

// decided decides for the same change whatever the session is.
func decided(c state.SessionChange) state.DecideSession {
	return func(state.Session) (state.SessionChange, error) { return c, nil }
}

func (e *env) move(ref state.ConferenceRef, changes ...state.SessionChange) (s state.Session) {
	e.Helper()
	for _, c := range changes {
		var err error
		s, err = e.s.MoveConference(e.Context(), ref, decided(c))
		e.ok(err)
	}
	return s
}

func (e *env) openSessions(tenant string) (out []state.ConferenceRef) {
	e.Helper()
	all, err := e.s.OpenSessions(e.Context(), tenant)
	e.ok(err)
	for _, s := range all {
		got, err := e.s.Session(e.Context(), s.ConferenceRef)
		e.ok(err)
		e.same("session of the list", got, s)
		out = append(out, s.ConferenceRef)
	}
	return out
}

func conferenceTests() map[string]func(*env) {
	return map[string]func(*env){
		"Session":      sessionLife,
		"RecordID":     sessionRecordID,
		"OpenSessions": openSessions,
		"Recovery": func(e *env) {
			ref := session("acme", 1, state.KindRecord)
			e.move(ref, state.Intend{})
			e.restart()
			s, err := e.s.Session(e.Context(), ref)
			e.ok(err)
			if s.Status != state.SessionUnresolved || s.Error == "" {
				e.Errorf("an intent left behind is %s: %q", s.Status, s.Error)
			}
			n := len(e.events())
			e.restart()
			if again := len(e.events()); again != n || n != 2 {
				e.Errorf("%d events, after another start %d", n, again)
			}
		},
		"Refusals": func(e *env) {
			ref := session("acme", 1, state.KindRecord)
			own := errors.New("own")
			_, err := e.s.MoveConference(e.Context(), ref, func(state.Session) (state.SessionChange, error) { return nil, own })
			if !errors.Is(err, own) {
				e.Errorf("decide's own error became %v", err)
			}
			_, err = e.s.MoveConference(e.Context(), ref, func(state.Session) (state.SessionChange, error) { panic("x") })
			if err == nil {
				e.Error("a panic went unnoticed")
			}
			s, err := e.s.MoveConference(e.Context(), ref, decided(nil))
			e.ok(err)
			e.same("of nothing", state.Session{ConferenceRef: ref}, s)
			for _, bad := range []state.ConferenceRef{{}, {Tenant: "acme", ConferenceKey: "c", Kind: "odd"}, {Tenant: "acme", Kind: state.KindLive}} {
				if _, err := e.s.MoveConference(e.Context(), bad, decided(state.Intend{})); err == nil {
					e.Errorf("%s was stored", bad)
				}
				if _, err := e.s.Session(e.Context(), bad); !errors.Is(err, state.ErrNotFound) {
					e.Errorf("%s: %v, want ErrNotFound", bad, err)
				}
			}
			e.move(ref, state.Intend{})
			long := state.Opened{RecordID: string(make([]byte, 300))}
			if _, err := e.s.MoveConference(e.Context(), ref, decided(long)); err == nil {
				e.Error("an impossible recordId was stored")
			}
			if _, err := e.s.MoveConference(e.Context(), ref, decided(state.Intend{})); !errors.Is(err, state.ErrIllegal) {
				e.Errorf("a second intent: %v, want ErrIllegal", err)
			}
			if n := len(e.events()); n != 1 {
				e.Errorf("%d events, want the one of the intent", n)
			}
		},
	}
}

// sessionLife follows a recording and a live stream of the same conference.
func sessionLife(e *env) {
	record, live := session("acme", 1, state.KindRecord), session("acme", 1, state.KindLive)
	if _, err := e.s.Session(e.Context(), record); !errors.Is(err, state.ErrNotFound) {
		e.Errorf("a session that never was: %v, want ErrNotFound", err)
	}
	s := e.move(record, state.Intend{})
	if s.Status != state.SessionOpening || s.IntendedAt.IsZero() || !s.ChangedAt.Equal(s.IntendedAt) {
		e.Errorf("the intent left %+v", s)
	}
	e.move(live, state.Intend{}, state.Opened{})
	s = e.move(record, state.Opened{RecordID: "r1"})
	got, err := e.s.Session(e.Context(), record)
	e.ok(err)
	e.same("stored", s, got)
	e.move(record, state.CloseFailed{Error: "no answer"}, state.Close{RecordID: "r1"})
	e.move(live, state.Close{})
	e.restart()
	want := []struct {
		typ      state.EventType
		id       string
		from, to string
	}{
		{state.EventRecordOpening, "", "", "opening"},
		{state.EventLiveOpening, "", "", "opening"},
		{state.EventLiveOpen, "", "opening", "open"},
		{state.EventRecordOpen, "r1", "opening", "open"},
		{state.EventTracked, "r1", "", "waiting"},
		{state.EventRecordCloseFailed, "", "open", "open"},
		{state.EventRecordClosed, "r1", "open", "closed"},
		{state.EventLiveClosed, "", "open", "closed"},
	}
	events := e.events()
	if len(events) != len(want) {
		e.Fatalf("%d events, want %d: %+v", len(events), len(want), events)
	}
	for i, w := range want {
		ev := events[i]
		if ev.Type != w.typ || ev.RecordID != w.id || ev.From != w.from || ev.To != w.to {
			e.Errorf("event %d is %+v, want %+v", i+1, ev, w)
		}
		ref, ok := ev.Conference()
		if ok != (w.typ != state.EventTracked) || ok && ref != record && ref != live {
			e.Errorf("event %d is of %s", i+1, ref)
		}
	}
}

// sessionRecordID: what a change carries is tracked with it.
func sessionRecordID(e *env) {
	ref := session("acme", 7, state.KindRecord)
	e.move(ref, state.Intend{}, state.Opened{RecordID: "new"})
	r := e.get(state.Key{Tenant: "acme", RecordID: "new"})
	if r.Status != state.Waiting || r.ConferenceKey != "conf-7" || r.Poll.NextAt.IsZero() {
		e.Errorf("the recording is %+v", r)
	}
	known := e.archive(state.Key{Tenant: "acme", RecordID: "known"}, "f")
	s := e.move(ref, state.Close{RecordID: "known"})
	if s.RecordID != "known" {
		e.Errorf("the session names %s", s.RecordID)
	}
	e.same("a tracked one", known, e.get(known.ID()))
	var types []state.EventType
	for _, ev := range eventsOf(e, r.ID()) {
		types = append(types, ev.Type)
	}
	e.same("events of the recording", []state.EventType{state.EventRecordOpen, state.EventTracked}, types)
	// Told again, an untracked one is tracked again.
	e.update(r.ID(), state.Untrack{})
	e.move(ref, state.Close{RecordID: "new"})
	if st := e.get(r.ID()).Status; st != state.Waiting {
		e.Errorf("told again it is %s", st)
	}
}

func openSessions(e *env) {
	var want []state.ConferenceRef
	for _, tenant := range []string{"acme", "beta"} {
		for n := range 3 {
			for _, kind := range []state.ConferenceKind{state.KindLive, state.KindRecord} {
				ref := session(tenant, n, kind)
				e.move(ref, state.Intend{})
				switch n {
				case 1:
					e.move(ref, state.Unresolve{Error: "lost"})
				case 2:
					e.move(ref, state.Refuse{Error: "no"})
					continue
				}
				want = append(want, ref)
			}
		}
	}
	e.same("of all", want, e.openSessions(""))
	e.same("of one", want[4:], e.openSessions("beta"))
	e.same("of nobody", []state.ConferenceRef(nil), e.openSessions("nobody"))
	e.restart()
	e.same("after a start", want, e.openSessions(""))
	for _, ref := range want {
		e.move(ref, state.Close{})
	}
	e.same("in the end", []state.ConferenceRef(nil), e.openSessions(""))
}
