package bolt

import (
	"bytes"

	"archiver/internal/state"
)

// events checks that the numbers run from 1 without a gap, and that each event
// is found by its recording.
func (c *checker) events() error {
	last := uint64(0)
	return c.each(bEvents, func(k, v []byte) error {
		e, err := event(k, v)
		seq := e.Seq
		if seq != last+1 {
			c.bad(bEvents, "event %d follows event %d", seq, last)
		}
		last = seq
		if err != nil {
			return err
		}
		if ref, ok := e.Conference(); ok {
			switch {
			case c.t.get(bEventsOfConference, eventOfConferenceKey(ref, seq)) == nil:
				return broken(bEventsOfConference, k, "event %d of %s has no entry", seq, ref)
			case c.t.get(bConferences, sessionKey(ref)) == nil:
				return broken(bEvents, k, "tells of %s, which is not there", ref)
			case e.RecordID == "":
				return nil
			}
		}
		key := state.Key{Tenant: e.Tenant, RecordID: e.RecordID}
		switch {
		case c.t.get(bEventsOf, eventOfKey(key, seq)) == nil:
			return broken(bEventsOf, k, "event %d of %s has no entry", seq, key)
		case c.t.get(bRecordings, recordingKey(key)) == nil:
			return c.forgotten(key, seq)
		}
		return nil
	})
}

// forgotten holds that a recording which is not there was untracked: its last
// event says so. With that one all of them are followed.
func (c *checker) forgotten(key state.Key, seq uint64) error {
	prefix := recordingKey(key)
	k, v := c.t.cursor(bEventsOf, prefix).before(eventOfKey(key, never))
	last, err := c.t.eventOf(k, v, prefix)
	switch {
	case err != nil:
		return nil //nolint:nilerr // told of with the index
	case last.Type != state.EventUntracked:
		return broken(bEvents, sequenceKey(seq), "tells of %s, which is not there", key)
	case last.Seq != seq:
		return nil
	}
	return c.replay(state.Recording{Tenant: key.Tenant, RecordID: key.RecordID})
}

func (c *checker) eventsOf() error {
	return c.each(bEventsOf, func(k, v []byte) error {
		key, seq, ok := parseRecordingKey(k)
		if !ok || len(seq) != 8 {
			return broken(bEventsOf, k, "the key is no event")
		}
		e, err := c.t.eventOf(k, v, recordingKey(key))
		if err == nil && (e.Tenant != key.Tenant || e.RecordID != key.RecordID) {
			return broken(bEventsOf, k, "names an event of %s/%s", e.Tenant, e.RecordID)
		}
		return err
	})
}

// replay follows the events of a recording (the zero Status: of one that was
// untracked): each move must begin where the one
// before it ended, and the last must end at what is true now.
func (c *checker) replay(r state.Recording) error {
	status := ""
	phases := make(map[string]string, len(r.Files))
	prefix := recordingKey(r.ID())
	cur := c.t.cursor(bEventsOf, prefix)
	for k, v := cur.first(); k != nil; k, v = cur.next() {
		e, err := c.t.eventOf(k, v, prefix)
		if err != nil {
			return broken(bRecordings, bytes.Clone(prefix), "its events cannot be followed: %v", err)
		}
		if e.ConferenceKey != "" {
			continue // a session's
		}
		if e.Type == state.EventUntracked {
			if e.From != status {
				c.bad(bEvents, "%s: event %d untracks it from %q, but it was %q", r.ID(), e.Seq, e.From, status)
			}
			status = ""
			clear(phases)
			continue
		}
		at, what := status, "it"
		if e.FileID != "" {
			at, what = phases[e.FileID], "file "+e.FileID
		}
		if e.To != "" && e.From != at {
			c.bad(bEvents, "%s: event %d moves %s from %q, but it was %q", r.ID(), e.Seq, what, e.From, at)
		}
		switch {
		case e.To == "":
		case e.FileID != "":
			phases[e.FileID] = e.To
		default:
			status = e.To
		}
	}
	if status != string(r.Status) {
		c.bad(bEvents, "%s is %s, but its events lead to %q", r.ID(), r.Status, status)
	}
	for _, f := range r.Files {
		if phases[f.ID] != string(f.Phase) {
			c.bad(bEvents, "%s/%s is %s, but its events lead to %q", r.ID(), f.ID, f.Phase, phases[f.ID])
		}
	}
	return nil
}
