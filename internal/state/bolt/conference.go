package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.uber.org/zap"

	"archiver/internal/state"
)

func checkRefOf(ref state.ConferenceRef) error {
	err := errors.Join(checkName("tenant", ref.Tenant), checkName("conference key", ref.ConferenceKey))
	if ref.Kind != state.KindRecord && ref.Kind != state.KindLive {
		err = errors.Join(err, fmt.Errorf("there is no session of kind %q", ref.Kind))
	}
	return err
}

// loadSession reads a session; zero Status if there never was one.
func (t *txn) loadSession(ref state.ConferenceRef) (state.Session, error) {
	s := state.Session{ConferenceRef: ref}
	_, err := t.getJSON(bConferences, sessionKey(ref), &s)
	return s, err
}

// MoveConference implements state.Conferences.
func (s *Store) MoveConference(ctx context.Context, ref state.ConferenceRef, decide state.DecideSession) (state.Session, error) {
	if err := checkRefOf(ref); err != nil {
		return state.Session{}, err
	}
	var out state.Session
	err := s.update(ctx, func(t *txn) (err error) { out, err = s.moveConference(t, ref, decide); return err })
	if err != nil {
		return state.Session{}, err
	}
	return out, nil
}

func (s *Store) moveConference(t *txn, ref state.ConferenceRef, decide state.DecideSession) (state.Session, error) {
	before, err := t.loadSession(ref)
	if err != nil {
		return before, err
	}
	c, err := s.askSession(decide, before)
	if err != nil || c == nil {
		return before, err
	}
	after, event, err := state.ApplySession(before, c, s.now())
	if err != nil {
		return before, err
	}
	told := state.Key{Tenant: ref.Tenant, RecordID: event.RecordID}
	if told.RecordID != "" {
		if err := checkKey(told); err != nil {
			return before, err
		}
	}
	if err := t.saveSession(after); err != nil {
		return before, err
	}
	// The session's event goes first: the one before a recording is tracked
	// may be that it was untracked, and the last one of what is not there is.
	if err := t.appendEvents([]state.Event{event}); err != nil {
		return before, err
	}
	if told.RecordID == "" {
		return after, nil
	}
	_, err = s.change(t, told, func(r state.Recording) ([]state.Change, error) {
		switch {
		case r.Status == "":
			return []state.Change{state.Track{}, state.Describe{ConferenceKey: ref.ConferenceKey}}, nil
		case r.Status == state.Waiting && after.Status == state.SessionClosed:
			// It may have waited for the whole meeting: from now on there is
			// something to be had, so its interval begins anew.
			p := r.Poll
			p.Interval, p.NextAt = 0, s.now()
			return []state.Change{state.Polled{Poll: p}}, nil
		}
		return nil, nil
	})
	return after, err
}

func (t *txn) saveSession(s state.Session) error {
	key := sessionKey(s.ConferenceRef)
	if err := t.putJSON(bConferences, key, s); err != nil {
		return err
	}
	if s.Status.Pending() {
		return t.putChanged(bConferencesOpen, key, seal(key, formatIndex, nil))
	}
	return t.del(bConferencesOpen, key)
}

// askSession treats a panic of the caller's code as ask does.
func (s *Store) askSession(decide state.DecideSession, now state.Session) (c state.SessionChange, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decide on %s: panic: %v", now.ConferenceRef, p)
			s.log.Error("a decision panicked", zap.Error(err), zap.ByteString("stack", debug.Stack()))
		}
	}()
	return decide(now)
}

// Session implements state.Conferences.
func (s *Store) Session(ctx context.Context, ref state.ConferenceRef) (state.Session, error) {
	if err := checkRefOf(ref); err != nil {
		return state.Session{}, fmt.Errorf("%w: %w", state.ErrNotFound, err)
	}
	var out state.Session
	err := s.view(ctx, func(t *txn) (err error) { out, err = t.loadSession(ref); return err })
	switch {
	case err != nil:
		return state.Session{}, err
	case out.Status == "":
		return state.Session{}, fmt.Errorf("%s: %w", ref, state.ErrNotFound)
	}
	return out, nil
}

// OpenSessions implements state.Conferences.
func (s *Store) OpenSessions(ctx context.Context, tenant string) ([]state.Session, error) {
	var prefix []byte
	if tenant != "" {
		if err := checkName("tenant", tenant); err != nil {
			return nil, nil //nolint:nilerr // what cannot be stored has no sessions
		}
		prefix = tenantKey(tenant)
	}
	var out []state.Session
	err := s.view(ctx, func(t *txn) error {
		c := t.cursor(bConferencesOpen, prefix)
		for k, v := c.first(); k != nil; k, v = c.next() {
			if _, err := unseal(bConferencesOpen, k, v, formatIndex); err != nil {
				return err
			}
			ref, ok := parseSessionKey(k)
			if !ok {
				return &damage{bConferencesOpen, bytes.Clone(k), "the key is no session"}
			}
			one, err := t.loadSession(ref)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return nil
	})
	return out, err
}

// unresolve makes unresolved what was opening when the process that had the
// file before ended: no call is under way, and its answer is lost.
func (s *Store) unresolve(ctx context.Context) error {
	open, err := s.OpenSessions(ctx, "")
	if err != nil {
		return err
	}
	for _, one := range open {
		if one.Status != state.SessionOpening {
			continue
		}
		s.log.Warn("the archiver ended before the vendor's answer was recorded", zap.Stringer("session", one.ConferenceRef))
		lost := state.Unresolve{Error: "the archiver ended before the vendor's answer was recorded"}
		_, err := s.MoveConference(ctx, one.ConferenceRef, func(state.Session) (state.SessionChange, error) { return lost, nil })
		if err != nil {
			return err
		}
	}
	return nil
}
