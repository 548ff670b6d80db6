package bolt_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// ids are n keys, in no order.
func ids(n int) []state.Key {
	keys := make([]state.Key, n)
	for i := range keys {
		keys[i] = state.Key{Tenant: "acme", RecordID: randomID(i)}
	}
	return keys
}

// TestTrackReportsInTheCallersOrder: whatever the order in which recordings are
// written, each report is of the key in its place.
func TestTrackReportsInTheCallersOrder(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	keys := ids(5_000)
	if _, err := s.Track(t.Context(), keys[:100]); err != nil {
		t.Fatal(err)
	}
	want := make([]bool, 0, 2*len(keys))
	for i := range keys {
		want = append(want, i >= 100)
	}
	want = append(want, make([]bool, len(keys))...) // named twice: the first one is new
	got, err := s.Track(t.Context(), append(slices.Clone(keys), keys...))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("reports (-want +got):\n%s", d)
	}
	n, err := s.Totals(t.Context())
	if err != nil || n["acme"].Recordings[state.Waiting] != len(keys) {
		t.Errorf("%v %v", n, err)
	}
	clean(t, s)
}

// TestTrackCutShort: the reports cover no key that was not written.
func TestTrackCutShort(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order func(a, b state.Key) int
		want  int
	}{
		"in the order of the file":      {func(a, b state.Key) int { return cmpID(a, b) }, 4000},
		"against the order of the file": {func(a, b state.Key) int { return cmpID(b, a) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			looks := 0
			clock := func() time.Time { // looked at once for each recording, after the file was made
				if looks++; looks > 3_000 {
					cancel()
				}
				return time.Now()
			}
			s, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), bolt.Options{Clock: clock, Logger: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			keys := slices.SortedFunc(slices.Values(ids(6_000)), c.order)
			got, err := s.Track(ctx, keys)
			if !errors.Is(err, context.Canceled) || len(got) != c.want {
				t.Errorf("%d reports, want %d; %v", len(got), c.want, err)
			}
			n, err := s.Totals(t.Context())
			if err != nil || n["acme"].Recordings[state.Waiting] != 4_000 {
				t.Errorf("%v %v", n, err)
			}
			again, err := s.Track(t.Context(), keys)
			if err != nil {
				t.Fatal(err)
			}
			isNew := 0
			for _, is := range again {
				if is {
					isNew++
				}
			}
			if isNew != 2_000 {
				t.Errorf("%d were left to be tracked", isNew)
			}
		})
	}
}

func cmpID(a, b state.Key) int {
	if a.RecordID < b.RecordID {
		return -1
	}
	return 1
}
