package bolt

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"archiver/internal/state"
)

// The buckets. See the package documentation.
const (
	bHeader       = "header"
	bRecordings   = "recordings"
	bFiles        = "files"
	bParts        = "parts"
	bKeys         = "keys"
	bEvents       = "events"
	bWarrants     = "warrants"
	bFacts        = "facts"
	bEventsOf     = "events_of"
	bWarrantsAt   = "warrants_at"
	bByStatus     = "by_status"
	bByConference = "by_conference"
	bPoll         = "poll"
	bManifest     = "manifest"
	bDelete       = "delete"
	bConfirm      = "confirm"
	bTransfer     = "transfer"
	bDelayed      = "delayed"
	bTotals       = "totals"

	// Since schema 2.
	bPending            = "pending"
	bConferences        = "conferences"
	bConferencesOpen    = "conferences_open"
	bEventsOfConference = "events_of_conference"
)

func buckets() []string {
	return []string{
		bHeader, bRecordings, bFiles, bParts, bKeys, bEvents, bWarrants, bFacts,
		bEventsOf, bWarrantsAt, bByStatus, bByConference, bPoll, bManifest, bDelete,
		bConfirm, bTransfer, bDelayed, bTotals,
		bPending, bConferences, bConferencesOpen, bEventsOfConference,
	}
}

// fill is how full a page is left when it is split. Where keys only grow there
// is no point in leaving room; where they grow mostly, not much. All others
// are split in the middle, unless many keys come in their order.
func (t *txn) fill(bucket string) float64 {
	switch bucket {
	case bEvents:
		return 0.95
	case bRecordings, bEventsOf:
		if t.dense {
			return 0.9
		}
		return bbolt.DefaultFillPercent
	case bByStatus, bByConference, bPoll, bManifest, bDelete, bTransfer, bDelayed, bPending, bWarrantsAt:
		return 0.9
	default:
		return bbolt.DefaultFillPercent
	}
}

// txn is a transaction with what is counted and kept during it.
type txn struct {
	tx     *bbolt.Tx
	memos  *memos
	steps  *atomic.Int64 // lookups and moves of cursors, for tests of cost
	writes int           // puts and deletes so far
	dense  bool          // recordings come in the order of their keys

	seq    uint64                   // of the last event; 0: not looked up yet
	totals map[string]*state.Totals // changed counters, written by flush
}

func (s *Store) newTxn(tx *bbolt.Tx) *txn { return &txn{tx: tx, memos: &s.memos, steps: &s.steps} }

// bucket returns a bucket that open has seen. One that vanished since is
// damage; the nil dereference that follows is caught by guard.
func (t *txn) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

func (t *txn) get(bucket string, key []byte) []byte {
	t.steps.Add(1)
	return t.bucket(bucket).Get(key)
}

func (t *txn) put(bucket string, key, value []byte) error {
	t.writes++
	b := t.bucket(bucket)
	b.FillPercent = t.fill(bucket)
	return b.Put(key, value)
}

// putChanged leaves alone what is there already.
func (t *txn) putChanged(bucket string, key, value []byte) error {
	if bytes.Equal(t.get(bucket, key), value) {
		return nil
	}
	return t.put(bucket, key, value)
}

func (t *txn) del(bucket string, key []byte) error {
	t.writes++
	return t.bucket(bucket).Delete(key)
}

func (t *txn) putIndex(bucket string, key, payload []byte) error {
	return t.put(bucket, key, seal(key, formatIndex, payload))
}

// getJSON reports whether the key is there.
func (t *txn) getJSON(bucket string, key []byte, into any) (bool, error) {
	v := t.get(bucket, key)
	if v == nil {
		return false, nil
	}
	return true, unsealJSON(bucket, key, v, into)
}

func (t *txn) putJSON(bucket string, key []byte, v any) error {
	b, err := sealJSON(key, v)
	if err != nil {
		return err
	}
	return t.putChanged(bucket, key, b)
}

// putNew is putJSON of what is not there yet.
func (t *txn) putNew(bucket string, key []byte, v any) error {
	b, err := sealJSON(key, v)
	if err != nil {
		return err
	}
	return t.put(bucket, key, b)
}

// cursor walks the keys of a bucket that begin with a prefix.
type cursor struct {
	c      *bbolt.Cursor
	t      *txn
	bucket string
	prefix []byte
}

func (t *txn) cursor(bucket string, prefix []byte) *cursor {
	return &cursor{c: t.bucket(bucket).Cursor(), t: t, bucket: bucket, prefix: prefix}
}

