package bolt

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
)

// maxPulled is how many pieces of work of a tenant and kind one opening pulls
// back.
const maxPulled = 10_000

// pullBack makes work due now that, by the clock of now, nobody would have put
// off for longer than horizon: it was put off under a clock that was far ahead,
// and would be stranded. Should the clock be far behind instead, it is tried
// too early, which does no harm. Files that were promoted under that clock are
// left to Claim: here all on their way would have to be looked at. Cost: what is
// pulled.
func (s *Store) pullBack(ctx context.Context, horizon time.Duration) error {
	now := s.now()
	limit := now.Add(horizon)
	var late []state.Key
	err := s.view(ctx, func(t *txn) (err error) { late, err = t.dueAfter(instant(limit)); return err })
	if err != nil || len(late) == 0 {
		return err
	}
	s.log.Warn("work was put off under a clock that was far ahead: it is due now", zap.Int("recordings", len(late)))
	for batch := range slices.Chunk(late, trackBatch) {
		err := s.update(ctx, func(t *txn) error {
			for _, k := range batch {
				if _, err := s.change(t, k, pulled(now, limit)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dueAfter returns the recordings of which something waits until after limit.
func (t *txn) dueAfter(limit uint64) ([]state.Key, error) {
	late := map[state.Key]bool{}
	var tenants []string
	err := t.eachTenant(func(tenant string, _ state.Totals) { tenants = append(tenants, tenant) })
	for _, tenant := range tenants {
		prefix := tenantKey(tenant)
		for _, b := range []string{bPoll, bManifest, bDelete, bDelayed} {
			c := t.cursor(b, prefix)
			k, _ := c.seek(binary.BigEndian.AppendUint64(prefix, limit+1))
			for n := 0; k != nil && n < maxPulled; n++ {
				if key, ok := indexedKey(b, k); ok {
					late[key] = true
				}
				k, _ = c.next()
			}
		}
	}
	return slices.Collect(maps.Keys(late)), err
}

// pulled makes due what waits until after limit. A deletion whose files were
// verified later than now is left: its grace time has not begun.
func pulled(now, limit time.Time) state.Decide {
	return func(r state.Recording) (out []state.Change, err error) {
		if r.Poll.NextAt.After(limit) {
			p := r.Poll
			p.NextAt = now
			out = append(out, state.Polled{Poll: p})
		}
		if r.Manifest.Due && r.Manifest.NotBefore.After(limit) {
			out = append(out, state.ManifestFailed{Error: r.Manifest.Error, RetryAt: now})
		}
		if d := r.Deletion; r.Deletable() && d.EligibleFrom.After(limit) && !r.VerifiedAt().After(now) {
			out = append(out, state.DeletionFailed{Detail: d.Error, EligibleFrom: now, Backoff: d.Backoff})
		}
		for _, f := range r.Files {
			if f.Phase != state.Verified && f.NextAttemptAt.After(limit) {
				out = append(out, state.Fail{FileID: f.ID, Error: f.Error, RetryAt: now})
			}
		}
		return out, nil
	}
}
