package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"archiver/internal/state"
)

// Options are what a store is given.
type Options struct {
	Clock  func() time.Time // of events; required
	Logger *zap.Logger      // required
	// LockTimeout is how long Open waits for another process to let go of the
	// file; 0 is half a second.
	LockTimeout time.Duration
	// Horizon is how long work may be put off at most. What waits for longer
	// when the file is opened was put off under a clock that was far ahead, and
	// is due at once. 0: whatever is said is right.
	Horizon time.Duration
}

const defaultLockTimeout = 500 * time.Millisecond

// mapSize is reserved address space: a file that grows within it is not mapped
// anew, for which bbolt would make writers wait for the slowest reader, such
// as a backup over a slow line. 8 GiB, or 1 GiB where addresses have 32 bits.
const mapSize = 1 << (30 + 3*(^uint(0)>>63))

// growBy is how many bytes the file grows by at least. bbolt's own 16 MiB
// would be most of a small state.
const growBy = 1 << 20

// Open opens the state file, or creates one (mode 0600) where there is none;
// the directory must exist. A file that cannot be used is left as it is, and
// the error is a *state.OpenError.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	return open(ctx, path, o, present())
}

func open(ctx context.Context, path string, o Options, s schema) (*Store, error) {
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLockTimeout
	}
	h, err := inspect(ctx, path, o, s)
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(path, o, s); err != nil && !made(path, err) {
			return nil, refusal(path, err)
		}
		h, err = inspect(ctx, path, o, s)
	}
	if err != nil {
		return nil, refusal(path, err)
	}
	st, err := attach(path, o)
	if err != nil {
		return nil, refusal(path, err)
	}
	if h.Schema != s.version || h.Migrating != nil {
		err = st.migrate(ctx, s)
	}
	if err != nil {
		return nil, errors.Join(refusal(path, err), st.Close())
	}
	if err := st.unresolve(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if o.Horizon > 0 {
		if err := st.pullBack(ctx, o.Horizon); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	if err := st.sweep(); err != nil {
		o.Logger.Warn("remove what a crash has left beside the state", zap.Error(err))
	}
	return st, nil
}

// inspect looks at the file without changing anything, under a shared lock.
func inspect(ctx context.Context, path string, o Options, s schema) (h header, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil {
		return h, err
	} else if !info.Mode().IsRegular() {
		return h, fmt.Errorf("%w: it is no regular file", errForeign)
	}
	if err := lockShared(ctx, f, o.LockTimeout); err != nil {
		return h, err
	}
	if _, err := preflight(f); err != nil {
		return h, err
	}
	var mine *os.File
	err = guard(func() error {
		db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: o.LockTimeout, OpenFile: keep(&mine)})
		if err != nil {
			return err
		}
		err = db.View(func(tx *bbolt.Tx) error { h, err = readHeader(tx, s); return err })
		return errors.Join(err, db.Close())
	})
	if err != nil && mine != nil {
		unlock(mine)
	}
	if errors.Is(err, errForeign) {
		// Without our header it is somebody else's, unless its pages are off.
		err = cmp.Or(tornPages(ctx, f), err)
	}
	return h, err
}

// tornPages returns the first thing that is wrong with the pages of a file.
func tornPages(ctx context.Context, f *os.File) (err error) {
	m, err := preflight(f)
	if err != nil {
		return err
	}
	c := pageCheck{ctx: ctx, f: f, m: m, report: func(format string, a ...any) {
		err = cmp.Or(err, fmt.Errorf(format, a...))
	}}
	return cmp.Or(c.run(), err)
}

// unlock gives up a file that bbolt has left open when it panicked. Its memory
// map may still refer to it, and would keep the lock too.
func unlock(f *os.File) {
	// It may be closed already: then there is nothing to give up.
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	_ = f.Close()
}

