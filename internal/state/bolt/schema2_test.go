package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

// TestFromSchema1 opens a file of the first version: it gains what the second
// one has, and a copy stays.
func TestFromSchema1(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	for i := range 30 {
		k := state.Key{Tenant: "acme", RecordID: fmt.Sprint(i)}
		_, err := statetest.Archive(t.Context(), s, k, "f")
		must(t, err)
		late := state.Discover{FileID: "late", Keys: []string{k.RecordID + "late"}, Listing: state.Listing{DeclaredSize: int64(i)}}
		_, err = s.Update(t.Context(), k, state.Do(late))
		must(t, err)
	}
	want, err := s.Backlog(t.Context(), "acme", 100)
	must(t, err)
	must(t, s.Close())
	edit(t, path, bolt.Downgrade)
	before := everything(t, path)
	// Seven files at a time, of 60.
	s, err = bolt.OpenSchema(t.Context(), path, options(), 2, map[int]bolt.Step{1: bolt.ToSchema2(7)})
	must(t, err)
	got, err := s.Backlog(t.Context(), "acme", 100)
	must(t, err)
	if d := cmp.Diff(want, got); d != "" || len(got.Files) != 30 {
		t.Errorf("the backlog, before and after the migration, of %d files: %s", len(got.Files), d)
	}
	sessions(t, s)
	clean(t, s)
	must(t, s.Close())
	if !bytes.Equal(before, everything(t, path+".v1.bak")) {
		t.Error("the copy is not what there was before")
	}
	clean(t, openAt(t, path+".v1.bak")) // with the batches of this version
}

// TestSchema1RefusesSchema2 has the version before this one look at our file.
func TestSchema1RefusesSchema2(t *testing.T) {
	t.Parallel()
	path := filled(t)
	before := read(t, path)
	_, err := bolt.OpenSchema(t.Context(), path, options(), 1, nil)
	if e, ok := errors.AsType[*state.OpenError](err); !ok || e.Kind != state.StateNewer {
		t.Errorf("the version before says %v", err)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file was changed")
	}
}

// TestOpeningIsUnresolved opens a file whose process ended between an intent
// and the answer.
func TestOpeningIsUnresolved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	refs := []state.ConferenceRef{
		{Tenant: "acme", ConferenceKey: "1", Kind: state.KindRecord},
		{Tenant: "acme", ConferenceKey: "2", Kind: state.KindLive},
	}
	for _, ref := range refs {
		_, err := s.MoveConference(t.Context(), ref, intend)
		must(t, err)
	}
	must(t, s.Close())
	s = openAt(t, path)
	for _, ref := range refs {
		got, err := s.Session(t.Context(), ref)
		must(t, err)
		if got.Status != state.SessionUnresolved || got.Error == "" {
			t.Errorf("%s is %s: %q", ref, got.Status, got.Error)
		}
	}
	seq, err := s.LastEvent(t.Context())
	must(t, err)
	clean(t, s)
	must(t, s.Close())
	s = openAt(t, path)
	if again, err := s.LastEvent(t.Context()); err != nil || again != seq || seq != 4 {
		t.Errorf("the second opening brought event %d behind %d, %v", again, seq, err)
	}
}

func intend(state.Session) (state.SessionChange, error) { return state.Intend{}, nil }

// sessions leaves one that is open and one that is unresolved.
func sessions(t *testing.T, s *bolt.Store) {
	t.Helper()
	move := func(key string, kind state.ConferenceKind, changes ...state.SessionChange) {
		for _, c := range changes {
			ref := state.ConferenceRef{Tenant: "acme", ConferenceKey: key, Kind: kind}
			_, err := s.MoveConference(t.Context(), ref, func(state.Session) (state.SessionChange, error) { return c, nil })
			must(t, err)
		}
	}
	move("100", state.KindLive, state.Intend{}, state.Opened{})
	move("100", state.KindRecord, state.Intend{}, state.Opened{RecordID: "recorded"})
	move("200", state.KindRecord, state.Intend{}, state.Unresolve{Error: "lost"})
}
