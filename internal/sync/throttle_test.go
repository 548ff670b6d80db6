package sync

import (
	"context"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestThrottleLooksAgain: a chunk that would take a quarter of an hour under
// one limit of a timetable does not, once another one holds.
func TestThrottleLooksAgain(t *testing.T) {
	t.Parallel()
	const chunk = 1 << 20
	asked := 0
	s := &Syncer{limiter: rate.NewLimiter(1000, chunk), o: Options{Clock: time.Now, Bandwidth: func(time.Time) int64 {
		if asked++; asked == 1 {
			return 1000
		}
		return 0
	}}}
	s.limiter.AllowN(time.Now(), chunk) // nothing is saved up
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.throttle(ctx, chunk); err != nil {
		t.Fatal(err)
	}
	if asked != 2 {
		t.Errorf("the timetable was asked %d times, want 2", asked)
	}
}
