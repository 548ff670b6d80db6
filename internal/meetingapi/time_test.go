package meetingapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"archiver/internal/fault"
)

// script answers one handler after the other, the last one from then on.
func script(handlers ...http.HandlerFunc) http.Handler {
	var mu sync.Mutex
	next := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		h := handlers[min(next, len(handlers)-1)]
		next++
		mu.Unlock()
		h(w, r)
	})
}

func unavailable(retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, header := range []string{"7", " 7 ", "date"} {
		synctest.Test(t, func(t *testing.T) {
			h := header
			if h == "date" {
				h = time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)
			}
			c := inMemory(t, Options{}, script(unavailable(h), succeed))
			start := time.Now()
			if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d != 7*time.Second {
				t.Errorf("%q: waited %v", header, d)
			}
		})
	}
}

func TestLongRetryAfterIsTheCallers(t *testing.T) {
	tests := map[string]time.Duration{
		"61": 61 * time.Second, "3600": time.Hour, "99999999999999999": 24 * time.Hour,
	}
	for header, want := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := inMemory(t, Options{}, script(unavailable(header)))
			start := time.Now()
			_, err := c.GetRecords(t.Context(), "R1", Background)
			if fault.RetryAfterOf(err) != want || time.Since(start) != 0 {
				t.Errorf("%s: %v, RetryAfter %v after %v", header, err, fault.RetryAfterOf(err), time.Since(start))
			}
		})
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ours := now.Add(time.Hour) // our clock is wrong
	tests := []struct {
		header string
		date   time.Time
		want   time.Duration
	}{
		{"", now, 0},
		{"0", now, 0},
		{"-5", now, 0},
		{"soon", now, 0},
		{"30", now, 30 * time.Second},
		{now.Add(time.Minute).Format(http.TimeFormat), now, time.Minute},
		{now.Add(-time.Minute).Format(http.TimeFormat), now, 0},
		{ours.Add(time.Minute).Format(http.TimeFormat), time.Time{}, time.Minute},
		{now.AddDate(9, 0, 0).Format(http.TimeFormat), now, 24 * time.Hour},
	}
	for _, tt := range tests {
		if got := retryAfter(tt.header, tt.date, ours); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.header, got, tt.want)
		}
	}
}

// TestBackoff: the pauses grow, have jitter, and end with the attempts.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := inMemory(t, Options{MaxAttempts: 6}, script(func(w http.ResponseWriter, _ *http.Request) {
			at = append(at, time.Now())
			w.WriteHeader(http.StatusInternalServerError)
		}))
		if _, err := c.GetRecords(t.Context(), "R1", Background); !errors.Is(err, ErrServer) || len(at) != 6 {
			t.Fatalf("%v, %d attempts", err, len(at))
		}
		base := 500 * time.Millisecond
		for i := range at[1:] {
			if d := at[i+1].Sub(at[i]); d < base/2 || d > base*3/2 {
				t.Errorf("pause %d is %v, want %v ± 50 %%", i+1, d, base)
			}
			base *= 2
		}
	})
}

func TestAttemptTimeout(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	synctest.Test(t, func(t *testing.T) {
		obs := &observed{}
		c := inMemory(t, Options{Observe: obs.observe}, script(hang, succeed))
		start := time.Now()
		if _, err := c.GetRecords(t.Context(), "R1", Background); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < 30*time.Second || d > 31*time.Second {
			t.Errorf("took %v", d)
		}
		if d := cmp.Diff([]string{"getRecords timeout", "getRecords 200"}, obs.labels); d != "" {
			t.Error(d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t, Options{}, script(hang))
		err := c.DelRecordFile(t.Context(), "R1", nil)
		if fault.KindOf(err) != fault.Ambiguous || !strings.Contains(err.Error(), "no answer within 30s") {
			t.Error(err)
		}
	})
	// A body that never ends counts as well.
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t, Options{}, script(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		if err := c.DelRecordFile(t.Context(), "R1", nil); fault.KindOf(err) != fault.Ambiguous {
			t.Error(err)
		}
	})
}

