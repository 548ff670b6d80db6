package state_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

func sessionIn(s state.SessionStatus) state.Session {
	return state.Session{
		ConferenceRef: state.ConferenceRef{Tenant: "t", ConferenceKey: "c", Kind: state.KindRecord},
		Status:        s, RecordID: "old", IntendedAt: at(1), ChangedAt: at(1),
	}
}

// TestSessionMoves is the table of the legal moves of a session.
func TestSessionMoves(t *testing.T) {
	t.Parallel()
	const (
		opening    = state.SessionOpening
		open       = state.SessionOpen
		unresolved = state.SessionUnresolved
		closed     = state.SessionClosed
		refused    = state.SessionRefused
		none       = state.SessionStatus("")
	)
	type row = map[state.SessionStatus]state.SessionStatus
	for name, tt := range map[string]struct {
		change state.SessionChange
		verb   string
		want   row
	}{
		"intend":       {state.Intend{}, "opening", row{none: opening, open: opening, closed: opening, refused: opening}},
		"opened":       {state.Opened{RecordID: "r"}, "open", row{opening: open}},
		"opened what":  {state.Opened{}, "", row{}},
		"unresolve":    {state.Unresolve{Error: "x"}, "unresolved", row{opening: unresolved}},
		"refuse":       {state.Refuse{Error: "x"}, "refused", row{opening: refused}},
		"close":        {state.Close{RecordID: "r"}, "closed", row{none: closed, opening: closed, open: closed, unresolved: closed, closed: closed, refused: closed}},
		"close failed": {state.CloseFailed{Error: "x"}, "close_failed", row{opening: opening, open: open, unresolved: unresolved, closed: closed, refused: refused}},
	} {
		for _, from := range []state.SessionStatus{none, opening, open, unresolved, closed, refused} {
			before := sessionIn(from)
			after, event, err := state.ApplySession(before, tt.change, at(9))
			want, legal := tt.want[from]
			if !legal {
				if !errors.Is(err, state.ErrIllegal) || !strings.Contains(err.Error(), "t/c") {
					t.Errorf("%s while %q: %v, want ErrIllegal", name, from, err)
				}
				if d := cmp.Diff(before, after); d != "" {
					t.Errorf("%s while %q changed %s", name, from, d)
				}
				continue
			}
			if err != nil || after.Status != want || !after.ChangedAt.Equal(at(9)) {
				t.Errorf("%s while %q: %s, %v, want %s", name, from, after.Status, err, want)
			}
			if ref, ok := event.Conference(); !ok || ref != before.ConferenceRef || event.Type != state.EventType("record_"+tt.verb) ||
				event.From != string(from) || event.To != string(want) || event.Detail != after.Error {
				t.Errorf("%s while %q tells %+v", name, from, event)
			}
		}
	}
}

// A refusal means that nothing happened: what was open before the intent is
// open still, with its recordId.
func TestSessionReopened(t *testing.T) {
	t.Parallel()
	move := func(s state.Session, changes ...state.SessionChange) state.Session {
		t.Helper()
		for _, c := range changes {
			var err error
			if s, _, err = state.ApplySession(s, c, at(2)); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	again := move(sessionIn(state.SessionOpen), state.Intend{}, state.Refuse{Error: "already"})
	want := sessionIn(state.SessionOpen)
	want.Error, want.IntendedAt, want.ChangedAt = "already", at(2), at(2)
	if d := cmp.Diff(want, again); d != "" {
		t.Error(d)
	}
	if s := move(again, state.Intend{}, state.Opened{RecordID: "new"}); s.RecordID != "new" || s.Reopened || s.Error != "" {
		t.Errorf("opened anew it is %+v", s)
	}
	if s := move(again, state.Close{Error: "not recording"}, state.Intend{}, state.Refuse{}); s.Status != state.SessionRefused || s.RecordID != "" {
		t.Errorf("after it was closed it is %+v", s)
	}
	live := state.Session{ConferenceRef: state.ConferenceRef{Tenant: "t", ConferenceKey: "c", Kind: state.KindLive}}
	if s := move(live, state.Intend{}, state.Opened{}, state.Close{}); s.Status != state.SessionClosed {
		t.Errorf("a live stream is %+v", s)
	}
	if _, _, err := state.ApplySession(live, state.Close{RecordID: "r"}, at(2)); !errors.Is(err, state.ErrIllegal) {
		t.Errorf("a live stream with a recordId: %v", err)
	}
}
