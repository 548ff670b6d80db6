package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"archiver/internal/state"
)

// checker reads everything once, in key order. What it keeps does not grow
// with the number of recordings.
type checker struct {
	ctx    context.Context //nolint:containedctx // one run of a check, not kept
	t      *txn
	report func(problem string)

	// want counts the index entries that the recordings call for. As each one
	// was found, equal numbers mean that there are no others.
	want    map[string]int
	totals  map[string]*state.Totals
	partial bool // a recording could not be read: the numbers say nothing
}

// Check implements state.Maintenance, on one snapshot beside all writers.
func (s *Store) Check(ctx context.Context, report func(problem string)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	tx, m, err := s.snapshot()
	if err != nil {
		return err
	}
	pages := &pageCheck{ctx: ctx, f: s.file, m: m, report: func(format string, a ...any) {
		report(fmt.Sprintf(format, a...))
	}}
	c := &checker{
		ctx: ctx, t: s.newTxn(tx), report: report,
		want: map[string]int{}, totals: map[string]*state.Totals{},
	}
	if err = pages.run(); err == nil {
		err = c.run()
	}
	if err != nil {
		err = fmt.Errorf("check state %s: %w", s.path, err)
	}
	return errors.Join(err, s.rollback(tx))
}

// snapshot begins a transaction and finds the meta page that it stands on,
// which the next commit but one would overwrite.
func (s *Store) snapshot() (*bbolt.Tx, meta, error) {
	s.commits.Lock()
	defer s.commits.Unlock()
	tx, err := s.begin()
	if err != nil {
		return nil, meta{}, err
	}
	metas, err := readMetas(s.file)
	for _, m := range metas {
		if m.txid == uint64(tx.ID()) {
			return tx, m, nil
		}
	}
	if err == nil {
		err = errMetaPages
	}
	return nil, meta{}, errors.Join(damaged(s.path, err), s.rollback(tx))
}

