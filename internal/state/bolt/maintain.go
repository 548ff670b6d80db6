package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// maxFact is the length in bytes of a fact's value: they are read and written
// whole.
const maxFact = 1 << 20

// Fact implements state.Maintenance.
func (s *Store) Fact(ctx context.Context, name string) ([]byte, error) {
	if err := checkName("name of a fact", name); err != nil {
		return nil, err
	}
	var out []byte
	err := s.view(ctx, func(t *txn) error {
		v := t.get(bFacts, []byte(name))
		if v == nil {
			return nil
		}
		p, err := unseal(bFacts, []byte(name), v, formatRaw)
		if err == nil {
			out = append([]byte{}, p...)
		}
		return err
	})
	return out, err
}

// SetFact implements state.Maintenance. The nil value removes the fact.
func (s *Store) SetFact(ctx context.Context, name string, value []byte) error {
	if err := checkName("name of a fact", name); err != nil {
		return err
	}
	if len(value) > maxFact {
		return fmt.Errorf("fact %s has %d bytes, at most %d are possible", name, len(value), maxFact)
	}
	key := []byte(name)
	value = bytes.Clone(value) // the caller may go on with it before it is written
	return s.update(ctx, func(t *txn) error {
		if value == nil {
			return t.del(bFacts, key)
		}
		return t.putChanged(bFacts, key, seal(key, formatRaw, value))
	})
}

// errWriter keeps the reader of a backup apart from the file: its errors are
// its own, and it ends with ctx.
type errWriter struct {
	write func([]byte) (int, error)
	err   error
}

func (w *errWriter) Write(p []byte) (n int, err error) {
	n, w.err = w.write(p)
	return n, w.err
}

// Backup implements state.Maintenance. It reads one snapshot; writers go on
// beside it, and the pages that they would have used again stay until the end,
// so the file grows by what is written meanwhile.
func (s *Store) Backup(ctx context.Context, w io.Writer) (int64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	tx, err := s.begin()
	if err != nil {
		return 0, err
	}
	out := &errWriter{write: func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return w.Write(p)
	}}
	n, err := tx.WriteTo(out)
	if out.err != nil {
		err = out.err // bbolt renders it to text
	}
	if err != nil {
		err = fmt.Errorf("back up state %s: %w", s.path, err)
	}
	return n, errors.Join(err, s.rollback(tx))
}
