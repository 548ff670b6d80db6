package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"archiver/internal/state"
)

// compactBatch is how many bytes are copied in one transaction, which bbolt
// holds in memory.
const compactBatch = 4 << 20

// compactFill leaves some room in each page, or the first updates after a
// compaction would split every one of them.
const compactFill = 0.9

// Compact writes the state anew without the room that it does not need, and
// returns its size in bytes before and after. Nobody may have it open. The
// copy is checked and on disk before it takes the name; until then the state
// is as it was. Errors are *state.OpenError where the file cannot be used.
func Compact(ctx context.Context, path string) (before, after int64, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, 0, refusal(path, err)
	}
	o := Options{Clock: time.Now, Logger: zap.NewNop(), LockTimeout: defaultLockTimeout}
	src, err := Open(ctx, path, o)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if before, err = src.size(); err != nil {
		return 0, 0, err
	}
	temp, err := emptyBeside(src.file, path)
	if err != nil {
		return before, 0, refusal(path, err)
	}
	if after, err = src.compactInto(ctx, temp, o); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return before, 0, errors.Join(fmt.Errorf("compact state %s: %w", path, err), os.Remove(temp))
	}
	return before, after, syncDir(filepath.Dir(path))
}

// emptyBeside makes an empty file with the mode and the owner of another: who
// compacts as root must not lock the daemon out.
func emptyBeside(like *os.File, path string) (string, error) {
	info, err := like.Stat()
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempCompact+"*")
	if err != nil {
		return "", err
	}
	err = f.Chmod(info.Mode().Perm())
	if st, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
		err = f.Chown(int(st.Uid), int(st.Gid))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// compactInto copies into an empty file, checks the copy, and returns its
// size.
func (s *Store) compactInto(ctx context.Context, path string, o Options) (size int64, err error) {
	dst, err := attach(path, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	dst.db.AllocSize = 0 // no room to grow: nobody writes to the copy
	if err := s.copyTo(ctx, dst.db); err != nil {
		return 0, s.explain(err)
	}
	problems, first := 0, ""
	err = dst.Check(ctx, func(p string) {
		if problems++; problems == 1 {
			first = p
		}
	})
	if err != nil {
		return 0, err
	}
	if problems > 0 {
		return 0, &state.OpenError{
			Path: s.path, Kind: state.StateDamaged, Err: fmt.Errorf("%d problems, the first: %s", problems, first),
			Hint: "run `archiver state check` for all of them; the state was left as it is",
		}
	}
	return dst.size()
}

func (s *Store) copyTo(ctx context.Context, dst *bbolt.DB) error {
	return guard(func() error {
		return s.db.View(func(from *bbolt.Tx) error {
			for _, name := range buckets() {
				if err := copyBucket(ctx, dst, from, []byte(name)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func copyBucket(ctx context.Context, dst *bbolt.DB, from *bbolt.Tx, name []byte) error {
	c := from.Bucket(name).Cursor()
	k, v := c.First()
	for first := true; first || k != nil; first = false {
		err := dst.Update(func(tx *bbolt.Tx) error {
			to, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			to.FillPercent = compactFill
			for size := 0; k != nil && size < compactBatch; k, v = c.Next() {
				if err := ctx.Err(); err != nil {
					return err
				}
				size += len(k) + len(v)
				if err := to.Put(k, v); err != nil {
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
