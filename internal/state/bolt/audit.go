package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
)

// warrantWindow is what "per hour" means.
const warrantWindow = time.Hour

func refuse(clause, format string, a ...any) error {
	return &state.WarrantRefused{Clause: clause, Detail: fmt.Sprintf(format, a...)}
}

// StoreWarrant implements state.Audit.
func (s *Store) StoreWarrant(ctx context.Context, w state.Warrant, perHour int, permit func() error) (state.Recording, error) {
	k := state.Key{Tenant: w.Tenant, RecordID: w.RecordID}
	if err := errors.Join(checkKey(k), checkName("warrant ID", w.ID)); err != nil {
		return state.Recording{}, err
	}
	var r state.Recording
	err := s.update(ctx, func(t *txn) (err error) {
		r, err = s.storeWarrant(t, k, w, perHour, permit)
		return err
	})
	if err != nil {
		return state.Recording{}, err
	}
	return r, nil
}

func (s *Store) storeWarrant(t *txn, k state.Key, w state.Warrant, perHour int, permit func() error) (r state.Recording, err error) {
	if err := s.askPermit(permit); err != nil {
		return r, refuse("disabled", "%v", err)
	}
	key := warrantKey(w.Tenant, w.ID)
	if t.get(bWarrants, key) != nil {
		return r, fmt.Errorf("warrant %s of %s is stored already: %w", w.ID, w.Tenant, state.ErrIllegal)
	}
	n, err := t.warrantsFrom(w.Tenant, instant(w.At.Add(-warrantWindow))+1, perHour)
	if err != nil {
		return r, err
	}
	if n >= perHour {
		return r, refuse("limit", "%d in the last hour, %d are allowed", n, perHour)
	}
	before, err := t.load(k)
	if err != nil {
		return r, err
	}
	if before.Status == "" {
		return r, fmt.Errorf("%s: %w", k, state.ErrNotFound)
	}
	covered, err := t.checkEvidence(w)
	if err != nil {
		return r, err
	}
	var failed error
	after, events, err := state.ApplyWarrant(before, t.env(s, &failed), w)
	if err != nil {
		return r, err
	}
	if err := t.putJSON(bWarrants, key, w); err != nil {
		return r, err
	}
	if err := t.putIndex(bWarrantsAt, warrantAtKey(w.Tenant, w.At, w.ID), nil); err != nil {
		return r, err
	}
	if err := t.save(before, after, events); err != nil {
		return r, err
	}
	delete(covered, w.RecordID)
	return after, s.noteWarrant(t, w, covered)
}

// noteWarrant notes a warrant in the other recordings that it covers.
func (s *Store) noteWarrant(t *txn, w state.Warrant, others map[string]state.Recording) error {
	for _, id := range slices.Sorted(maps.Keys(others)) {
		after, events, err := state.ApplyCovered(others[id], state.Env{At: s.now()}, w)
		if err != nil {
			return err
		}
		if err := t.save(others[id], after, events); err != nil {
			return err
		}
	}
	return nil
}

// askPermit treats a panic of the caller's code as a no.
func (s *Store) askPermit(permit func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("permit: panic: %v", p)
			s.log.Error("a permit panicked", zap.Error(err), zap.ByteString("stack", debug.Stack()))
		}
	}()
	return permit()
}

// checkEvidence holds the warrant against what is true now and returns the
// recordings that it covers.
func (t *txn) checkEvidence(w state.Warrant) (map[string]state.Recording, error) {
	if !slices.Contains(w.Covers, w.RecordID) || len(w.Evidence) == 0 {
		return nil, refuse("evidence", "there is none of %s itself", w.RecordID)
	}
	covered := make(map[string]state.Recording, len(w.Covers))
	for _, id := range w.Covers {
		r, err := t.load(state.Key{Tenant: w.Tenant, RecordID: id})
		if err != nil {
			return nil, err
		}
		switch {
		case r.Status == "":
			return nil, refuse("evidence", "%s is not tracked", r.ID())
		case r.Hold:
			return nil, refuse("hold", "%s is on hold", r.ID())
		}
		covered[id] = r
	}
	for _, e := range w.Evidence {
		r, ok := covered[e.RecordID]
		if !ok {
			return nil, refuse("evidence", "file %s is of %s, which the warrant does not cover", e.FileID, e.RecordID)
		}
		f, ok := r.File(e.FileID)
		if !ok {
			return nil, refuse("evidence", "%s has no file %s", r.ID(), e.FileID)
		}
		if what := contradiction(e, f); what != "" {
			return nil, refuse("evidence", "%s/%s %s", r.ID(), e.FileID, what)
		}
	}
	return covered, nil
}

// contradiction says what keeps a file from being deleted on that evidence.
func contradiction(e state.Evidence, f state.File) string {
	switch {
	case f.Phase != state.Verified:
		return "is " + string(f.Phase)
	case f.Superseded:
		return "is superseded"
	case f.Marks.Any():
		return "is marked " + f.Marks.String()
	case e.Level != state.LevelFullObject && e.Level != state.LevelReadback:
		return "is proven at " + string(e.Level) + " only"
	case e.Sums != f.Sums || e.Size != f.Size:
		return "has other checksums"
	case e.Dest != f.Dest || e.Key != f.Key:
		return "has another destination"
	case !e.Object.Same(f.Object):
		return "has another object"
	}
	return ""
}

// warrantsFrom counts a tenant's warrants from an instant on, up to a limit
// where one is given.
func (t *txn) warrantsFrom(tenant string, from uint64, limit int) (n int, err error) {
	prefix := tenantKey(tenant)
	c := t.cursor(bWarrantsAt, prefix)
	for k, v := c.seek(listKey(prefix, from, "")); k != nil; k, v = c.next() {
		if _, err := unseal(bWarrantsAt, k, v, formatIndex); err != nil {
			return 0, err
		}
		if n++; n == limit {
			break
		}
	}
	return n, nil
}

// Warrant implements state.Audit.
func (s *Store) Warrant(ctx context.Context, tenant, id string) (state.Warrant, error) {
	var w state.Warrant
	found := false
	if len(tenant) > maxID {
		return w, fmt.Errorf("warrant %s: %w", id, state.ErrNotFound)
	}
	err := s.view(ctx, func(t *txn) (err error) {
		found, err = t.getJSON(bWarrants, warrantKey(tenant, id), &w)
		return err
	})
	switch {
	case err != nil:
		return state.Warrant{}, err
	case !found:
		return w, fmt.Errorf("warrant %s of %s: %w", id, tenant, state.ErrNotFound)
	}
	return w, nil
}

// WarrantsSince implements state.Audit.
func (s *Store) WarrantsSince(ctx context.Context, tenant string, since time.Time) (n int, err error) {
	if len(tenant) > maxID {
		return 0, nil
	}
	err = s.view(ctx, func(t *txn) (err error) {
		n, err = t.warrantsFrom(tenant, instant(since), 0)
		return err
	})
	return n, err
}
