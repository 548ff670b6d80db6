package bolt

import (
	"context"
	"slices"

	"archiver/internal/state"
)

// Totals implements state.Records.
func (s *Store) Totals(ctx context.Context) (map[string]state.Totals, error) {
	out := map[string]state.Totals{}
	err := s.view(ctx, func(t *txn) error {
		return t.eachTenant(func(tenant string, n state.Totals) { out[tenant] = n })
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *txn) eachTenant(fn func(tenant string, n state.Totals)) error {
	c := t.cursor(bTotals, nil)
	for k, v := c.first(); k != nil; k, v = c.next() {
		var n state.Totals
		if err := unsealJSON(bTotals, k, v, &n); err != nil {
			return err
		}
		tenant, rest, ok := cutString(k)
		if !ok || len(rest) > 0 {
			return &damage{bTotals, slices.Clone(k), "the key is no tenant"}
		}
		fn(tenant, n)
	}
	return nil
}
