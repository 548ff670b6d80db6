package bolt

import (
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

// calledFor reports whether a recording, a warrant or a session has such an
// entry.
func (c *checker) calledFor(bucket string, k []byte) bool {
	if bucket == bWarrantsAt {
		tenant, rest, ok := cutString(k)
		return ok && len(rest) >= 8 && c.t.get(bWarrants, warrantKey(tenant, string(rest[8:]))) != nil
	}
	if bucket == bConferencesOpen {
		var s state.Session
		found, err := c.t.getJSON(bConferences, k, &s)
		return err != nil || found && s.Status.Pending()
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
	case bTransfer, bPending:
		_, f, ok := parseWorkKey(k, 2)
		return f.Key, ok
	default:
		_, f, ok := parseWorkKey(k, 1)
		return f.Key, ok
	}
}
