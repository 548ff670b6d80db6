package bolt_test

import (
	"testing"
	"time"

	"archiver/internal/state/bolt"
)

// TestGather: whoever waits is taken, and nobody is waited for who is not
// expected, or whose time is over.
func TestGather(t *testing.T) {
	t.Parallel()
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		waiting, expected int
		until             time.Time
		want              int
	}{
		"alone":                   {1, 1, soon, 1},
		"all are there":           {3, 3, soon, 3},
		"more than expected":      {5, 2, soon, 5},
		"some are late":           {2, 5, past, 2},
		"nobody follows":          {2, 5, soon, 2},
		"too many for one":        {1000, 1, soon, 256},
		"too many are waited for": {300, 1000, past, 256},
	} {
		if got := bolt.Gather(c.waiting, c.expected, c.until); got != c.want {
			t.Errorf("%s: %d are taken, want %d", name, got, c.want)
		}
	}
}

// TestExpected: a crowd is remembered for eight commits, or until somebody has
// waited for it twice in vain.
func TestExpected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sizes      []int
		soon, late int
	}{
		{nil, 0, 0},
		{[]int{1, 1, 1}, 1, 1},
		{[]int{4, 9, 2, 3}, 9, 9},
		{[]int{4, 9, 1}, 9, 9},
		{[]int{4, 9, 1, 2, 1}, 9, 9},
		{[]int{4, 9, 1, 1}, 1, 9},
		{[]int{4, 9, 1, 1, 1, 1, 1, 1, 1}, 1, 9},
		{[]int{4, 9, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 1},
		{[]int{200}, 16, 16},
	} {
		if soon, late := bolt.Expected(true, c.sizes...), bolt.Expected(false, c.sizes...); soon != c.soon || late != c.late {
			t.Errorf("behind commits of %v %d are expected, or %d after pauses; want %d and %d", c.sizes, soon, late, c.soon, c.late)
		}
	}
}
