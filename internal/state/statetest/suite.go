// Package statetest is the contract of state.Store as tests. Every store
// passes it:
//
//	statetest.Run(t, open, reopen)
//
// The suite moves recordings with real changes only, through the store, and
// after every test asks the store to check itself. Its model test draws random
// decisions (Decision), applies them both to the store and, with state.Apply,
// to maps in memory, and compares everything that a store can be asked.
//
// Times that the suite gives lie in 2024. The store's own clock must be later
// than that, and need not be the wall's.
package statetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"archiver/internal/state"
)

// Open returns an empty store that is closed when the test ends.
type Open func(t *testing.T) state.Store

// Reopen closes a store and opens what it has kept.
type Reopen func(t *testing.T, s state.Store) state.Store

// Run holds a store against the contract.
func Run(t *testing.T, open Open, reopen Reopen) {
	groups := map[string]map[string]func(*env){
		"Records":     recordTests(),
		"List":        listTests(),
		"Transfers":   transferTests(),
		"Queue":       queueTests(),
		"Audit":       auditTests(),
		"Untrack":     untrackTests(),
		"Backlog":     backlogTests(),
		"Conferences": conferenceTests(),
		"Maintenance": maintenanceTests(),
	}
	for group, tests := range groups {
		t.Run(group, func(t *testing.T) {
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					e := &env{T: t, s: open(t), open: open, reopen: reopen}
					test(e)
					e.clean()
				})
			}
		})
	}
	t.Run("Model", func(t *testing.T) { model(t, open, reopen) })
}

// env is a test with its store.
type env struct {
	*testing.T
	s      state.Store
	open   Open
	reopen Reopen
}

// clean reports what the store says is wrong with it.
func (e *env) clean() {
	e.Helper()
	if e.s == nil {
		return
	}
	if err := e.s.Check(e.Context(), func(p string) { e.Errorf("check: %s", p) }); err != nil {
		e.Errorf("check: %v", err)
	}
}

func (e *env) restart() {
	e.Helper()
	e.s = e.reopen(e.T, e.s)
}

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) update(k state.Key, changes ...state.Change) state.Recording {
	e.Helper()
	r, err := e.s.Update(e.Context(), k, state.Do(changes...))
	e.ok(err)
	return r
}

func (e *env) get(k state.Key) state.Recording {
	e.Helper()
	r, err := e.s.Get(e.Context(), k)
	e.ok(err)
	return r
}

func (e *env) track(keys ...state.Key) {
	e.Helper()
	_, err := e.s.Track(e.Context(), keys)
	e.ok(err)
}

func (e *env) events() []state.Event {
	e.Helper()
	ev, err := e.s.Events(e.Context(), 0, 1<<20)
	e.ok(err)
	return ev
}

func (e *env) same(what string, want, got any) {
	e.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		e.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func rec(tenant string, n int) state.Key {
	return state.Key{Tenant: tenant, RecordID: fmt.Sprintf("rec-%04d", n)}
}

func ref(k state.Key, file string) state.FileRef { return state.FileRef{Key: k, FileID: file} }

// day is the n-th day of 2024.
func day(n int) time.Time { return time.Date(2024, 1, n, 12, 0, 0, 0, time.UTC) }

// far is later than everything that can become due.
func far() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

func dest() state.Destination { return state.Destination{Bucket: "b"} }

// discover is a file whose key is its own.
func discover(k state.Key, id string) state.Discover {
	return state.Discover{
		FileID: id, Filename: id + ".mp4", Dest: dest(), Keys: []string{k.String() + "/" + id},
		Listing: state.Listing{DeclaredSize: 10, Start: day(1), Stop: day(2), Deadline: day(9)},
	}
}

func version(id string) state.SourceVersion {
	return state.SourceVersion{ETag: `"` + id + `"`, Length: 10, Strong: true}
}

// store brings a discovered file to stored.
func store(id string) []state.Change {
	v := version(id)
	return []state.Change{
		state.Start{FileID: id},
		state.Pin{FileID: id, Version: v},
		state.MarkStored{
			FileID: id, Version: v, Size: 10, Sums: state.Checksums{SHA256: "sha-" + id, CRC64NVME: 7},
			Object: state.Object{ETag: "etag-" + id, VersionID: "1", LastModified: day(3)},
		},
	}
}

func verify(id string) state.Change {
	return state.Verify{
		FileID: id, Level: state.LevelFullObject,
		Object: state.Object{ETag: "etag-" + id, VersionID: "1", LastModified: day(3)},
	}
}

func written(r state.Recording) state.ManifestWritten {
	r.ArchivedAt = day(4)
	return state.ManifestWritten{Dest: dest(), Key: "manifests/" + r.RecordID, ETag: "m", Rendered: r}
}

// Archive brings a recording, tracked or not, to archived with these files.
func Archive(ctx context.Context, s state.Store, k state.Key, files ...string) (state.Recording, error) {
	changes := []state.Change{state.Track{}}
	for _, id := range files {
		changes = append(append(append(changes, discover(k, id)), store(id)...), verify(id))
	}
	if _, err := s.Update(ctx, k, state.Do(append(changes, state.Settle{})...)); err != nil {
		return state.Recording{}, err
	}
	return s.Update(ctx, k, func(r state.Recording) ([]state.Change, error) {
		return []state.Change{written(r)}, nil
	})
}

func (e *env) archive(k state.Key, files ...string) state.Recording {
	e.Helper()
	r, err := Archive(e.Context(), e.s, k, files...)
	e.ok(err)
	if r.Status != state.Archived {
		e.Fatalf("%s is %s, want archived", k, r.Status)
	}
	return r
}
