package statetest

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"archiver/internal/state"
)

func modelSessions() []state.ConferenceRef {
	return []state.ConferenceRef{
		session("acme", 1, state.KindLive), session("acme", 1, state.KindRecord), session("beta", 1, state.KindRecord),
	}
}

func (m *machine) session(ref state.ConferenceRef) state.Session {
	if s, ok := m.sessions[ref]; ok {
		return s
	}
	return state.Session{ConferenceRef: ref}
}

// told makes the model's session follow a change, and its recording with it.
func (m *machine) told(s state.Session, c state.SessionChange) error {
	after, event, err := state.ApplySession(s, c, m.env().At)
	if err != nil {
		return err
	}
	m.sessions[s.ConferenceRef] = after
	m.logged(event)
	k := state.Key{Tenant: s.Tenant, RecordID: event.RecordID}
	if r := m.recording(k); event.RecordID != "" && r.Status == "" {
		r, events, err := state.Apply(r, m.env(), state.Track{}, state.Describe{ConferenceKey: s.ConferenceKey})
		if err != nil {
			return err
		}
		m.moved(r, events)
	}
	return nil
}

func (m *machine) conference(t *rapid.T) {
	ref := rapid.SampledFrom(modelSessions()).Draw(t, "session")
	id := ""
	if ref.Kind == state.KindRecord || rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
		ours := slices.DeleteFunc(modelKeys(), func(k state.Key) bool { return k.Tenant != ref.Tenant })
		id = rapid.SampledFrom(ours).Draw(t, "recording").RecordID
	}
	c := rapid.SampledFrom([]state.SessionChange{
		state.Intend{},
		state.Intend{},
		state.Opened{RecordID: id},
		state.Unresolve{Error: "lost"},
		state.Refuse{Error: "no"},
		state.Close{RecordID: id},
		state.Close{Error: "not open"},
		state.CloseFailed{Error: "x"},
	}).Draw(t, "change of a session")
	wantErr := m.told(m.session(ref), c)
	got, err := m.s.MoveConference(m.ctx(), ref, decided(c))
	if (err != nil) != (wantErr != nil) || err != nil && !errors.Is(err, state.ErrIllegal) {
		t.Fatalf("%T: the store says %v, the model %v", c, err, wantErr)
	}
	if err == nil {
		m.same(t, "session", m.session(ref), got)
	}
}

// lose is what a start does to the sessions.
func (m *machine) lose(t *rapid.T) {
	for _, ref := range modelSessions() {
		if s := m.session(ref); s.Status == state.SessionOpening {
			got, err := m.s.Session(m.ctx(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.told(s, state.Unresolve{Error: got.Error}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (m *machine) compareSessions(t *rapid.T) {
	var want []state.Session
	for _, s := range slices.SortedFunc(maps.Values(m.sessions), func(a, b state.Session) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Kind, b.Kind))
	}) {
		got, err := m.s.Session(m.ctx(), s.ConferenceRef)
		if err != nil {
			t.Fatal(err)
		}
		m.same(t, s.String(), s, got)
		if s.Status.Pending() {
			want = append(want, s)
		}
	}
	open, err := m.s.OpenSessions(m.ctx(), "")
	if err != nil {
		t.Fatal(err)
	}
	m.same(t, "open sessions", want, open)
}

// compareBacklog tells from the recordings what is pending.
func (m *machine) compareBacklog(t *rapid.T) {
	want := m.pending("acme")
	b, err := m.s.Backlog(m.ctx(), "acme", 100)
	if err != nil {
		t.Fatal(err)
	}
	rank := func(f state.FileRef) (int64, int64, string) {
		file, _ := m.recording(f.Key).File(f.FileID)
		deadline, start := int64(1<<62), file.StartTime
		if !file.Deadline.IsZero() {
			deadline = file.Deadline.Unix()
		}
		if start.IsZero() {
			start = file.DiscoveredAt
		}
		return deadline, start.Unix(), f.String()
	}
	slices.SortFunc(want, func(a, b state.FileRef) int {
		d, s, id := rank(a)
		d2, s2, id2 := rank(b)
		return cmp.Or(cmp.Compare(d, d2), cmp.Compare(s, s2), cmp.Compare(id, id2))
	})
	var got []state.FileRef
	for _, f := range b.Files {
		got = append(got, f.Ref)
	}
	m.same(t, "backlog", want, got)
}
