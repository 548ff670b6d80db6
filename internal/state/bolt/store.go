package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"archiver/internal/state"
)

// Store is a state.Store in one file, held by one process.
type Store struct {
	path  string
	clock func() time.Time
	log   *zap.Logger
	// horizon is that of Options.
	horizon time.Duration
	db      *bbolt.DB
	file    *os.File // bbolt's own descriptor, which carries the lock
	steps   atomic.Int64
	memos   memos

	calls     chan *call
	committer sync.WaitGroup
	// commits is held while a transaction is written, so that Check can tell
	// which of the two meta pages belongs to its own.
	commits sync.Mutex

	mu       sync.Mutex
	closed   bool
	closeErr error
	broken   error         // why nothing can be trusted until the file is opened again
	failed   chan struct{} // closed with the first broken
	// abandoned: bbolt has panicked where it may have kept its locks, so it
	// must not be entered again, not even to close it.
	abandoned bool
	inflight  sync.WaitGroup
	closing   sync.Once

	claimsMu sync.Mutex
	claims   map[state.Work]map[state.FileRef]struct{}
}

var _ state.Store = (*Store)(nil)

// enter keeps the store open until leave.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return fmt.Errorf("state %s: %w", s.path, fs.ErrClosed)
	case s.broken != nil:
		return s.broken
	}
	s.inflight.Add(1)
	return nil
}

func (s *Store) leave() { s.inflight.Done() }

// fail closes the store for everything but Close.
func (s *Store) fail(err error, abandon bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned = s.abandoned || abandon
	if s.broken == nil {
		s.broken = err
		close(s.failed)
		s.log.Error("the state is not used any further", zap.String("path", s.path), zap.Error(err))
	}
}

// Failed is closed once the store refuses everything, because of an I/O error
// or damage that leaves open what the disk has; every call then returns the
// reason. Nothing but opening the file again helps.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// panicked is a panic of bbolt, or a fault on its memory map.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("%v", p.value) }

// guard turns a panic into an error. A page that cannot be read faults (a file
// cut short, a disk that fails), which SetPanicOnFault makes a panic too.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p}
		}
	}()
	return fn()
}

// explain makes what bbolt or a checksum complained of an error that says what
// to do.
func (s *Store) explain(err error) error {
	if _, ok := errors.AsType[*panicked](err); ok {
		return damaged(s.path, err)
	}
	if _, ok := errors.AsType[*damage](err); ok {
		return damaged(s.path, err)
	}
	return err
}

// view runs fn on a snapshot. A panic in it is an error of this call alone:
// one bad page must not stop the work on all others.
func (s *Store) view(ctx context.Context, fn func(*txn) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	tx, err := s.begin()
	if err != nil {
		return err
	}
	err = guard(func() error { return fn(s.newTxn(tx)) })
	return errors.Join(s.explain(err), s.rollback(tx))
}

// begin starts a read transaction. bbolt keeps its locks if it panics there.
func (s *Store) begin() (*bbolt.Tx, error) {
	var tx *bbolt.Tx
	err := guard(func() (err error) { tx, err = s.db.Begin(false); return err })
	if _, ok := errors.AsType[*panicked](err); ok {
		err = s.explain(err)
		s.fail(err, true)
	}
	return tx, err
}

func (s *Store) rollback(tx *bbolt.Tx) error {
	err := guard(tx.Rollback)
	if _, ok := errors.AsType[*panicked](err); ok {
		err = s.explain(err)
		s.fail(err, true)
	}
	return err
}

// Size returns the size of the file in bytes.
func (s *Store) Size() (int64, error) {
	if err := s.enter(context.Background()); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.size()
}

func (s *Store) size() (int64, error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("size of state %s: %w", s.path, err)
	}
	return info.Size(), nil
}

// Close waits for what is under way, joins the committer and releases the
// lock. Idempotent.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.inflight.Wait()
		close(s.calls)
		s.committer.Wait()
		s.closeErr = s.release()
	})
	return s.closeErr
}

func (s *Store) release() error {
	closeDB := s.db.Close
	if s.abandoned {
		// The map stays until the process ends, so the lock has to be lifted.
		closeDB = func() error { unlock(s.file); return nil }
	}
	if err := guard(closeDB); err != nil {
		return fmt.Errorf("close state %s: %w", s.path, err)
	}
	return nil
}

// now is the time of an event: UTC, as it will be read back.
func (s *Store) now() time.Time { return s.clock().UTC().Round(0) }
