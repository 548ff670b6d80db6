package bolt

import (
	"context"
	"encoding/binary"
	"fmt"

	"archiver/internal/state"
)

// maxParts is how many parts S3 allows an upload to have.
const maxParts = 10_000

// AddParts implements state.Transfers. It reads the one file, not the whole
// recording, unless a failed attempt has to be forgotten.
func (s *Store) AddParts(ctx context.Context, f state.FileRef, uploadID string, parts ...state.Part) error {
	for _, p := range parts {
		if p.Number < 1 || p.Number > maxParts {
			return fmt.Errorf("part %d of %s: the number is not 1 to %d: %w", p.Number, f, maxParts, state.ErrIllegal)
		}
	}
	if err := checkRef(f); err != nil {
		return fmt.Errorf("%s: %w: %w", f, state.ErrNotFound, err)
	}
	return s.update(ctx, func(t *txn) error { return s.addParts(t, f, uploadID, parts) })
}

func checkRef(f state.FileRef) error {
	if err := checkKey(f.Key); err != nil {
		return err
	}
	return checkName("file ID", f.FileID)
}

func (s *Store) addParts(t *txn, ref state.FileRef, uploadID string, parts []state.Part) error {
	var f state.File
	found, err := t.getJSON(bFiles, fileKey(ref), &f)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("add parts of %s: %w", ref, state.ErrNotFound)
	}
	if uploadID == "" || f.Upload == nil || f.Upload.ID != uploadID {
		return fmt.Errorf("add parts of %s: %s is not its present upload: %w", ref, uploadID, state.ErrIllegal)
	}
	anyNew := false
	for _, p := range parts {
		key := partKey(ref, p.Number)
		anyNew = anyNew || t.get(bParts, key) == nil
		if err := t.putJSON(bParts, key, p); err != nil {
			return err
		}
	}
	if !anyNew || f.Attempts == 0 && f.Error == "" && f.NextAttemptAt.IsZero() || f.Phase == state.FileQuarantined {
		return nil
	}
	_, err = s.change(t, ref.Key, state.Do(state.Progressed{FileID: ref.FileID}))
	return err
}

// Parts implements state.Transfers.
func (s *Store) Parts(ctx context.Context, f state.FileRef) ([]state.Part, error) {
	if err := checkRef(f); err != nil {
		return nil, nil //nolint:nilerr // what cannot be stored has no parts
	}
	var out []state.Part
	err := s.view(ctx, func(t *txn) error {
		c := t.cursor(bParts, partPrefix(f))
		for k, v := c.first(); k != nil; k, v = c.next() {
			var p state.Part
			if err := unsealJSON(bParts, k, v, &p); err != nil {
				return err
			}
			out = append(out, p)
		}
		return nil
	})
	return out, err
}

// dropParts forgets the parts of an upload that is no more. The keys are
// gathered first: a cursor does not survive deletions.
func (t *txn) dropParts(f state.FileRef) error {
	prefix := partPrefix(f)
	var numbers []uint32
	c := t.cursor(bParts, prefix)
	for k, _ := c.first(); k != nil; k, _ = c.next() {
		numbers = append(numbers, binary.BigEndian.Uint32(k[len(prefix):]))
	}
	for _, n := range numbers {
		if err := t.del(bParts, partKey(f, int32(n))); err != nil {
			return err
		}
	}
	return nil
}
