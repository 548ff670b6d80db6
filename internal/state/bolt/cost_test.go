package bolt_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

func randomID(i int) string {
	sum := sha256.Sum256(fmt.Append(nil, i))
	return hex.EncodeToString(sum[:16]) // 32 characters, as the vendor's
}

func tracked(t testing.TB, s *bolt.Store, n int) {
	t.Helper()
	keys := make([]state.Key, n)
	for i := range keys {
		keys[i] = state.Key{Tenant: "acme", RecordID: randomID(i)}
	}
	if _, err := s.Track(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
}

// TestCostIsOfWhatIsReturned counts lookups and moves of cursors, with few and
// with many recordings: the number must not depend on them.
func TestCostIsOfWhatIsReturned(t *testing.T) {
	t.Parallel()
	small, large := costs(t, 500), costs(t, 8_000)
	for name, n := range small {
		if large[name] != n {
			t.Errorf("%s: %d steps with 500 recordings, %d with 8,000", name, n, large[name])
		}
		if n > 60 {
			t.Errorf("%s takes %d steps for 10 results", name, n)
		}
	}
}

func costs(t *testing.T, n int) map[string]int64 {
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	tracked(t, s, n)
	ctx, now := t.Context(), time.Now().Add(time.Hour)
	k := state.Key{Tenant: "acme", RecordID: randomID(7)}
	if _, err := statetest.Archive(ctx, s, k, "f"); err != nil {
		t.Fatal(err)
	}
	idle := state.Key{Tenant: "acme", RecordID: randomID(9)}
	for i := range n / 20 {
		late := state.Key{Tenant: "acme", RecordID: randomID(10 + i)}
		file := state.Discover{FileID: "f", Keys: []string{late.RecordID}}
		if _, err := s.Update(ctx, late, state.Do(file, state.Fail{FileID: "f", RetryAt: now.Add(time.Hour)})); err != nil {
			t.Fatal(err)
		}
		ref := state.ConferenceRef{Tenant: "acme", ConferenceKey: fmt.Sprint(i), Kind: state.KindRecord}
		for _, c := range []state.SessionChange{state.Intend{}, state.Refuse{}, state.Intend{}} {
			if _, err := s.MoveConference(ctx, ref, func(state.Session) (state.SessionChange, error) { return c, nil }); err != nil {
				t.Fatal(err)
			}
			if _, refused := c.(state.Refuse); refused && i >= 3 {
				break // three stay open
			}
		}
	}
	out := map[string]int64{}
	for _, c := range []struct {
		name string
		fn   func() error
	}{
		{"Claim", func() error { _, err := s.Claim(ctx, state.WorkPoll, "acme", now, 10); return err }},
		{"Claim of the next", func() error { _, err := s.Claim(ctx, state.WorkPoll, "acme", now, 10); return err }},
		{"Claim of none", func() error { _, err := s.Claim(ctx, state.WorkTransfer, "acme", now, 10); return err }},
		{"List", func() error { _, err := s.List(ctx, state.Query{Limit: 10}); return err }},
		{"List by status", func() error {
			_, err := s.List(ctx, state.Query{Limit: 10, Statuses: []state.Status{state.Archived}})
			return err
		}},
		{"Totals", func() error { _, err := s.Totals(ctx); return err }},
		{"Get", func() error { _, err := s.Get(ctx, k); return err }},
		{"EventsOf", func() error { _, err := s.EventsOf(ctx, k, 10); return err }},
		{"Events", func() error { _, err := s.Events(ctx, uint64(n-20), 10); return err }},
		{"LastEvent", func() error { _, err := s.LastEvent(ctx); return err }},
		{"Backlog", func() error { _, err := s.Backlog(ctx, "acme", 10); return err }},
		{"OpenSessions", func() error { _, err := s.OpenSessions(ctx, ""); return err }},
		{"Untrack", func() error { _, err := s.Update(ctx, idle, state.Do(state.Untrack{})); return err }},
		{"Update", func() error { _, err := s.Update(ctx, k, state.Do(state.Hold{On: true})); return err }},
	} {
		before := s.Steps()
		if err := c.fn(); err != nil {
			t.Fatal(c.name, err)
		}
		out[c.name] = s.Steps() - before
	}
	return out
}

// TestBytesPerRecording holds a recording that waits, with its indexes and its
// event, to a kibibyte.
func TestBytesPerRecording(t *testing.T) {
	t.Parallel()
	const n = 10_000
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	tracked(t, s, n)
	size, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	if per := size / n; per > 800 {
		t.Errorf("%d bytes per waiting recording", per)
	} else {
		t.Logf("%d bytes per waiting recording", per)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, after, err := bolt.Compact(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if per := after / n; per > 800 {
		t.Errorf("%d bytes per waiting recording after compaction", per)
	} else {
		t.Logf("%d bytes per waiting recording after compaction", per)
	}
}

func bench(b *testing.B, n int) *bolt.Store {
	s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
	tracked(b, s, n)
	return s
}

func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := bench(b, 1000)
			var n atomic.Int64
			b.SetParallelism(writers) // times GOMAXPROCS
			if writers == 1 {
				for b.Loop() {
					update(b, s, int(n.Add(1)))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					update(b, s, int(n.Add(1)))
				}
			})
		})
	}
}

func update(b *testing.B, s *bolt.Store, n int) {
	k := state.Key{Tenant: "acme", RecordID: randomID(n % 1000)}
	poll := state.Poll{NextAt: time.Unix(int64(n), 0), LastAt: time.Unix(int64(n), 0)}
	if _, err := s.Update(b.Context(), k, state.Do(state.Polled{Poll: poll})); err != nil {
		b.Error(err)
	}
}

func BenchmarkAddParts(b *testing.B) {
	s := bench(b, 0)
	k := state.Key{Tenant: "acme", RecordID: "r"}
	_, err := s.Update(b.Context(), k, state.Do(
		state.Track{}, state.Discover{FileID: "f", Keys: []string{"k"}}, state.Start{FileID: "f"}, state.Pin{FileID: "f"},
		state.IntendUpload{FileID: "f"}, state.OpenUpload{FileID: "f", UploadID: "u"},
	))
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int32
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p := state.Part{Number: n.Add(1)%10_000 + 1, Size: 8 << 20, ETag: randomID(1), Hash: make([]byte, 128)}
			if err := s.AddParts(b.Context(), state.FileRef{Key: k, FileID: "f"}, "u", p); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkClaim(b *testing.B) {
	s := bench(b, 100_000)
	now := time.Now().Add(time.Hour)
	b.ResetTimer()
	for b.Loop() {
		got, err := s.Claim(b.Context(), state.WorkPoll, "acme", now, 100)
		if err != nil || len(got) != 100 {
			b.Fatal(len(got), err)
		}
		s.Release(state.WorkPoll, got...)
	}
}

func BenchmarkTrack(b *testing.B) {
	for b.Loop() {
		s := bench(b, 100_000)
		size, err := s.Size()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/100_000, "B/recording")
	}
}
