package bolt

import (
	"slices"

	"archiver/internal/state"
)

// sessions checks each session and follows its events: the last one must lead
// to what is true now.
func (c *checker) sessions() error {
	return c.each(bConferences, func(k, v []byte) error {
		ref, ok := parseSessionKey(k)
		if !ok || checkRefOf(ref) != nil {
			return broken(bConferences, k, "the key is no session")
		}
		s := state.Session{ConferenceRef: ref}
		if err := unsealJSON(bConferences, k, v, &s); err != nil {
			c.partial = true
			return err
		}
		switch s.Status {
		case state.SessionOpening, state.SessionOpen, state.SessionUnresolved, state.SessionClosed, state.SessionRefused:
		default:
			return broken(bConferences, k, "has the unknown status %q", s.Status)
		}
		if s.Status.Pending() {
			if c.t.get(bConferencesOpen, k) == nil {
				c.bad(bConferencesOpen, "%s has no entry", ref)
			} else {
				c.want[bConferencesOpen]++
			}
		}
		return c.replaySession(s)
	})
}

func (c *checker) replaySession(s state.Session) error {
	status := ""
	prefix := conferencePrefix(s.Tenant, s.ConferenceKey)
	cur := c.t.cursor(bEventsOfConference, prefix)
	for k, v := cur.first(); k != nil; k, v = cur.next() {
		e, err := c.t.eventOfConference(k, v, prefix)
		if err != nil {
			return broken(bConferences, sessionKey(s.ConferenceRef), "its events cannot be followed: %v", err)
		}
		if ref, _ := e.Conference(); ref.Kind != s.Kind {
			continue
		}
		if e.From != status {
			c.bad(bEvents, "%s: event %d moves it from %q, but it was %q", s.ConferenceRef, e.Seq, e.From, status)
		}
		status = e.To
	}
	if status != string(s.Status) {
		c.bad(bEvents, "%s is %s, but its events lead to %q", s.ConferenceRef, s.Status, status)
	}
	return nil
}

func (c *checker) eventsOfConference() error {
	return c.each(bEventsOfConference, func(k, v []byte) error {
		key, seq, ok := parseRecordingKey(k)
		if !ok || len(seq) != 8 {
			return broken(bEventsOfConference, k, "the key is no event")
		}
		prefix := slices.Clone(k[:len(k)-8])
		e, err := c.t.eventOfConference(k, v, prefix)
		if err == nil && (e.Tenant != key.Tenant || e.ConferenceKey != key.RecordID) {
			return broken(bEventsOfConference, k, "names an event of conference %s/%s", e.Tenant, e.ConferenceKey)
		}
		return err
	})
}