// keep opens what is there and never creates; it remembers the descriptor, so
// that the lock can be released even when bbolt panics.
func keep(into **os.File) func(string, int, os.FileMode) (*os.File, error) {
	return func(path string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(path, flag&^os.O_CREATE, perm)
		*into = f
		return f, err
	}
}

// lockShared waits for writers; bbolt's own lock is of the same kind.
func lockShared(ctx context.Context, f *os.File, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return berrors.ErrTimeout
			}
			return ctx.Err()
		}
	}
}

func writeOptions(o Options, into **os.File) *bbolt.Options {
	return &bbolt.Options{
		Timeout: o.LockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		InitialMmapSize: mapSize, OpenFile: keep(into),
	}
}

// attach opens a file that inspect has found good.
func attach(path string, o Options) (*Store, error) {
	st := &Store{
		path: path, clock: o.Clock, log: o.Logger, horizon: o.Horizon, calls: make(chan *call), failed: make(chan struct{}),
		claims: map[state.Work]map[state.FileRef]struct{}{}, memos: newMemos(),
	}
	err := guard(func() (err error) {
		st.db, err = bbolt.Open(path, 0, writeOptions(o, &st.file))
		return err
	})
	if err != nil {
		if st.file != nil {
			unlock(st.file)
		}
		return nil, err
	}
	st.db.AllocSize = growBy
	st.committer.Go(st.commitAll)
	return st, nil
}

// create makes a whole file under another name and gives it its own at once,
// so that a crash leaves either a state or none.
func create(path string, o Options, s schema) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempNew+"*")
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if rerr := os.Remove(temp); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	var mine *os.File
	db, err := bbolt.Open(temp, 0, &bbolt.Options{Timeout: o.LockTimeout, OpenFile: keep(&mine)})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return writeHeader(tx, header{App: application, Schema: s.version, CreatedAt: o.Clock().UTC()})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	// A link, not a rename: whoever came first keeps his.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// made reports whether another one made the state meanwhile, and has swept ours
// away.
func made(path string, err error) bool {
	_, there := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) && there == nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// The endings of files that are ours and not finished.
const (
	tempNew     = ".new-"
	tempCompact = ".compact-"
	tempBackup  = ".bak-"
)

// sweep removes what a crash has left. We hold the lock: nobody is at it.
func (s *Store) sweep() error {
	dir, base := filepath.Split(s.path)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), base)
		if !ours || !slices.ContainsFunc([]string{tempNew, tempCompact, tempBackup}, func(p string) bool {
			return strings.HasPrefix(rest, p)
		}) {
			continue
		}
		if err := os.Remove(dir + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// refusal says what is wrong with the file and what to do.
func refusal(path string, err error) error {
	if _, ok := errors.AsType[*state.OpenError](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &state.OpenError{Path: path, Err: err}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		e.Kind, e.Err = state.StateLocked, nil
		e.Hint = "another archiver holds it, most likely the daemon: talk to it over its socket, or stop it first"
	case errors.Is(err, errForeign):
		e.Kind, e.Hint = state.StateForeign, "it is not a state of the archiver and was left alone: set state.path to another file, or put a backup in its place"
	case errors.Is(err, errNewer):
		e.Kind, e.Hint = state.StateNewer, "install that version of the archiver, or go back to the copy that was made before the migration"
	case denied(err):
		e.Kind, e.Hint = state.StateDenied, "see that the directory exists, that the archiver may write to it, and that the disk is not full"
	default:
		return damaged(path, err)
	}
	return e
}

// denied reports whether the system, not the content, stands in the way.
func denied(err error) bool {
	for _, e := range []error{fs.ErrPermission, fs.ErrNotExist, syscall.EROFS, syscall.ENOTDIR, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func damaged(path string, err error) error {
	return &state.OpenError{
		Path: path, Kind: state.StateDamaged, Err: err,
		Hint: "nothing was repaired: stop the archiver, keep this file, and put a backup of the state in its place; the manifests in the bucket tell what was archived since",
	}
}