func (c *checker) run() error {
	sections := []struct {
		bucket string
		fn     func() error
	}{
		{bRecordings, c.recordings},
		{bFiles, c.files},
		{bKeys, c.reservations},
		{bParts, c.parts},
		{bEvents, c.events},
		{bEventsOf, c.eventsOf},
		{bConferences, c.sessions},
		{bEventsOfConference, c.eventsOfConference},
		{bWarrants, c.warrants},
		{bFacts, c.facts},
		{bTotals, c.counters},
	}
	for _, b := range []string{bByStatus, bByConference, bPoll, bManifest, bDelete, bConfirm, bTransfer, bDelayed, bPending, bWarrantsAt, bConferencesOpen} {
		sections = append(sections, struct {
			bucket string
			fn     func() error
		}{b, func() error { return c.index(b) }})
	}
	for _, s := range sections {
		// A section that cannot be read must not hide the others.
		err := guard(s.fn)
		if _, ok := errors.AsType[*panicked](err); ok {
			c.bad(s.bucket, "cannot be read: %v", err)
			c.partial, err = true, nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) bad(bucket, format string, a ...any) {
	c.report(bucket + ": " + fmt.Sprintf(format, a...))
}

// each calls fn for every entry of a bucket. What fn returns is a problem of
// the entry, and the next one follows.
func (c *checker) each(bucket string, fn func(k, v []byte) error) error {
	cur := c.t.cursor(bucket, nil)
	for k, v := cur.first(); k != nil; k, v = cur.next() {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := fn(k, v); err != nil {
			c.report(err.Error())
		}
	}
	return nil
}

func broken(bucket string, k []byte, format string, a ...any) error {
	return &damage{bucket, bytes.Clone(k), fmt.Sprintf(format, a...)}
}

func (c *checker) recordings() error {
	return c.each(bRecordings, func(k, _ []byte) error {
		key, rest, ok := parseRecordingKey(k)
		if !ok || len(rest) > 0 {
			return broken(bRecordings, k, "the key is no recording")
		}
		r, err := c.t.load(key)
		if err != nil {
			c.partial = true
			return err
		}
		for _, p := range r.Problems() {
			c.bad(bRecordings, "%s", p)
		}
		for _, e := range entries(r) {
			c.entry(r, e)
		}
		for _, f := range r.Files {
			c.reserved(state.FileRef{Key: key, FileID: f.ID}, f)
		}
		if r.Deletion.WarrantID != "" {
			c.covered(r)
		}
		if c.totals[r.Tenant] == nil {
			c.totals[r.Tenant] = &state.Totals{Recordings: map[state.Status]int{}, Files: map[state.Phase]int{}}
		}
		count(c.totals[r.Tenant], r, 1)
		return c.replay(r)
	})
}

// entry looks for an index entry that must be there; of a delayed file, one of
// two.
func (c *checker) entry(r state.Recording, e entry) {
	v := c.t.get(e.bucket, []byte(e.key))
	if e.ready != "" {
		if ready := c.t.get(bTransfer, []byte(e.ready)); ready != nil {
			c.want[bTransfer]++
			if v != nil {
				c.bad(bDelayed, "%s: a file is both delayed and ready", r.ID())
				c.want[bDelayed]++
			}
			return
		}
	}
	if v == nil {
		c.bad(e.bucket, "%s has no entry", r.ID())
		return
	}
	c.want[e.bucket]++
	if p, err := unseal(e.bucket, []byte(e.key), v, formatIndex); err == nil && string(p) != e.payload {
		c.bad(e.bucket, "%s: the entry says something else", r.ID())
	}
}

func (c *checker) reserved(ref state.FileRef, f state.File) {
	k := reservationKey(f.Dest, f.Key)
	owner, err := []byte(nil), error(nil)
	if v := c.t.get(bKeys, k); v != nil {
		owner, err = unseal(bKeys, k, v, formatRaw)
	}
	if err == nil && !bytes.Equal(owner, fileKey(ref)) {
		c.bad(bKeys, "%s: its key %s is not reserved for it", ref, f.Key)
	}
}

// covered looks for the warrant under which a source was, or is, deleted.
func (c *checker) covered(r state.Recording) {
	var w state.Warrant
	found, err := c.t.getJSON(bWarrants, warrantKey(r.Tenant, r.Deletion.WarrantID), &w)
	switch {
	case err != nil: // told of with the warrants
	case !found:
		c.bad(bWarrants, "%s is %s under %s, which is not stored", r.ID(), r.Status, r.Deletion.WarrantID)
	case !slices.Contains(w.Covers, r.RecordID):
		c.bad(bWarrants, "%s is %s under %s, which does not cover it", r.ID(), r.Status, w.ID)
	}
}

func (c *checker) files() error {
	return c.each(bFiles, func(k, v []byte) error {
		var f state.File
		if err := unsealJSON(bFiles, k, v, &f); err != nil {
			return err
		}
		key, id, ok := parseRecordingKey(k)
		if !ok || string(id) != f.ID {
			return broken(bFiles, k, "is the file %s", f.ID)
		}
		if c.t.get(bRecordings, recordingKey(key)) == nil {
			return broken(bFiles, k, "its recording is not there")
		}
		return nil
	})
}

func (c *checker) reservations() error {
	return c.each(bKeys, func(k, v []byte) error {
		owner, err := unseal(bKeys, k, v, formatRaw)
		if err != nil {
			return err
		}
		var f state.File
		found, err := c.t.getJSON(bFiles, owner, &f)
		if err == nil && (!found || !bytes.Equal(reservationKey(f.Dest, f.Key), k)) {
			return broken(bKeys, k, "is reserved for %q, which has another key or is not there", owner)
		}
		return nil
	})
}

func (c *checker) parts() error {
	return c.each(bParts, func(k, v []byte) error {
		var p state.Part
		if err := unsealJSON(bParts, k, v, &p); err != nil {
			return err
		}
		key, rest, ok := parseRecordingKey(k)
		if !ok {
			return broken(bParts, k, "the key is no part")
		}
		id, _, ok := cutString(rest)
		ref := state.FileRef{Key: key, FileID: id}
		if !ok || !bytes.Equal(partKey(ref, p.Number), k) {
			return broken(bParts, k, "is part %d", p.Number)
		}
		var f state.File
		found, err := c.t.getJSON(bFiles, fileKey(ref), &f)
		if err == nil && (!found || f.Upload == nil || f.Upload.ID == "") {
			return broken(bParts, k, "its file has no upload")
		}
		return nil
	})
}

func (c *checker) warrants() error {
	n := 0
	err := c.each(bWarrants, func(k, v []byte) error {
		var w state.Warrant
		if err := unsealJSON(bWarrants, k, v, &w); err != nil {
			return err
		}
		if !bytes.Equal(warrantKey(w.Tenant, w.ID), k) {
			return broken(bWarrants, k, "is the warrant %s of %s", w.ID, w.Tenant)
		}
		n++
		if c.t.get(bWarrantsAt, warrantAtKey(w.Tenant, w.At, w.ID)) == nil {
			return broken(bWarrantsAt, k, "has no entry")
		}
		return nil
	})
	c.want[bWarrantsAt] = n
	return err
}

func (c *checker) facts() error {
	return c.each(bFacts, func(k, v []byte) error {
		_, err := unseal(bFacts, k, v, formatRaw)
		return err
	})
}

func (c *checker) counters() error {
	if c.partial {
		return nil
	}
	found := map[string]bool{}
	err := c.t.eachTenant(func(tenant string, n state.Totals) {
		found[tenant] = true
		want := c.totals[tenant]
		if want == nil {
			want = &state.Totals{}
		}
		if n.Bytes != want.Bytes || !maps.Equal(n.Recordings, want.Recordings) || !maps.Equal(n.Files, want.Files) {
			c.bad(bTotals, "%s: the counters say %v, there are %v", tenant, n, *want)
		}
	})
	if err != nil {
		c.report(err.Error())
	}
	for tenant := range c.totals {
		if !found[tenant] {
			c.bad(bTotals, "%s has no counters", tenant)
		}
	}
	return nil
}
