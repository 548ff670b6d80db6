package bolt_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// TestKilled kills a writing process again and again, each time after a
// random number of acknowledgements: the file opens, is sound, and has all
// that was acknowledged.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	var acknowledged []string
	for range 12 {
		acknowledged = append(acknowledged, killed(t, path, 1+rand.IntN(60))...)
		s, err := bolt.Open(t.Context(), path, options())
		if err != nil {
			t.Fatal(err)
		}
		clean(t, s)
		for _, line := range acknowledged {
			if err := present(t, s, line); err != nil {
				t.Errorf("lost: %s: %v", line, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs the child until it has acknowledged n times, then kills it, and
// returns all that it still managed to say.
func killed(t *testing.T, path string, n int) (lines []string) {
	t.Helper()
	cmd := start(t, "busy", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		if lines = append(lines, strings.TrimSpace(line)); len(lines) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(lines) < n {
		t.Fatalf("the child ended by itself after %d lines: %v", len(lines), err)
	}
	return lines
}

func present(t *testing.T, s *bolt.Store, line string) error {
	var id string
	var part int32
	if what, id, _ := strings.Cut(line, " "); what == "intended" || what == "opened" || what == "untracked" {
		return met(t, s, what, id)
	}
	if _, err := fmt.Sscanf(line, "part %s %d", &id, &part); err != nil {
		id = strings.TrimPrefix(line, "archived ")
		r, err := s.Get(t.Context(), state.Key{Tenant: "acme", RecordID: id})
		if err == nil && r.ArchivedAt.IsZero() {
			err = fmt.Errorf("it is %s", r.Status)
		}
		return err
	}
	parts, err := s.Parts(t.Context(), state.FileRef{Key: state.Key{Tenant: "acme", RecordID: id}, FileID: "late"})
	if err == nil && len(parts) < int(part) {
		err = fmt.Errorf("%d parts", len(parts))
	}
	return err
}

// met looks for a conference that was recorded. The lines are those of all
// runs: what was acknowledged may have gone on since.
func met(t *testing.T, s *bolt.Store, what, id string) error {
	session, err := s.Session(t.Context(), state.ConferenceRef{Tenant: "acme", ConferenceKey: id, Kind: state.KindRecord})
	if err != nil {
		return err
	}
	_, err = s.Get(t.Context(), state.Key{Tenant: "acme", RecordID: "met-" + id})
	gone := errors.Is(err, state.ErrNotFound)
	events, lerr := s.EventsOf(t.Context(), state.Key{Tenant: "acme", RecordID: "met-" + id}, 10)
	switch open := session.Status == state.SessionOpen; {
	case err != nil && !gone || lerr != nil:
		return errors.Join(err, lerr)
	case !open && (what != "intended" || session.Status != state.SessionUnresolved):
		return fmt.Errorf("the session is %s", session.Status)
	case open && len(events) == 0:
		return errors.New("it is open, and its recording was never tracked")
	case what == "untracked" && !gone:
		return errors.New("the recording is there again")
	}
	return nil
}
