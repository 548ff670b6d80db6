package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

// filled makes a state with some of everything and returns its path.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	for i, id := range []string{"a", "b", "c"} {
		k := state.Key{Tenant: "acme", RecordID: id}
		if _, err := statetest.Archive(t.Context(), s, k, "f", "g"); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		late := state.Discover{FileID: "late", Keys: []string{id + "late"}, Dest: state.Destination{Bucket: "b"}}
		v := state.SourceVersion{ETag: "v"}
		changes := []state.Change{
			late,
			state.Start{FileID: "late"},
			state.Pin{FileID: "late", Version: v},
			state.IntendUpload{FileID: "late", PartSize: 1},
			state.OpenUpload{FileID: "late", UploadID: "u"},
		}
		if _, err := s.Update(t.Context(), k, state.Do(changes...)); err != nil {
			t.Fatal(err)
		}
		if err := s.AddParts(t.Context(), state.FileRef{Key: k, FileID: "late"}, "u", state.Part{Number: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetFact(t.Context(), "fact", []byte("value")); err != nil {
		t.Fatal(err)
	}
	var keys []state.Key
	for i := range 120 {
		keys = append(keys, state.Key{Tenant: "bulk", RecordID: strings.Repeat("x", i%40) + string(rune('a'+i%26)) + time.Duration(i).String()})
	}
	if _, err := s.Track(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	gone := state.Key{Tenant: "acme", RecordID: "gone"}
	if _, err := s.Update(t.Context(), gone, state.Do(state.Track{}, state.Untrack{})); err != nil {
		t.Fatal(err)
	}
	sessions(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func edit(t *testing.T, path string, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// anew makes another database in the place of a state.
func anew(t *testing.T, path string, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	must(t, os.Remove(path))
	edit(t, path, fn)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefused opens files that cannot be used: each is named, explained, and
// left as it was to the byte and the nanosecond.
func TestRefused(t *testing.T) {
	t.Parallel()
	bytesOf := func(fn func(b []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { write(t, path, fn(read(t, path))) }
	}
	tests := map[string]struct {
		want state.OpenProblem
		make func(t *testing.T, path string)
	}{
		"text": {state.StateForeign, func(t *testing.T, p string) { write(t, p, []byte("tenants:\n")) }},
		"SQLite": {state.StateForeign, func(t *testing.T, p string) {
			write(t, p, append([]byte("SQLite format 3\x00"), make([]byte, 8192)...))
		}},
		"one byte":      {state.StateForeign, func(t *testing.T, p string) { write(t, p, []byte{0}) }},
		"empty":         {state.StateDamaged, func(t *testing.T, p string) { write(t, p, nil) }},
		"empty bbolt":   {state.StateForeign, func(t *testing.T, p string) { anew(t, p, func(*bbolt.Tx) error { return nil }) }},
		"another bbolt": {state.StateForeign, otherApplication},
		"other header": {state.StateForeign, func(t *testing.T, p string) {
			anew(t, p, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("header")); return err })
		}},
		"directory": {state.StateForeign, func(t *testing.T, p string) { must(t, errors.Join(os.Remove(p), os.Mkdir(p, 0o700))) }},
		"newer":     {state.StateNewer, func(t *testing.T, p string) { edit(t, p, newerSchema) }},
		"newer bbolt": {state.StateDamaged, bytesOf(func(b []byte) []byte {
			binary.NativeEndian.PutUint32(b[20:], 3)
			binary.NativeEndian.PutUint32(b[4096+20:], 3)
			return b
		})},
		"both metas":       {state.StateDamaged, bytesOf(func(b []byte) []byte { b[16+40]++; b[4096+16+40]++; return b })},
		"cut in the metas": {state.StateDamaged, bytesOf(func(b []byte) []byte { return b[:5000] })},
		"cut short":        {state.StateDamaged, bytesOf(func(b []byte) []byte { return b[:5*4096] })},
		"root page":        {state.StateDamaged, bytesOf(func(b []byte) []byte { return spoil(b, rootOf(b), 0) })},
		"root type":        {state.StateDamaged, bytesOf(func(b []byte) []byte { return spoil(b, rootOf(b), 8) })},
		"root content":     {state.StateDamaged, bytesOf(func(b []byte) []byte { at := rootOf(b) * 4096; clear(b[at+16 : at+4096]); return b })},
		"free list":        {state.StateDamaged, bytesOf(func(b []byte) []byte { return spoil(b, freelistOf(b), 8) })},
		"free list entry":  {state.StateDamaged, bytesOf(func(b []byte) []byte { return spoil(b, freelistOf(b), 16+6) })},
		"no free list": {state.StateDamaged, func(t *testing.T, p string) {
			db, err := bbolt.Open(p, 0o600, &bbolt.Options{NoFreelistSync: true})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("facts")).Put([]byte("x"), []byte("y")) })
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		"header value": {state.StateDamaged, func(t *testing.T, p string) {
			edit(t, p, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("header")).Put([]byte("header"), []byte("x")) })
		}},
		"bucket missing": {state.StateDamaged, func(t *testing.T, p string) {
			edit(t, p, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("events")) })
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filled(t)
			tt.make(t, path)
			long := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
			if err := os.Chtimes(path, long, long); err != nil {
				t.Fatal(err)
			}
			refused(t, path, tt.want)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !info.ModTime().Equal(long) {
				t.Error("the file was written to")
			}
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
				t.Errorf("something was left beside it: %v", entries)
			}
		})
	}
}