func (c *cursor) within(k, v []byte) ([]byte, []byte) {
	c.t.steps.Add(1)
	if k == nil || !bytes.HasPrefix(k, c.prefix) {
		return nil, nil
	}
	return k, v
}

func (c *cursor) first() (k, v []byte) { return c.within(c.c.Seek(c.prefix)) }

// seek goes to the first key that is not before at.
func (c *cursor) seek(at []byte) (k, v []byte) { return c.within(c.c.Seek(at)) }

func (c *cursor) next() (k, v []byte) { return c.within(c.c.Next()) }

func (c *cursor) prev() (k, v []byte) { return c.within(c.c.Prev()) }

// before goes to the last key that is before at.
func (c *cursor) before(at []byte) (k, v []byte) {
	if k, _ := c.c.Seek(at); k == nil {
		return c.within(c.c.Last())
	}
	return c.within(c.c.Prev())
}

// lastSequence is the number of the newest event.
func (t *txn) lastSequence() (uint64, error) {
	if t.seq > 0 {
		return t.seq, nil
	}
	t.steps.Add(1)
	k, _ := t.bucket(bEvents).Cursor().Last()
	if k == nil {
		return 0, nil
	}
	if len(k) != 8 {
		return 0, &damage{bEvents, bytes.Clone(k), "the key is no sequence number"}
	}
	return binary.BigEndian.Uint64(k), nil
}

// What a key says is not repeated in its value: with a million recordings that
// is a tenth of the file. The fields hide those that are embedded.
type (
	bareRecording struct {
		state.Recording
		Tenant   *struct{} `json:"tenant,omitempty"`
		RecordID *struct{} `json:"record_id,omitempty"`
	}
	bareEvent struct {
		state.Event
		Seq *struct{} `json:"seq,omitempty"`
	}
)

// event decodes an event and gives it the number that is its key.
func event(k, v []byte) (e state.Event, err error) {
	if len(k) != 8 {
		return e, &damage{bEvents, bytes.Clone(k), "the key is no sequence number"}
	}
	err = unsealJSON(bEvents, k, v, &e)
	e.Seq = binary.BigEndian.Uint64(k)
	return e, err
}

// appendEvents gives events their numbers and writes them.
func (t *txn) appendEvents(events []state.Event) error {
	if len(events) == 0 {
		return nil
	}
	seq, err := t.lastSequence()
	if err != nil {
		return err
	}
	for _, e := range events {
		seq++
		if err := t.putNew(bEvents, sequenceKey(seq), bareEvent{Event: e}); err != nil {
			return err
		}
		if e.RecordID != "" {
			k := state.Key{Tenant: e.Tenant, RecordID: e.RecordID}
			if err := t.putIndex(bEventsOf, eventOfKey(k, seq), nil); err != nil {
				return err
			}
		}
		if ref, ok := e.Conference(); ok {
			if err := t.putIndex(bEventsOfConference, eventOfConferenceKey(ref, seq), nil); err != nil {
				return err
			}
		}
	}
	t.seq = seq
	return nil
}

// totalsOf returns the counters of a tenant, to be changed in place.
func (t *txn) totalsOf(tenant string) (*state.Totals, error) {
	if n, ok := t.totals[tenant]; ok {
		return n, nil
	}
	n := &state.Totals{}
	if _, err := t.getJSON(bTotals, tenantKey(tenant), n); err != nil {
		return nil, err
	}
	if n.Recordings == nil {
		n.Recordings = map[state.Status]int{}
	}
	if n.Files == nil {
		n.Files = map[state.Phase]int{}
	}
	if t.totals == nil {
		t.totals = map[string]*state.Totals{}
	}
	t.totals[tenant] = n
	return n, nil
}

// flush writes the counters, once per transaction however many calls share it.
// A tenant without recordings has none.
func (t *txn) flush() error {
	for tenant, n := range t.totals {
		if len(n.Recordings) == 0 {
			if err := t.del(bTotals, tenantKey(tenant)); err != nil {
				return err
			}
			continue
		}
		if err := t.putJSON(bTotals, tenantKey(tenant), n); err != nil {
			return err
		}
	}
	return nil
}

// count adds (or, with -1, takes away) a recording in the counters.
func count(n *state.Totals, r state.Recording, d int) {
	if r.Status == "" {
		return
	}
	bump(n.Recordings, r.Status, d)
	for _, f := range r.Files {
		bump(n.Files, f.Phase, d)
		if f.Phase == state.Verified {
			n.Bytes += int64(d) * f.Size
		}
	}
}

func bump[K comparable](m map[K]int, k K, d int) {
	if m[k] += d; m[k] == 0 {
		delete(m, k)
	}
}
