package poller_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"archiver/internal/poller"
	"archiver/internal/state"
)

// listed is a world with a record_ids_file, and what Track was asked for.
type listed struct {
	*world
	path string
	st   *failing
}

func newListed(t *testing.T) listed {
	l := listed{path: filepath.Join(t.TempDir(), "ids"), st: &failing{}}
	l.world = newWorld(t, func(o *poller.Options) {
		o.Store = l.st
		o.Tenants = []poller.Tenant{tenant(t, "acme", &script{now: time.Now})}
		o.Tenants[0].RecordIDsFile = l.path
	})
	return l
}

func (l listed) write(content string, modified time.Time) {
	l.t.Helper()
	if err := os.WriteFile(l.path, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Chtimes(l.path, modified, modified); err != nil {
		l.t.Fatal(err)
	}
}

// restart makes the first run of another process, and returns how many ids it
// looked up.
func (l listed) restart() int64 {
	l.t.Helper()
	l.close()
	l.open()
	before := l.st.looked.Load()
	l.run(time.Minute)
	return l.st.looked.Load() - before
}

// TestKnownIDsFile: what was tracked is not looked up again by the next
// process, unless anything about the file is different.
func TestKnownIDsFile(t *testing.T) {
	l := newListed(t)
	l.write("a1\na2\na3\n", start)
	l.run(0)
	if n := l.restart(); n != 0 {
		t.Errorf("%d ids of a known file were looked up", n)
	}
	l.write("a1\na2\nb3\n", start)
	if n := l.restart(); n != 3 {
		t.Errorf("%d ids were looked up of a file with the size and time of the known one", n)
	}
	l.isTracked("a1", "a2", "a3", "b3")
	l.write("a1\na2\nb3\n", start.Add(time.Second))
	if n := l.restart(); n != 3 {
		t.Errorf("%d ids were looked up of a file that was written again", n)
	}
	if n := l.restart(); n != 0 {
		t.Errorf("%d ids of a known file were looked up", n)
	}
}

// TestIDPutBack: an id that was taken out, untracked and put back is tracked,
// whenever the archiver runs.
func TestIDPutBack(t *testing.T) {
	l := newListed(t)
	l.write("a1\na2\n", start)
	l.run(0)
	l.write("a1\n", start.Add(time.Hour))
	l.run(time.Minute)
	if _, err := l.store.Update(t.Context(), key("a2"), state.Do(state.Untrack{})); err != nil {
		t.Fatal(err)
	}
	l.write("a1\na2\n", start) // as it was, time and all
	l.restart()
	l.isTracked("a1", "a2")
}

// TestBadLinesAreSaidAgain: a file with mistakes is read by every process, and
// so is the one before it, should it come back.
func TestBadLinesAreSaidAgain(t *testing.T) {
	l := newListed(t)
	l.write("a1\n", start)
	l.run(0)
	l.write("a1\nb\x01\n", start)
	for range 2 {
		if n := l.restart(); n != 1 {
			t.Errorf("%d ids were looked up", n)
		}
		if n := len(l.badLines()); n != 1 {
			t.Errorf("%d complaints", n)
		}
	}
	l.write("a1\n", start)
	if n := l.restart(); n != 1 {
		t.Errorf("%d ids were looked up of a file that others replaced meanwhile", n)
	}
}