func refused(t *testing.T, path string, want state.OpenProblem) {
	t.Helper()
	before, _ := os.ReadFile(path)
	for name, open := range map[string]func() error{
		"Open":    func() error { s, err := bolt.Open(t.Context(), path, options()); return errors.Join(err, closed(s)) },
		"Compact": func() error { _, _, err := bolt.Compact(t.Context(), path); return err },
	} {
		err := open()
		e, ok := errors.AsType[*state.OpenError](err)
		if !ok {
			t.Fatalf("%s: %v, want an OpenError", name, err)
		}
		if e.Kind != want || e.Hint == "" || e.Path != path {
			t.Errorf("%s: %v: kind %s, want %s", name, e, e.Kind, want)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func closed(s *bolt.Store) error {
	if s == nil {
		return nil
	}
	return s.Close()
}

func otherApplication(t *testing.T, path string) {
	anew(t, path, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("bucket"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), []byte("v"))
	})
}

// current returns the offset of the meta page in force.
func current(b []byte) int {
	e := binary.NativeEndian
	if e.Uint64(b[4096+64:]) > e.Uint64(b[64:]) {
		return 4096
	}
	return 0
}

func rootOf(b []byte) int     { return int(binary.NativeEndian.Uint64(b[current(b)+32:])) }
func freelistOf(b []byte) int { return int(binary.NativeEndian.Uint64(b[current(b)+48:])) }

func spoil(b []byte, page, at int) []byte {
	b[page*4096+at] ^= 0x55
	return b
}

func TestLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	refused(t, path, state.StateLocked)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestDenied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), []byte("x"))
	for _, path := range []string{filepath.Join(dir, "none", "state.db"), filepath.Join(dir, "file", "state.db")} {
		refused(t, path, state.StateDenied)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	openAt(t, filepath.Join(dir, "held.db"))
	if _, err := bolt.Open(ctx, filepath.Join(dir, "held.db"), options()); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled Open: %v", err)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state [1].db")
	for _, left := range []string{path + ".new-123", path + ".compact-9", path + ".bak-7"} {
		write(t, left, []byte("half"))
	}
	keep := []string{path + ".v0.bak", filepath.Join(dir, "other.db.new-1")}
	for _, p := range keep {
		write(t, p, []byte("whole"))
	}
	openAt(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	for _, p := range keep {
		if string(read(t, p)) != "whole" {
			t.Errorf("%s was touched", p)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1+len(keep) {
		t.Errorf("what a crash has left is still there: %v", entries)
	}
}

// TestEveryFlippedByte damages a byte at a time. Whatever it hits, nothing
// panics, and either Open refuses or Check finds it or nothing that is read
// has changed.
func TestEveryFlippedByte(t *testing.T) {
	t.Parallel()
	good := filled(t)
	if _, _, err := bolt.Compact(t.Context(), good); err != nil {
		t.Fatal(err) // so that most bytes are in use
	}
	want := everything(t, good)
	b := read(t, good)
	used := map[string]int{}
	path := filepath.Join(t.TempDir(), "state.db")
	for at := 3; at < len(b); at += len(b)/80 | 1 {
		bad := bytes.Clone(b)
		bad[at] ^= 1 << (at % 8)
		write(t, path, bad)
		s, err := bolt.Open(t.Context(), path, options())
		if err != nil {
			used["refused"]++
			if _, ok := errors.AsType[*state.OpenError](err); !ok {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		var problems []string
		if err := s.Check(t.Context(), func(p string) { problems = append(problems, p) }); err != nil {
			problems = append(problems, err.Error())
		}
		exercise(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("byte %d: close: %v", at, err)
		}
		if len(problems) > 0 {
			used["found"]++
			continue
		}
		used["unread"]++
		write(t, path, bad)
		if got := everything(t, path); !bytes.Equal(got, want) {
			t.Errorf("byte %d is wrong, and nobody noticed", at)
		}
	}
	t.Log(used)
	if used["found"] < 20 {
		t.Errorf("the damage was hardly looked at: %v", used)
	}
}

// exercise calls everything: errors are fine, panics are not.
func exercise(t *testing.T, s *bolt.Store) {
	ctx := t.Context()
	k := state.Key{Tenant: "acme", RecordID: "b"}
	_, _ = s.Get(ctx, k)
	_, _ = s.List(ctx, state.Query{Limit: 1000})
	_, _ = s.List(ctx, state.Query{ConferenceKey: "c"})
	_, _ = s.Totals(ctx)
	_, _ = s.Events(ctx, 0, 10000)
	_, _ = s.EventsOf(ctx, k, 100)
	_, _ = s.Parts(ctx, state.FileRef{Key: k, FileID: "late"})
	for _, w := range []state.Work{state.WorkPoll, state.WorkTransfer, state.WorkManifest, state.WorkDelete} {
		_, _ = s.Claim(ctx, w, "acme", time.Now(), 1000)
		_, _ = s.Claim(ctx, w, "bulk", time.Now(), 1000)
	}
	_, _ = s.Fact(ctx, "fact")
	_, _ = s.Track(ctx, []state.Key{{Tenant: "acme", RecordID: "bb"}, {Tenant: "bulk", RecordID: "new"}})
}

// everything is all that a state says.
func everything(t *testing.T, path string) []byte {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, db.Close()) }()
	var out bytes.Buffer
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			out.Write(name)
			return b.ForEach(func(k, v []byte) error { out.Write(k); out.Write(v); return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestTruncatedWhileOpen takes pages away under the memory map: a fault.
func TestTruncatedWhileOpen(t *testing.T) {
	t.Parallel()
	path := filled(t)
	s := openAt(t, path)
	b := read(t, path)
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	_, err := s.List(t.Context(), state.Query{Limit: 1000})
	if e, ok := errors.AsType[*state.OpenError](err); !ok || e.Kind != state.StateDamaged {
		t.Errorf("List: %v, want damaged", err)
	}
	if failed(s) {
		t.Error("one page that cannot be read has ended the store")
	}
	_, err = s.Update(t.Context(), state.Key{Tenant: "bulk", RecordID: "new"}, state.Do(state.Track{}))
	if !failed(s) {
		t.Error("nobody is told that the store has ended")
	}
	if e, ok := errors.AsType[*state.OpenError](err); !ok || e.Kind != state.StateDamaged {
		t.Errorf("Update: %v, want damaged", err)
	}
	if _, err := s.Totals(t.Context()); err == nil {
		t.Error("the store goes on after a panic in a write")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	write(t, path, b) // the lock is free again
	openAt(t, path)
}

func failed(s *bolt.Store) bool {
	select {
	case <-s.Failed():
		return true
	default:
		return false
	}
}

// TestWriteFails takes the disk away: the store ends, once, and says so.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := bolt.Open(t.Context(), path, options())
	must(t, err)
	must(t, s.SetFact(t.Context(), "a", []byte("1")))
	if failed(s) {
		t.Error("a good store has ended")
	}
	must(t, s.Unplug())
	for _, name := range []string{"b", "c"} {
		if err := s.SetFact(t.Context(), name, []byte("2")); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("a write without a disk: %v", err)
		}
		if !failed(s) {
			t.Fatal("nobody is told that the store has ended")
		}
	}
	if _, err := s.Size(); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("the reason is %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("a file that is closed already was closed")
	}
	if v, err := openAt(t, path).Fact(t.Context(), "a"); err != nil || string(v) != "1" {
		t.Errorf("what was written is %q, %v", v, err)
	}
}

func newerSchema(tx *bbolt.Tx) error { return bolt.WriteSchema(tx, 99) }