// TestContextEnds in flight, in a pause, and at the gate.
func TestContextEnds(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	within := func(t *testing.T, h http.HandlerFunc, call string, end func(context.Context) (context.Context, context.CancelFunc)) error {
		c := inMemory(t, Options{}, script(h))
		ctx, cancel := end(t.Context())
		defer cancel()
		start := time.Now()
		_, err := do(ctx, c, call)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("took %v", d)
		}
		return err
	}
	canceled := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(5*time.Second, cancel)
		return ctx, cancel
	}
	deadline := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 5*time.Second)
	}
	tests := []struct {
		name  string
		h     http.HandlerFunc
		call  string
		end   func(context.Context) (context.Context, context.CancelFunc)
		kind  fault.Kind
		cause error
	}{
		{"poll canceled in flight", hang, "getRecords", canceled, fault.Canceled, context.Canceled},
		{"poll out of time in flight", hang, "getRecords", deadline, fault.Temporary, context.DeadlineExceeded},
		{"deletion canceled in flight", hang, "delRecordFile", canceled, fault.Ambiguous, context.Canceled},
		{"deletion out of time", hang, "delRecordFile", deadline, fault.Ambiguous, context.DeadlineExceeded},
		{"poll canceled in a pause", unavailable("50"), "getRecords", canceled, fault.Canceled, context.Canceled},
		{"poll out of time in a pause", unavailable("50"), "getRecords", deadline, fault.Temporary, ErrServer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := within(t, tt.h, tt.call, tt.end)
				if fault.KindOf(err) != tt.kind || !errors.Is(err, tt.cause) {
					t.Errorf("%v is %s", err, fault.KindOf(err))
				}
			})
		})
	}
}

// TestGateOrder: urgent calls go before polls that waited longer, each kind in
// its own order, at the limiter's pace.
func TestGateOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(rate.Limit(1), 1)
		var (
			mu   sync.Mutex
			got  []string
			when []time.Duration
			wg   sync.WaitGroup
		)
		start := time.Now()
		enter := func(name string, p Priority) {
			wg.Go(func() {
				if err := g.wait(t.Context(), p); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, name)
				when = append(when, time.Since(start))
			})
			synctest.Wait()
		}
		for _, name := range []string{"b1", "b2", "b3", "b4"} {
			enter(name, Background)
		}
		enter("u1", Urgent)
		<-time.After(500 * time.Millisecond)
		enter("u2", Urgent)
		<-time.After(2 * time.Second)
		enter("u3", Urgent)
		wg.Wait()
		if d := cmp.Diff([]string{"b1", "u1", "u2", "u3", "b2", "b3", "b4"}, got); d != "" {
			t.Error(d)
		}
		for i, d := range when {
			if d != time.Duration(i)*time.Second {
				t.Errorf("%s went at %v", got[i], d)
			}
		}
	})
}

// TestGateLeave: who gives up costs the others nothing.
func TestGateLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(rate.Limit(1), 1)
		if err := g.wait(t.Context(), Background); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := g.wait(ctx, Urgent); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		start := time.Now()
		if err := g.wait(t.Context(), Background); err != nil || time.Since(start) != 700*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// Many leave in the very instant in which a token arrives.
		var wg sync.WaitGroup
		went := 0
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 50 {
			wg.Go(func() { _ = g.wait(ctx, Urgent) })
		}
		wg.Go(func() {
			if err := g.wait(t.Context(), Background); err == nil {
				went++
			}
		})
		wg.Wait()
		if went != 1 {
			t.Error("a token was lost")
		}
	})
}

func TestGateBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{BaseURL: "http://x", Rate: 2.5, Auth: func() (string, error) { return "k", nil }})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 4 {
			if err := c.gate.wait(t.Context(), Background); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(start); d != 400*time.Millisecond {
			t.Errorf("bursts of 3 at 2.5 per second: the fourth went after %v", d)
		}
	})
}
