package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"archiver/internal/state"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// position is where a recording stands in a list: newest first, then by tenant
// and recordId, backwards, so that it is the order of the keys reversed.
type position struct {
	at     uint64
	tenant string
	id     string
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.tenant, q.tenant), cmp.Compare(p.id, q.id))
}

func (p position) encode() string {
	b := binary.BigEndian.AppendUint64(nil, p.at)
	return base64.RawURLEncoding.EncodeToString(append(appendString(b, p.tenant), p.id...))
}

func decodePosition(s string) (p position, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 8 {
		return p, fmt.Errorf("cursor %q is not one of a page before", s)
	}
	p.at = binary.BigEndian.Uint64(b)
	tenant, id, ok := cutString(b[8:])
	if !ok {
		return p, fmt.Errorf("cursor %q is not one of a page before", s)
	}
	p.tenant, p.id = tenant, string(id)
	return p, nil
}

// source is one range of a list index, read backwards.
type source struct {
	c      *cursor
	tenant string
	since  uint64
	now    position
	done   bool
}

// set takes what the cursor has found.
func (s *source) set(k, v []byte) error {
	if k == nil {
		s.done = true
		return nil
	}
	if _, err := unseal(s.c.bucket, k, v, formatIndex); err != nil {
		return err
	}
	rest := k[len(s.c.prefix):]
	if len(rest) < 8 {
		return &damage{s.c.bucket, bytes.Clone(k), "the key is too short"}
	}
	s.now = position{at: binary.BigEndian.Uint64(rest), tenant: s.tenant, id: string(rest[8:])}
	s.done = s.now.at < s.since
	return nil
}

// start goes to the last entry that is before until and, where a page went
// before, behind what that page showed.
func (s *source) start(until uint64, after *position) error {
	bound := listKey(s.c.prefix, until, "")
	if after != nil {
		var b []byte
		switch c := cmp.Compare(s.tenant, after.tenant); {
		case c < 0:
			b = listKey(s.c.prefix, after.at+1, "")
		case c == 0:
			b = listKey(s.c.prefix, after.at, after.id)
		default:
			b = listKey(s.c.prefix, after.at, "")
		}
		if bytes.Compare(b, bound) < 0 {
			bound = b
		}
	}
	return s.set(s.c.before(bound))
}

// sources picks the most selective index that fits q. The ranges of all
// statuses (and tenants) merged are the list by time.
func (t *txn) sources(q state.Query) ([]*source, error) {
	tenants := []string{q.Tenant}
	if q.Tenant == "" {
		tenants = nil
		if err := t.eachTenant(func(name string, _ state.Totals) { tenants = append(tenants, name) }); err != nil {
			return nil, err
		}
	}
	statuses := q.Statuses
	if len(statuses) == 0 {
		statuses = state.Statuses()
	}
	statuses = slices.Compact(slices.Sorted(slices.Values(statuses)))
	var out []*source
	for _, tenant := range tenants {
		if q.ConferenceKey != "" {
			out = append(out, &source{c: t.cursor(bByConference, conferencePrefix(tenant, q.ConferenceKey)), tenant: tenant})
			continue
		}
		for _, st := range statuses {
			if statusCode(st) == 0 {
				continue
			}
			out = append(out, &source{c: t.cursor(bByStatus, statusPrefix(tenant, st)), tenant: tenant})
		}
	}
	return out, nil
}

// List implements state.Records.
func (s *Store) List(ctx context.Context, q state.Query) (state.Page, error) {
	limit := cmp.Or(q.Limit, defaultLimit)
	if limit < 1 || limit > maxLimit {
		return state.Page{}, fmt.Errorf("list: the limit %d is not 1 to %d", q.Limit, maxLimit)
	}
	if len(q.Tenant) > maxID {
		return state.Page{}, nil
	}
	var after *position
	if q.Cursor != "" {
		p, err := decodePosition(q.Cursor)
		if err != nil {
			return state.Page{}, fmt.Errorf("list: %w", err)
		}
		after = &p
	}
	var page state.Page
	err := s.view(ctx, func(t *txn) (err error) { page, err = t.list(ctx, q, limit, after); return err })
	if err != nil {
		return state.Page{}, err
	}
	return page, nil
}

func (t *txn) list(ctx context.Context, q state.Query, limit int, after *position) (page state.Page, err error) {
	all, err := t.sources(q)
	if err != nil {
		return page, err
	}
	for _, src := range all {
		src.since = instant(q.Since)
		if err := src.start(instantOr(q.Until, never), after); err != nil {
			return page, err
		}
	}
	var last position
	for {
		if err := ctx.Err(); err != nil {
			return page, err
		}
		all = slices.DeleteFunc(all, func(s *source) bool { return s.done })
		if len(all) == 0 {
			return page, nil
		}
		newest := slices.MaxFunc(all, func(a, b *source) int { return a.now.compare(b.now) })
		at := newest.now
		if err := newest.set(newest.c.prev()); err != nil {
			return page, err
		}
		r, err := t.indexed(newest.c.bucket, state.Key{Tenant: at.tenant, RecordID: at.id})
		if err != nil {
			return page, err
		}
		if !matches(r, q) {
			continue
		}
		if len(page.Items) == limit {
			page.NextCursor = last.encode()
			return page, nil
		}
		page.Items, last = append(page.Items, r), at
	}
}

// indexed loads a recording that an index names.
func (t *txn) indexed(bucket string, k state.Key) (state.Recording, error) {
	r, err := t.load(k)
	if err == nil && r.Status == "" {
		err = &damage{bucket, []byte(k.String()), "names a recording that is not there"}
	}
	return r, err
}

// Events implements state.Audit.
func (s *Store) Events(ctx context.Context, after uint64, limit int) ([]state.Event, error) {
	var out []state.Event
	err := s.view(ctx, func(t *txn) error {
		c := t.cursor(bEvents, nil)
		if after == never {
			return nil
		}
		for k, v := c.seek(sequenceKey(after + 1)); k != nil && len(out) < limit; k, v = c.next() {
			e, err := event(k, v)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// EventsOf implements state.Audit.
func (s *Store) EventsOf(ctx context.Context, k state.Key, limit int) ([]state.Event, error) {
	if err := checkKey(k); err != nil {
		return nil, nil //nolint:nilerr // what cannot be stored has no events
	}
	var out []state.Event
	err := s.view(ctx, func(t *txn) error {
		prefix := recordingKey(k)
		c := t.cursor(bEventsOf, prefix)
		for ik, v := c.before(eventOfKey(k, never)); ik != nil && len(out) < limit; ik, v = c.prev() {
			e, err := t.eventOf(ik, v, prefix)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		slices.Reverse(out)
		return nil
	})
	return out, err
}

// eventOf follows an entry of events_of.
func (t *txn) eventOf(ik, v, prefix []byte) (state.Event, error) {
	return t.follow(bEventsOf, ik, v, prefix)
}

// eventOfConference follows an entry of events_of_conference.
func (t *txn) eventOfConference(ik, v, prefix []byte) (state.Event, error) {
	return t.follow(bEventsOfConference, ik, v, prefix)
}

func (t *txn) follow(bucket string, ik, v, prefix []byte) (e state.Event, err error) {
	if _, err := unseal(bucket, ik, v, formatIndex); err != nil {
		return e, err
	}
	seq := ik[len(prefix):]
	found := t.get(bEvents, seq)
	if found == nil {
		return e, &damage{bucket, bytes.Clone(ik), "names an event that is not there"}
	}
	return event(seq, found)
}

// errNoSuchWork is a kind of work that does not exist: a fault of the caller.
var errNoSuchWork = errors.New("no such kind of work")
