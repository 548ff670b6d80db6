package daemon_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// logged reports how many lines begin like this.
func (s *attended) logged(message string) int {
	n := 0
	for _, e := range s.logs.All() {
		if strings.HasPrefix(e.Message, message) {
			n++
		}
	}
	return n
}

// TestReloadOfLittle: what is in flight goes on when only the logging, or what
// needs a restart, has changed.
func TestReloadOfLittle(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{})
	if err := s.reload(func(o *worldOptions) { o.other = "log: {level: debug, format: console}\nhttp: {listen: \"\"}\n" }); err != nil {
		t.Fatal(err)
	}
	s.said("the new configuration is in effect")
	s.said("configuration changed", "log.level")
	if n := s.logged("reloading") + s.logged("stopping"); n != 0 {
		t.Errorf("the works were stopped for it")
	}
	if err := s.reload(func(o *worldOptions) { o.tenant = "    source_retention: 30d\n" }); err != nil {
		t.Fatal(err)
	}
	s.said("reloading: what is in flight comes to a recorded step")
	s.awaits("the next one", func() bool { return s.logged("the new configuration is in effect") == 2 })
	if n := s.logged("stopping"); n != 0 {
		t.Errorf("a reload is called a stop")
	}
}

// TestReloadWhileTransferring: until what was in flight has ended it is shown,
// and one that does not end is seen.
func TestReloadWhileTransferring(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{})
	s.recording("one", 1000)
	held := make(chan struct{})
	let := sync.OnceFunc(func() { close(held) })
	t.Cleanup(let)
	s.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: "one", Times: 1, Do: vendorsim.Hold{Until: held}})
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["one"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	stats := func() (st apitype.Stats) {
		s.call("GET", "/api/v1/stats", &st)
		return st
	}
	s.awaits("the transfer", func() bool { return len(stats().InFlight) == 1 })
	if err := s.reload(func(o *worldOptions) { o.tenant = "    source_retention: 3000d\n" }); err != nil {
		t.Fatal(err)
	}
	if n := len(stats().InFlight); n != 1 {
		t.Errorf("%d files in flight right after a reload", n)
	}
	if _, text := s.call("GET", "/metrics", nil); !strings.Contains(text, `archiver_transfers_in_flight{tenant="acme"} 1`) {
		t.Error("the metrics have none in flight right after a reload")
	}
	if err := s.d.Beats(time.Now().Add(65 * time.Second)); err != nil { // the grace is 10 s
		t.Errorf("while it may still end: %v", err)
	}
	if err := s.d.Beats(time.Now().Add(75 * time.Second)); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("when it should have ended: %v", err)
	}
	let()
	s.said("the new configuration is in effect")
	if err := s.d.Beats(time.Now()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	s.awaits("archived", func() bool { return s.status("one") == state.Archived })
}

// TestConferencesAtTheEnd: a call that is under way when the archiver is told to
// stop is answered, and no other is begun.
func TestConferencesAtTheEnd(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{})
	for _, k := range []string{"1", "2"} {
		s.vendor.AddConference(vendorsim.Conference{Key: k, Tenant: "acme", Started: true})
	}
	held := make(chan struct{})
	let := sync.OnceFunc(func() { close(held) })
	t.Cleanup(let)
	s.vendor.Inject(vendorsim.Fault{Call: "openRecord", Times: 1, Do: vendorsim.Hold{Until: held}})
	var wg sync.WaitGroup
	wg.Go(func() {
		resp, err := s.request("/api/v1/conferences/acme/1/record")
		if err != nil || resp != http.StatusOK {
			t.Errorf("what was under way: %d, %v", resp, err)
		}
	})
	s.awaits("the call", func() bool { return s.vendor.Counts()["openRecord"] == 1 })
	wg.Go(s.end)
	s.said("stopping: no more work is taken")
	s.awaits("the refusal", func() bool {
		status, text := s.call("POST", "/api/v1/conferences/acme/2/record", nil)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "stopping")
	})
	let()
	wg.Wait()
	if n := s.vendor.Counts()["openRecord"]; n != 1 {
		t.Errorf("openRecord was called %d times", n)
	}
}

// request is call for another goroutine than the test's.
func (s *attended) request(path string) (status int, err error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://localhost"+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
