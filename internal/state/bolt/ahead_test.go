package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
	"archiver/internal/state/statetest"
)

// TestClockFarAhead: what was put off under a wrong clock is due when the file
// is opened under the right one; what is put off for a good reason stays.
func TestClockFarAhead(t *testing.T) {
	t.Parallel()
	const horizon = 10 * 24 * time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "state.db")
	at := func(clock time.Time, horizon time.Duration) *bolt.Store {
		t.Helper()
		s, err := bolt.Open(t.Context(), path, bolt.Options{
			Clock: func() time.Time { return clock }, Logger: zap.NewNop(), Horizon: horizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	key := func(id string) state.Key { return state.Key{Tenant: "acme", RecordID: id} }
	works := []state.Work{state.WorkPoll, state.WorkManifest, state.WorkDelete, state.WorkTransfer}

	fill := func(s *bolt.Store, id string, due time.Time) {
		t.Helper()
		update := func(id string, c ...state.Change) {
			if _, err := s.Update(t.Context(), key(id), state.Do(c...)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := statetest.Archive(t.Context(), s, key("del-"+id), "f"); err != nil {
			t.Fatal(err)
		}
		update("del-"+id, state.Polled{Poll: state.Poll{NextAt: due, Empty: 2}},
			state.DeletionFailed{Detail: "busy", EligibleFrom: due, Backoff: time.Minute})
		if _, err := statetest.Archive(t.Context(), s, key("man-"+id), "f"); err != nil {
			t.Fatal(err)
		}
		update("man-"+id, state.Polled{}, state.ManifestWritten{ETag: "x"}, state.ManifestFailed{Error: "busy", RetryAt: due})
		update("way-"+id, state.Track{}, state.Polled{},
			state.Discover{FileID: "f", Keys: []string{id}}, state.Fail{FileID: "f", Error: "busy", RetryAt: due})
		update("pro-"+id, state.Track{}, state.Polled{},
			state.Discover{FileID: "f", Keys: []string{id + "p"}}, state.Fail{FileID: "f", Error: "busy", RetryAt: due, Counts: true})
	}
	s := at(now, 0)
	far := now.AddDate(10, 0, 0)
	fill(s, "soon", now.Add(horizon))
	fill(s, "far", far)
	// Promoted under that clock.
	claimed, err := s.Claim(t.Context(), state.WorkTransfer, "acme", far, 99)
	if err != nil || len(claimed) != 4 {
		t.Fatalf("%v, %v", claimed, err)
	}
	events, err := s.Events(t.Context(), 0, 1000)
	must(t, err)
	must(t, s.Close())

	for range 2 { // the second opening finds nothing to do
		s = at(now, horizon)
		for _, w := range works {
			got, err := s.Claim(t.Context(), w, "acme", now, 99)
			must(t, err)
			want := 1
			if w == state.WorkTransfer {
				want = 2
			}
			if len(got) != want {
				t.Errorf("%s: %v are due", w, got)
			}
			s.Release(w, got...)
			if due, err := s.Claim(t.Context(), w, "acme", now.Add(horizon), 99); err != nil || len(due) != 2*want {
				t.Errorf("%s: %v are due in time, %v", w, due, err)
			}
		}
		r, err := s.Get(t.Context(), key("del-far"))
		must(t, err)
		if r.Poll.Empty != 2 || r.Deletion.Error != "busy" || r.Deletion.Backoff != time.Minute || !r.Deletion.EligibleFrom.Equal(now) {
			t.Errorf("what else was known is lost: %+v, %+v", r.Poll, r.Deletion)
		}
		r, err = s.Get(t.Context(), key("pro-far"))
		must(t, err)
		if f := r.Files[0]; f.Attempts != 1 || f.Error != "busy" {
			t.Errorf("what else was known is lost: %+v", f)
		}
		if again, err := s.Events(t.Context(), 0, 1000); err != nil || len(again) != len(events) {
			t.Errorf("%d events instead of %d, %v", len(again), len(events), err)
		}
		clean(t, s)
		must(t, s.Close())
	}
}
