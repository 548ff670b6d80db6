package metrics

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTenantTakenOut: the moments of a tenant that was taken out are not told,
// so that no alert on their age goes on; they are back when it is.
func TestTenantTakenOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const series = `archiver_last_tracked_timestamp_seconds{tenant="acme"}`
	w.run(func() { w.track("a") })
	before := w.scrape()
	if !strings.Contains(before, series) {
		t.Fatalf("no %s", series)
	}
	w.SetTenants([]string{"other"})
	w.now = start.Add(time.Hour)
	w.run(func() { w.track("b") }) // it is in the log all the same
	for line := range strings.SplitSeq(w.scrape(), "\n") {
		if strings.Contains(line, `tenant="acme"`) && strings.Contains(line, "timestamp") {
			t.Errorf("still told: %s", line)
		}
	}
	w.SetTenants([]string{"acme", "other"})
	if got, want := w.value("last_tracked_timestamp_seconds"), float64(w.now.Unix()); got != want {
		t.Errorf("back with %v, want %v", got, want)
	}
}

// TestSetTenantsAtOnce: a tenant that stays is configured all the while.
func TestSetTenantsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 2000 {
			w.SetTenants([]string{"acme", "other"})
		}
	})
	for range 2000 {
		if n := len(w.configured()); n != 2 {
			t.Errorf("%d tenants", n)
			break
		}
	}
	wg.Wait()
}

// TestCountsFromTheBeginning: what happens between Begin and the first look of
// Run is counted, and what was before is not.
func TestCountsFromTheBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.track("old", "new")
	w.quarantine("old")
	w.Begin(t.Context())
	w.quarantine("new")
	w.run(func() {})
	if text := w.scrape(); !strings.Contains(text, `archiver_quarantined_total{reason="never_produced",tenant="acme"} 1`) {
		t.Errorf("not one was counted:\n%s", text)
	}
}
