package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// maxGroup bounds the calls of one transaction, and so what one failed call
// makes the others do again.
const maxGroup = 256

// While calls come from several sides a commit does not begin at once: it costs
// about as much as a call in it, so those that come one by one are better taken
// together. It begins when as many have come as one of the last commits had, or
// enough to share its cost, when none has come for the time of a lull, or when
// the commit before it began as long ago as the pace says. Whoever writes alone,
// however fast, is kept waiting twice at most, and whoever comes after a pause
// is not.
const (
	pace   = 10 * time.Millisecond
	lull   = 3 * time.Millisecond
	enough = 16 // calls
)

// The life of a call.
const (
	callQueued int32 = iota
	callTaken        // the committer has it: its outcome counts
	callGivenUp
)

// call is a write that waits for a transaction. fn may run more than once: the
// last run counts.
type call struct {
	fn    func(*txn) error
	state atomic.Int32
	err   error
	done  chan struct{}
}

// update runs fn in a write transaction that others may share. Once the
// committer has taken the call its outcome is returned, whatever ctx says:
// nobody is told "gave up" of what was written.
func (s *Store) update(ctx context.Context, fn func(*txn) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	c := &call{fn: fn, done: make(chan struct{})}
	select {
	case s.calls <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.state.CompareAndSwap(callQueued, callGivenUp) {
			return ctx.Err()
		}
		<-c.done
	}
	return c.err
}

// commitAll is the committer: it takes whoever waits and commits them
// together. While it syncs, the next group gathers.
func (s *Store) commitAll() {
	var began time.Time
	var lately crowd
	for c := range s.calls {
		next := began.Add(pace)
		soon := time.Until(next) > 0
		group := s.gather(c, lately.most(), next)
		began = time.Now()
		lately.saw(len(group), soon)
		s.commitGroup(group)
	}
}

// gather takes whoever waits, and waits for more as pace and lull say.
func (s *Store) gather(first *call, expected int, until time.Time) []*call {
	group := []*call{first}
	for len(group) < maxGroup {
		wait := time.Duration(0)
		if len(group) < expected {
			wait = min(lull, time.Until(until))
		}
		c := s.await(wait)
		if c == nil {
			break
		}
		group = append(group, c)
	}
	return group
}

// await returns the next call, or nil if none comes in time or ever.
func (s *Store) await(wait time.Duration) *call {
	select {
	case c := <-s.calls: // nil: it is closed
		return c
	default:
	}
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case c := <-s.calls:
		return c
	case <-t.C:
		return nil
	}
}

// crowd is how many calls each of the last commits had.
type crowd struct {
	sizes [8]int
	next  int
	alone int // calls in a row that came soon, and alone
}

// saw takes the size of a commit; soon: within the pace of the one before.
func (c *crowd) saw(n int, soon bool) {
	if n > 1 || !soon {
		c.alone = 0
	} else if c.alone++; c.alone > 1 {
		*c = crowd{} // the others are gone
	}
	c.sizes[c.next] = n
	c.next = (c.next + 1) % len(c.sizes)
}

// most is how many the next commit may have, as far as that matters.
func (c *crowd) most() int { return min(slices.Max(c.sizes[:]), enough) }

func (s *Store) commitGroup(group []*call) {
	live := group[:0]
	for _, c := range group {
		if c.state.CompareAndSwap(callQueued, callTaken) {
			live = append(live, c)
		}
	}
	for len(live) > 0 {
		bad, err := s.commitOnce(live)
		if bad < 0 {
			for _, c := range live {
				if c.err == nil {
					c.err = err
				}
				close(c.done)
			}
			return
		}
		// It had written something before it failed, so the transaction is
		// lost: the others go again without it.
		close(live[bad].done)
		live = append(live[:bad], live[bad+1:]...)
	}
}

// The ends of a transaction that are no commit and no failure.
var (
	errRolledBack = errors.New("a call failed half-way")
	errNoWrites   = errors.New("nothing to write")
)

// commitOnce runs the calls in one transaction. bad is the index of a call
// that failed after it had written, or -1; err is why nothing was committed.
func (s *Store) commitOnce(calls []*call) (bad int, err error) {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		return -1, broken
	}
	s.commits.Lock()
	defer s.commits.Unlock()
	bad = -1
	txid := 0
	err = guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			txid = tx.ID()
			t := s.newTxn(tx)
			for i, c := range calls {
				before := t.writes
				if c.err = c.fn(t); c.err == nil {
					continue
				}
				c.err = s.explain(c.err)
				if t.writes > before {
					bad = i
					return errRolledBack
				}
			}
			if t.writes == 0 {
				return errNoWrites
			}
			return t.flush()
		})
	})
	switch {
	case bad >= 0 && errors.Is(err, errRolledBack), errors.Is(err, errNoWrites):
		return bad, nil
	case err == nil:
		return -1, nil
	}
	return -1, s.commitFailed(err, txid)
}

// commitFailed decides whether the store may go on after a commit that failed.
func (s *Store) commitFailed(err error, txid int) error {
	if _, ok := errors.AsType[*panicked](err); ok {
		err = s.explain(err)
		s.fail(err, true)
		return err
	}
	err = fmt.Errorf("write state %s: %w", s.path, err)
	if !harmless(err) || s.visible(txid) {
		s.fail(fmt.Errorf("%w; it is not known what the disk has: restart to go on from there", err), false)
	}
	return err
}

// harmless reports whether a commit failed for want of space, before its meta
// page was written: the commit before it is then in force, on disk too.
func harmless(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) {
			_, write := errors.AsType[*fs.PathError](err)
			return write
		}
	}
	if _, ok := errors.AsType[*damage](err); ok {
		return true // of the counters, found before anything was written
	}
	// bbolt renders this one to text: ftruncate was refused.
	return strings.Contains(err.Error(), "file resize error")
}

// visible reports whether readers see a transaction whose commit failed.
func (s *Store) visible(txid int) bool {
	tx, err := s.begin()
	if err != nil {
		return true
	}
	seen := tx.ID() >= txid
	return s.rollback(tx) != nil || seen
}
