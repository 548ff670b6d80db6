package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

func put(bucket string, k, v []byte) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put(k, v) }
}

// each changes a value of a bucket in place, with a right checksum: what only
// the meaning gives away.
func each(bucket, old, changed string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if p := bolt.Payload(v); bytes.Contains(p, []byte(old)) {
				return b.Put(bytes.Clone(k), bolt.Reseal(k, bytes.Replace(p, []byte(old), []byte(changed), 1)))
			}
		}
		return errors.New("nothing to change in " + bucket)
	}
}

func dropFirst(bucket string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		k, _ := b.Cursor().First()
		if k == nil {
			return errors.New("nothing to drop in " + bucket)
		}
		return b.Delete(k)
	}
}

// TestCheckFinds makes one fact wrong at a time.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	nobody := []byte("\x04acme\x06nobody")
	at := string(make([]byte, 8))
	tests := map[string]struct {
		change func(*bbolt.Tx) error
		want   string
	}{
		"status":              {each("recordings", `"status":"archived"`, `"status":"deleting"`), "lead to"},
		"impossible":          {each("recordings", `"status":"archived"`, `"status":"source_deleted"`), "without a warrant"},
		"unknown warrant":     {each("recordings", `"deletion":{`, `"deletion":{"warrant_id":"w",`), "is not stored"},
		"phase":               {each("files", `"phase":"transferring"`, `"phase":"discovered"`), "before its transfer"},
		"key of a file":       {each("files", `"key":"`, `"key":"x`), "not reserved"},
		"no upload":           {each("files", `"upload":{"id":"u"`, `"upload":{"id":""`), "has no upload"},
		"event":               {each("events", `"to":"archiving"`, `"to":"archived"`), "but it was"},
		"event of another":    {each("events", `"record_id":"a"`, `"record_id":"b"`), "names an event of"},
		"counter":             {each("totals", `"waiting":120`, `"waiting":119`), "the counters say"},
		"poll time":           {each("recordings", `"poll":{"next_at":"2`, `"poll":{"next_at":"3`), "has no entry"},
		"no recording":        {dropFirst("recordings"), "its recording is not there"},
		"no file":             {dropFirst("files"), "has another key or is not there"},
		"no reservation":      {dropFirst("keys"), "not reserved"},
		"no event":            {dropFirst("events"), "event 2 follows event 0"},
		"no event of":         {dropFirst("events_of"), "has no entry"},
		"no status":           {dropFirst("by_status"), "has no entry"},
		"no poll":             {dropFirst("poll"), "has no entry"},
		"no transfer":         {dropFirst("transfer"), "has no entry"},
		"no delete":           {dropFirst("delete"), "has no entry"},
		"no totals":           {dropFirst("totals"), "no counters"},
		"stray file":          {put("files", append(nobody, 'f'), bolt.Reseal(append(nobody, 'f'), []byte(`{"file_id":"f"}`))), "its recording is not there"},
		"stray reservation":   {put("keys", []byte("odd"), bolt.Seal([]byte("odd"), append(nobody, 'f'))), "is not there"},
		"stray event":         {put("events_of", append(nobody, at...), bolt.IndexEntry(append(nobody, at...))), "not there"},
		"stray poll":          {put("poll", []byte("\x04acme"+at+"\x01a"), bolt.IndexEntry([]byte("\x04acme"+at+"\x01a"))), "nothing calls for"},
		"stray confirm":       {put("confirm", []byte("\x04acme"+at+"\x01a"), bolt.IndexEntry([]byte("\x04acme"+at+"\x01a"))), "nothing calls for"},
		"stray transfer":      {put("transfer", []byte("\x04acme"+at+at+"\x01af"), bolt.IndexEntry([]byte("\x04acme"+at+at+"\x01af"))), "nothing calls for"},
		"stray status":        {put("by_status", []byte("\x04acmew"+at+"a"), bolt.IndexEntry([]byte("\x04acmew"+at+"a"))), "nothing calls for"},
		"stray conference":    {put("by_conference", []byte("\x04acme\x01c"+at+"a"), bolt.IndexEntry([]byte("\x04acme\x01c"+at+"a"))), "nothing calls for"},
		"stray warrant entry": {put("warrants_at", []byte("\x04acme"+at+"w"), bolt.IndexEntry([]byte("\x04acme"+at+"w"))), "nothing calls for"},
		"no pending":          {dropFirst("pending"), "has no entry"},
		"stray pending":       {put("pending", []byte("\x04acme"+at+at+"\x01af"), bolt.IndexEntry([]byte("\x04acme"+at+at+"\x01af"))), "nothing calls for"},
		"no session":          {dropFirst("conferences"), "which is not there"},
		"no open session":     {dropFirst("conferences_open"), "has no entry"},
		"stray open session":  {put("conferences_open", []byte("\x04acme\x03odd"+"live"), bolt.IndexEntry([]byte("\x04acme\x03odd"+"live"))), "nothing calls for"},
		"session":             {each("conferences", `"status":"unresolved"`, `"status":"closed"`), "lead to"},
		"session's event":     {each("events", `"record_unresolved","from":"opening"`, `"record_unresolved","from":"open"`), "but it was"},
		"no event of session": {dropFirst("events_of_conference"), "has no entry"},
		"untracked":           {each("events", `"type":"untracked"`, `"type":"settled"`), "which is not there"},
		"untracked from":      {each("events", `"untracked","from":"waiting"`, `"untracked","from":"archived"`), "untracks it from"},
		"checksum":            {put("facts", []byte("fact"), bolt.Seal([]byte("other"), []byte("x"))), "checksum"},
		"odd key":             {put("recordings", []byte("odd"), bolt.Reseal([]byte("odd"), []byte("{}"))), "no recording"},
		"cut value":           {put("facts", []byte("fact"), []byte("x")), "cut off"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filled(t)
			edit(t, path, tt.change)
			before := read(t, path)
			s := openAt(t, path)
			var problems []string
			if err := s.Check(t.Context(), func(p string) { problems = append(problems, p) }); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(problems, "\n"), tt.want) {
				t.Errorf("%q are found, want one that says %q", problems, tt.want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := bolt.Compact(t.Context(), path); err == nil {
				t.Error("a state with problems was compacted")
			}
			if !bytes.Equal(before, read(t, path)) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestBackup copies while writers run: each copy opens and is sound.
func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "state.db"))
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				k := state.Key{Tenant: "acme", RecordID: fmt.Sprintf("%d-%d", w, i)}
				if _, err := statetest.Archive(ctx, s, k, "f", "g"); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	last := 0
	for i := range 5 {
		k := state.Key{Tenant: "beta", RecordID: fmt.Sprint(i)}
		if _, err := statetest.Archive(t.Context(), s, k, "f"); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprint("copy", i))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Backup(t.Context(), f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		c := openAt(t, path)
		if size, err := c.Size(); err != nil || size != n {
			t.Errorf("the copy has %d bytes, %d were reported, %v", size, n, err)
		}
		clean(t, c)
		if _, err := c.Get(t.Context(), k); err != nil {
			t.Error(err)
		}
		totals, err := c.Totals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := totals["acme"].Recordings[state.Archived]; n < last {
			t.Errorf("copy %d has %d recordings, the one before had %d", i, n, last)
		} else {
			last = n
		}
	}
	stop()
	writers.Wait()
	canceled, cancel := context.WithCancel(t.Context())
	w := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if _, err := s.Backup(canceled, w); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled backup: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestSlowBackup has the reader of a backup stop in the middle: writers must
// go on, though the file grows.
func TestSlowBackup(t *testing.T) {
	t.Parallel()
	s := openAt(t, filled(t))
	begun, grown := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w := writerFunc(func(p []byte) (int, error) {
		once.Do(func() { close(begun) })
		<-grown
		return len(p), nil
	})
	var backup sync.WaitGroup
	backup.Go(func() {
		if _, err := s.Backup(t.Context(), w); err != nil {
			t.Error(err)
		}
	})
	<-begun
	before, _ := s.Size()
	for i := range 6 {
		if err := s.SetFact(t.Context(), fmt.Sprint("big", i), make([]byte, 1<<19)); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := s.Size(); after < before+1<<20 {
		t.Errorf("the file has hardly grown: %d, %d", before, after)
	}
	close(grown)
	backup.Wait()
}

func TestCompact(t *testing.T) {
	t.Parallel()
	path := filled(t)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	for i := range 20 {
		if err := s.SetFact(t.Context(), fmt.Sprint("big", i), make([]byte, 1<<18)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if err := s.SetFact(t.Context(), fmt.Sprint("big", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := everything(t, path)
	before, after, err := bolt.Compact(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if after >= before || info.Size() != after || before < 5<<20 {
		t.Errorf("%d bytes became %d; the file has %d", before, after, info.Size())
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("the mode became %v", info.Mode())
	}
	if !bytes.Equal(want, everything(t, path)) {
		t.Error("the content changed")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("something was left: %v", entries)
	}
	clean(t, openAt(t, path))
	refused(t, path, state.StateLocked)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := bolt.Compact(ctx, filled(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled compaction: %v", err)
	}
	none := filepath.Join(t.TempDir(), "none.db")
	if _, _, err := bolt.Compact(t.Context(), none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a compaction of nothing: %v", err)
	}
	if _, err := os.Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a compaction of nothing made a state")
	}
}

// TestMigration goes two schemas on in batches and is stopped after each one: the next Open goes on, and the copy is what it was at first.
func TestMigration(t *testing.T) {
	t.Parallel()
	path := filled(t)
	stop := errors.New("killed")
	runs := map[string]int{}
	budget := 0
	// Each step appends its name to every fact, two at a time.
	step := func(name string) bolt.Step {
		return func(tx *bbolt.Tx, cursor []byte) ([]byte, error) {
			if budget--; budget < 0 {
				return nil, stop
			}
			runs[name]++
			b := tx.Bucket([]byte("facts"))
			var keys [][]byte
			c := b.Cursor()
			for k, _ := c.Seek(cursor); k != nil && len(keys) < 3; k, _ = c.Next() {
				keys = append(keys, bytes.Clone(k))
			}
			for _, k := range keys[:min(2, len(keys))] {
				if err := b.Put(k, bolt.Seal(k, append(bytes.Clone(bolt.Payload(b.Get(k))), name...))); err != nil {
					return nil, err
				}
			}
			if len(keys) == 3 {
				return keys[2], nil
			}
			return nil, nil
		}
	}
	s := openAt(t, path)
	for i := range 4 {
		if err := s.SetFact(t.Context(), fmt.Sprint("fact", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	original := everything(t, path)
	now := bolt.Present()
	bak := fmt.Sprintf("%s.v%d.bak", path, now)
	open := func(n int) (*bolt.Store, error) {
		budget = n
		return bolt.OpenSchema(t.Context(), path, options(), now+2, map[int]bolt.Step{now: step("a"), now + 1: step("b")})
	}
	for i := range 6 {
		s, err := open(1)
		if i == 5 {
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			break
		}
		if !errors.Is(err, stop) {
			t.Fatalf("run %d: %v", i, err)
		}
		// On the way, the old version refuses.
		_, err = bolt.Open(t.Context(), path, options())
		if e, ok := errors.AsType[*state.OpenError](err); !ok || e.Kind != state.StateNewer {
			t.Fatalf("run %d: the old version says %v", i, err)
		}
	}
	if runs["a"] != 3 || runs["b"] != 3 {
		t.Errorf("the batches ran %v times, want 3 each", runs)
	}
	if !bytes.Equal(original, everything(t, bak)) {
		t.Error("the copy is not what there was before")
	}
	clean(t, openAt(t, bak))
}

func TestMigrationResult(t *testing.T) {
	t.Parallel()
	path := filled(t)
	add := func(tx *bbolt.Tx, _ []byte) ([]byte, error) {
		return nil, tx.Bucket([]byte("facts")).Put([]byte("new"), bolt.Seal([]byte("new"), []byte("x")))
	}
	open := func(version int, steps map[int]bolt.Step) (*bolt.Store, error) {
		return bolt.OpenSchema(t.Context(), path, options(), version, steps)
	}
	now := bolt.Present()
	if _, err := open(now+2, map[int]bolt.Step{now: add}); err == nil {
		t.Fatal("a migration without a way succeeded")
	}
	// It stands half-way; a version that knows the way goes on.
	s, err := open(now+2, map[int]bolt.Step{now + 1: add})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.Fact(t.Context(), "new"); err != nil || string(v) != "x" {
		t.Errorf("the fact is %q, %v", v, err)
	}
	clean(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = open(now+2, nil) // nothing is left to do
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, state.StateNewer)
}
