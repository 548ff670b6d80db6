package bolt

import (
	"bytes"
	"slices"

	"archiver/internal/state"
)

// index checks the entries of an index. Those that are called for were found
// with their recordings; only where the numbers differ is each one followed
// back, to name it.
func (c *checker) index(bucket string) error {
	n := 0
	err := c.each(bucket, func(k, v []byte) error {
		n++
		_, err := unseal(bucket, k, v, formatIndex)
		return err
	})
	if err != nil || c.partial || n == c.want[bucket] {
		return err
	}
	before := n - c.want[bucket]
	err = c.each(bucket, func(k, _ []byte) error {
		if !c.calledFor(bucket, k) {
			before--
			return broken(bucket, k, "nothing calls for the entry")
		}
		return nil
	})
	if before != 0 {
		c.bad(bucket, "there are %d entries, %d are called for", n, c.want[bucket])
	}
	return err
}

// calledFor reports whether a recording, or a warrant, has such an entry.
func (c *checker) calledFor(bucket string, k []byte) bool {
	if bucket == bWarrantsAt {
		tenant, rest, ok := cutString(k)
		return ok && len(rest) >= 8 && c.t.get(bWarrants, warrantKey(tenant, string(rest[8:]))) != nil
	}
	key, ok := indexedKey(bucket, k)
	if !ok {
		return false
	}
	r, err := c.t.load(key)
	if err != nil {
		return true // told of already
	}
	return slices.ContainsFunc(entries(r), func(e entry) bool {
		return e.bucket == bucket && e.key == string(k) || bucket == bTransfer && e.ready == string(k)
	})
}

// indexedKey tells which recording an entry is about.
func indexedKey(bucket string, k []byte) (key state.Key, ok bool) {
	switch bucket {
	case bByStatus, bByConference:
		tenant, rest, ok := cutString(k)
		skip := 1 // the status
		if ok && bucket == bByConference && len(rest) > 0 {
			skip += int(rest[0])
		}
		if !ok || len(rest) < skip+8 {
			return key, false
		}
		return state.Key{Tenant: tenant, RecordID: string(rest[skip+8:])}, true
	case bTransfer:
		_, f, ok := parseWorkKey(k, 2)
		return f.Key, ok
	default:
		_, f, ok := parseWorkKey(k, 1)
		return f.Key, ok
	}
}

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
		key := state.Key{Tenant: e.Tenant, RecordID: e.RecordID}
		switch {
		case c.t.get(bEventsOf, eventOfKey(key, seq)) == nil:
			return broken(bEventsOf, k, "event %d of %s has no entry", seq, key)
		case c.t.get(bRecordings, recordingKey(key)) == nil:
			return broken(bEvents, k, "tells of %s, which is not there", key)
		}
		return nil
	})
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

// replay follows the events of a recording: each move must begin where the one
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
