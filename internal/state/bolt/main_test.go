package bolt_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

// childEnv makes the test binary play a process that is killed, or whose disk
// is full: "role path".
const childEnv = "ARCHIVER_STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if v := os.Getenv(childEnv); v != "" {
		role, path, _ := strings.Cut(v, " ")
		if err := child(role, path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // a process of its own
		}
		return
	}
	// Each check opens a store and syncs at every step; -rapid.checks goes
	// before this.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func child(role, path string) error {
	ctx := context.Background()
	if role == "full" {
		// Writes beyond this fail with EFBIG, as they do with ENOSPC.
		signal.Ignore(syscall.SIGXFSZ)
	}
	s, err := bolt.Open(ctx, path, options())
	if err != nil {
		return err
	}
	if role == "full" {
		return errors.Join(fillUp(ctx, s, path), s.Close())
	}
	return busy(ctx, s)
}

func start(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+role+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// fillUp writes until the disk is full, sees that nothing is lost, and goes on
// when there is room again.
func fillUp(ctx context.Context, s *bolt.Store, path string) error {
	var limit, room syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	limit = room
	limit.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	var full error
	stored := 0
	for ; full == nil; stored++ {
		if stored > 100_000 {
			return errors.New("the disk is never full")
		}
		full = s.SetFact(ctx, fmt.Sprint("fact", stored), make([]byte, 10_000))
	}
	stored--
	if !errors.Is(full, syscall.EFBIG) && !strings.Contains(full.Error(), "file too large") {
		return fmt.Errorf("a full disk is told of as: %w", full)
	}
	for range 3 {
		if err := s.SetFact(ctx, "more", make([]byte, 50_000)); err == nil {
			return errors.New("a write on a full disk succeeded")
		}
	}
	if err := readable(ctx, s, stored); err != nil {
		return fmt.Errorf("on a full disk: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		return err
	}
	if err := s.SetFact(ctx, "more", make([]byte, 50_000)); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	return readable(ctx, s, stored)
}

func readable(ctx context.Context, s *bolt.Store, facts int) error {
	var bad []error
	if err := s.Check(ctx, func(p string) { bad = append(bad, errors.New(p)) }); err != nil {
		return err
	}
	for i := range facts {
		v, err := s.Fact(ctx, fmt.Sprint("fact", i))
		if err != nil || len(v) != 10_000 {
			return fmt.Errorf("fact %d has %d bytes: %w", i, len(v), err)
		}
	}
	return errors.Join(bad...)
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := start(t, "full", path).Run(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	if v, err := s.Fact(t.Context(), "more"); err != nil || len(v) != 50_000 {
		t.Errorf("what was written after the disk was full is not there: %d bytes, %v", len(v), err)
	}
	clean(t, s)
}

func clean(t testing.TB, s state.Store) {
	t.Helper()
	if err := s.Check(t.Context(), func(p string) { t.Errorf("check: %s", p) }); err != nil {
		t.Error(err)
	}
}

// meet records a conference, and tracks and forgets a recording.
func meet(ctx context.Context, s *bolt.Store, id string, say func(string, ...any)) error {
	ref := state.ConferenceRef{Tenant: "acme", ConferenceKey: id, Kind: state.KindRecord}
	_, err := s.MoveConference(ctx, ref, func(state.Session) (state.SessionChange, error) { return state.Intend{}, nil })
	if err != nil {
		return err
	}
	say("intended %s", id)
	_, err = s.MoveConference(ctx, ref, func(state.Session) (state.SessionChange, error) {
		return state.Opened{RecordID: "met-" + id}, nil
	})
	if err != nil {
		return err
	}
	say("opened %s", id)
	k := state.Key{Tenant: "acme", RecordID: "met-" + id}
	if _, err := s.Update(ctx, k, state.Do(state.Hold{On: true}, state.Hold{}, state.Untrack{})); err != nil {
		return err
	}
	say("untracked %s", id)
	return nil
}

// busy updates from several goroutines and says on standard output what was
// acknowledged, a line each, until it is killed.
func busy(ctx context.Context, s *bolt.Store) error {
	fail := make(chan error)
	say := func(format string, a ...any) {
		if _, err := fmt.Fprintf(os.Stdout, format+"\n", a...); err != nil {
			fail <- err
		}
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				k := state.Key{Tenant: "acme", RecordID: fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)}
				if _, err := statetest.Archive(ctx, s, k, "f"); err != nil {
					fail <- err
				}
				say("archived %s", k.RecordID)
				if err := meet(ctx, s, k.RecordID, say); err != nil {
					fail <- err
				}
				up := []state.Change{
					state.Discover{FileID: "late", Keys: []string{k.RecordID + "/late"}},
					state.Start{FileID: "late"},
					state.Pin{FileID: "late"},
					state.IntendUpload{FileID: "late"},
					state.OpenUpload{FileID: "late", UploadID: "u"},
				}
				if _, err := s.Update(ctx, k, state.Do(up...)); err != nil {
					fail <- err
				}
				for n := range int32(3) {
					if err := s.AddParts(ctx, state.FileRef{Key: k, FileID: "late"}, "u", state.Part{Number: n + 1}); err != nil {
						fail <- err
					}
					say("part %s %d", k.RecordID, n+1)
				}
			}
		}()
	}
	return <-fail
}
