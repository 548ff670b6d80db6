package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"archiver/internal/state"
)

// promoteBatch is how many files whose time has come Claim moves from delayed
// to transfer at once. If more than that come due at the same instant, the
// order among them is approximate until all are moved.
const promoteBatch = 1000

// dueBucket is the index of a kind of work that is ordered by due time alone.
func dueBucket(w state.Work) (string, error) {
	switch w {
	case state.WorkPoll:
		return bPoll, nil
	case state.WorkManifest:
		return bManifest, nil
	case state.WorkDelete:
		return bDelete, nil
	case state.WorkConfirm:
		return bConfirm, nil
	case state.WorkTransfer:
		return bTransfer, nil
	default:
		return "", fmt.Errorf("%w: %q", errNoSuchWork, w)
	}
}

// Claim implements state.Queue.
func (s *Store) Claim(ctx context.Context, w state.Work, tenant string, now time.Time, n int) ([]state.FileRef, error) {
	bucket, err := dueBucket(w)
	if err != nil || n < 1 || checkName("tenant", tenant) != nil {
		return nil, err
	}
	if w == state.WorkTransfer {
		if err := s.promote(ctx, tenant, now); err != nil {
			return nil, err
		}
	}
	// The lock is taken before the snapshot: what was released has also been
	// written by now, so nobody gets what is done already.
	s.claimsMu.Lock()
	defer s.claimsMu.Unlock()
	claimed := s.claims[w]
	if claimed == nil {
		claimed = map[state.FileRef]struct{}{}
		s.claims[w] = claimed
	}
	at, far := instant(now), never
	if s.horizon > 0 && w == state.WorkTransfer {
		far = instant(now.Add(s.horizon))
	}
	var out []state.FileRef
	err = s.view(ctx, func(t *txn) error {
		return t.eachWork(bucket, tenant, func(due uint64, f state.FileRef) bool {
			if due > at && due <= far {
				// Promoted under a later clock: passed over, unless that was
				// far ahead. In all other indexes everything behind it is later
				// still.
				return w == state.WorkTransfer
			}
			if _, taken := claimed[f]; !taken {
				out = append(out, f)
			}
			return len(out) < n
		})
	})
	if err != nil {
		return nil, err
	}
	for _, f := range out {
		claimed[f] = struct{}{}
	}
	return out, nil
}

// eachWork calls fn for each entry of a work index, most urgent first, until
// it returns false.
func (t *txn) eachWork(bucket, tenant string, fn func(due uint64, f state.FileRef) bool) error {
	numbers := 1
	if bucket == bTransfer || bucket == bPending {
		numbers = 2
	}
	c := t.cursor(bucket, tenantKey(tenant))
	for k, v := c.first(); k != nil; k, v = c.next() {
		p, err := unseal(bucket, k, v, formatIndex)
		if err != nil {
			return err
		}
		due, f, ok := parseWorkKey(k, numbers)
		if !ok {
			return &damage{bucket, bytes.Clone(k), "the key is no work"}
		}
		if bucket == bTransfer {
			// The first number is the deadline. What waited for its time has
			// that time as its value.
			if due = always; len(p) == 8 {
				due = binary.BigEndian.Uint64(p)
			}
		}
		if !fn(due, f) {
			return nil
		}
	}
	return nil
}

// delayedFile is an entry of delayed.
type delayedFile struct {
	key  []byte
	due  uint64
	ref  state.FileRef
	rank []byte // deadline and start
}

// dueFiles returns files of delayed whose time has come.
func (t *txn) dueFiles(tenant string, now uint64, n int) (out []delayedFile, err error) {
	c := t.cursor(bDelayed, tenantKey(tenant))
	for k, v := c.first(); k != nil && len(out) < n; k, v = c.next() {
		p, err := unseal(bDelayed, k, v, formatIndex)
		if err != nil {
			return nil, err
		}
		due, f, ok := parseWorkKey(k, 1)
		if !ok || len(p) != 16 {
			return nil, &damage{bDelayed, bytes.Clone(k), "the entry is no delayed file"}
		}
		if due > now {
			break
		}
		out = append(out, delayedFile{bytes.Clone(k), due, f, bytes.Clone(p)})
	}
	return out, nil
}

// promote moves files whose time has come to where they are found in order of
// urgency. Each one is moved once per failure, so Claim need never compare all
// that wait.
func (s *Store) promote(ctx context.Context, tenant string, now time.Time) error {
	var due []delayedFile
	err := s.view(ctx, func(t *txn) (err error) { due, err = t.dueFiles(tenant, instant(now), 1); return err })
	if err != nil || len(due) == 0 {
		return err
	}
	return s.update(ctx, func(t *txn) error {
		due, err := t.dueFiles(tenant, instant(now), promoteBatch)
		if err != nil {
			return err
		}
		for _, d := range due {
			if err := t.del(bDelayed, d.key); err != nil {
				return err
			}
			ready := transferKey(d.ref, binary.BigEndian.Uint64(d.rank), binary.BigEndian.Uint64(d.rank[8:]))
			if err := t.putIndex(bTransfer, ready, binary.BigEndian.AppendUint64(nil, d.due)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Release implements state.Queue.
func (s *Store) Release(w state.Work, refs ...state.FileRef) {
	s.claimsMu.Lock()
	defer s.claimsMu.Unlock()
	for _, f := range refs {
		delete(s.claims[w], f)
	}
}

// claimed reports whether the transfer of a file is claimed.
func (s *Store) claimed(f state.FileRef) bool {
	s.claimsMu.Lock()
	defer s.claimsMu.Unlock()
	_, ok := s.claims[state.WorkTransfer][f]
	return ok
}
