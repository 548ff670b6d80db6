package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// application marks a bbolt file as ours.
const application = "archiver"

// errNewer is a file that this version does not understand.
var errNewer = errors.New("it was written by a newer version")

// header says whose file it is, and in which schema.
type header struct {
	App       string    `json:"app"`
	Schema    int       `json:"schema"`
	CreatedAt time.Time `json:"created_at"`
	// Migrating is set while the file is on its way from an older schema.
	// Schema is the new one already, so that the old version refuses it.
	Migrating *progress `json:"migrating,omitempty"`
}

// progress is where a migration goes on after a crash.
type progress struct {
	From   int    `json:"from"`   // schema that is left behind now
	Cursor []byte `json:"cursor"` // of its step; empty at the beginning
}

// schema is a version of the file and how to come to it.
type schema struct {
	version int
	// steps leads from the version that is its key to the next one. A step
	// does a bounded batch behind cursor and returns where the next begins,
	// nil at the end. It sees its own batch done or not done, never half.
	steps map[int]func(tx *bbolt.Tx, cursor []byte) (next []byte, err error)
}

// present is the schema of this version. Version 1 is the first.
func present() schema {
	return schema{version: 2, steps: map[int]func(*bbolt.Tx, []byte) ([]byte, error){1: toSchema2(pendingBatch)}}
}

func headerKey() []byte { return []byte("header") }

// readHeader finds out whether the file is ours and whether we understand it.
func readHeader(tx *bbolt.Tx, s schema) (h header, err error) {
	b := tx.Bucket([]byte(bHeader))
	if b == nil {
		return h, fmt.Errorf("%w of the archiver, but a bbolt database of another program", errForeign)
	}
	v := b.Get(headerKey())
	if v == nil {
		return h, fmt.Errorf("%w of the archiver, but a bbolt database of another program", errForeign)
	}
	if err := unsealJSON(bHeader, headerKey(), v, &h); err != nil {
		return h, err
	}
	switch {
	case h.App != application:
		return h, fmt.Errorf("%w of the archiver, but one of %q", errForeign, h.App)
	case h.Schema > s.version:
		return h, fmt.Errorf("%w: its schema is %d, this one knows up to %d", errNewer, h.Schema, s.version)
	case h.Schema < 1:
		return h, &damage{bHeader, headerKey(), fmt.Sprintf("schema %d", h.Schema)}
	}
	if h.Schema < s.version || h.Migrating != nil {
		return h, nil // buckets may come and go
	}
	for _, name := range buckets() {
		if tx.Bucket([]byte(name)) == nil {
			return h, &damage{name, bytes.Clone(headerKey()), "the bucket is missing"}
		}
	}
	return h, nil
}

func writeHeader(tx *bbolt.Tx, h header) error {
	v, err := sealJSON(headerKey(), h)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(bHeader)).Put(headerKey(), v)
}

// migrate brings the file to the schema, batch by batch, after a copy of it
// was made. Killed at any point, the next Open goes on.
func (s *Store) migrate(ctx context.Context, to schema) error {
	for {
		done, err := s.migrateBatch(ctx, to)
		if err != nil {
			return fmt.Errorf("migrate the state: %w", err)
		}
		if done {
			return nil
		}
	}
}

func (s *Store) migrateBatch(ctx context.Context, to schema) (done bool, err error) {
	var h header
	if err := s.view(ctx, func(t *txn) (err error) { h, err = readHeader(t.tx, to); return err }); err != nil {
		return false, err
	}
	if h.Migrating == nil {
		if h.Schema == to.version {
			return true, nil
		}
		if err := s.keepCopy(ctx, h.Schema); err != nil {
			return false, err
		}
		h.Migrating = &progress{From: h.Schema}
	}
	h.Schema = to.version
	step, ok := to.steps[h.Migrating.From]
	if !ok {
		return false, fmt.Errorf("there is no way from schema %d to %d", h.Migrating.From, to.version)
	}
	return false, s.update(ctx, func(t *txn) error {
		t.writes++
		next, err := step(t.tx, h.Migrating.Cursor)
		if err != nil {
			return err
		}
		h := h
		switch {
		case next != nil:
			h.Migrating = &progress{From: h.Migrating.From, Cursor: next}
		case h.Migrating.From+1 < to.version:
			h.Migrating = &progress{From: h.Migrating.From + 1}
		default:
			h.Migrating = nil
		}
		return writeHeader(t.tx, h)
	})
}

// keepCopy leaves the file as it was beside it, as PATH.vN.bak. One that is
// there already is whole, of an earlier try.
func (s *Store) keepCopy(ctx context.Context, version int) (err error) {
	path := fmt.Sprintf("%s.v%d.bak", s.path, version)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+tempBackup+"*")
	if err != nil {
		return err
	}
	if _, err = s.Backup(ctx, f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	s.log.Info("kept a copy of the state before its migration", zap.String("path", path))
	return syncDir(filepath.Dir(path))
}
