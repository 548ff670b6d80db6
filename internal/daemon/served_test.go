package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"archiver/internal/apitype"
	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/tlscert"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/socket"
	"archiver/internal/state"
)

// attended is a running daemon and a client on its socket.
type attended struct {
	*world
	d    *daemon.Daemon
	http *http.Client
	logs *observer.ObservedLogs
	end  func()
}

func attend(t *testing.T, o worldOptions) *attended {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	o.sink = core
	s := &attended{world: newWorld(t, o), logs: logs}
	s.d = s.open()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.d.Run(ctx, t.Context()); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	path := filepath.Join(s.dir, "state.db")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }}
	s.http = &http.Client{Transport: transport}
	s.end = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		stop()
		wg.Wait()
	})
	t.Cleanup(s.end)
	s.awaits("the socket", func() bool {
		conn, err := socket.Dial(t.Context(), path)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return s
}

// awaits looks until what is told holds.
func (s *attended) awaits(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func (s *attended) call(method, path string, out any) (status int, text string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://localhost"+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(b, out); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return resp.StatusCode, string(b)
}

func (s *attended) status(id string) state.Status {
	s.t.Helper()
	r, err := s.d.Store().Get(s.t.Context(), key(id))
	if errors.Is(err, state.ErrNotFound) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Status
}

// reload gives the daemon a configuration with other options.
func (s *attended) reload(change func(o *worldOptions)) error {
	s.t.Helper()
	change(&s.extra)
	cfg, err := config.Load(s.configFile(), os.LookupEnv)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.d.Reload(s.t.Context(), cfg)
}

// TestRecordToArchive: from record start to the verified object nobody has to
// touch anything.
func TestRecordToArchive(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{vendor: vendorsim.Options{
		Tenants: map[string]string{"acme": authKey}, ReadyDelay: 300 * time.Millisecond,
		NewContent: func(id string) content.Content { return movie(t, id, 1, 5<<20+1) },
	}})
	s.vendor.AddConference(vendorsim.Conference{Key: "1866", Tenant: "acme", EntID: 52, Started: true})
	var c apitype.Conference
	if status, text := s.call("POST", "/api/v1/conferences/acme/1866/record", &c); status != 200 || c.RecordID == "" {
		t.Fatalf("record start: %d %s", status, text)
	}
	id := c.RecordID
	s.awaits("a first look at what is not finished", func() bool { return s.get(s.d, id).Poll.LastAt != time.Time{} })
	if got := s.status(id); got != state.Waiting {
		t.Errorf("while it is recorded it is %s", got)
	}
	if status, text := s.call("DELETE", "/api/v1/conferences/acme/1866/record", &c); status != 200 || c.RecordID != id {
		t.Fatalf("record stop: %d %s", status, text)
	}
	s.awaits("archived", func() bool { return s.status(id) == state.Archived })
	var v apitype.Verification
	if status, text := s.call("POST", "/api/v1/recordings/acme/"+id+"/verify?deep=true", &v); status != 200 || !v.OK || len(v.Files) != 1 || !v.Files[0].Readback {
		t.Errorf("verify: %d %s", status, text)
	}
	s.end()
	s.archived(s.d, id)
}

// TestReload takes over one change after the other while the daemon runs.
func TestReload(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{})
	s.recording("one", 1000)
	s.recording("two", 2000)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(s.reload(func(*worldOptions) {}))
	s.said("nothing has changed")

	ok(s.reload(func(o *worldOptions) { o.tenantIDs = []string{"one"} }))
	s.awaits("what the new list names", func() bool { return s.status("one") == state.Archived })
	s.said("configuration changed", "tenants.acme.record_ids", "[one]")

	// What cannot be built is refused, and the old one goes on.
	cert, err := tlscert.New(time.Now())
	ok(err)
	ca := filepath.Join(s.dir, "ca.pem")
	ok(os.WriteFile(ca, cert.CAPEM, 0o600))
	s.extra.storage = "  ca_file: " + ca + "\n"
	cfg, err := config.Load(s.configFile(), os.LookupEnv)
	ok(err)
	ok(os.Remove(ca))
	if err := s.d.Reload(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "the old one is kept") {
		t.Errorf("without its ca_file: %v", err)
	}

	// These need a restart; the rest of the file counts all the same.
	ok(s.reload(func(o *worldOptions) {
		o.storage, o.tenantIDs = "", []string{"one", "two"}
		o.other = "http: {listen: \"127.0.0.1:1\"}\nlog: {format: console}\n"
	}))
	s.said("need a restart", "http.listen", "log.format")
	s.awaits("what the list names now", func() bool { return s.status("two") == state.Archived })

	// Who allows deletion is believed at once, and so is who forbids it.
	ok(s.reload(func(o *worldOptions) { o.tenant = "    delete_source: {enabled: true, after: 0s}\n" }))
	s.awaits("the sources' deletion", func() bool {
		return s.status("one") == state.SourceDeleted && s.status("two") == state.SourceDeleted
	})
	s.end()
	s.archived(s.d, "one", "two")
}

// TestReloadForbidsDeletion: a deletion that was allowed a moment ago is not
// made once it is forbidden, though the old generation is still at work.
func TestReloadForbidsDeletion(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{tenant: "    delete_source: {enabled: true, after: 0s}\n"})
	s.recording("one", 1000)
	held := make(chan struct{})
	// The first listing is the poll's, the second one the warrant's: it hangs
	// until deletion was forbidden.
	s.vendor.Inject(vendorsim.Fault{Call: "getRecords", After: 1, Times: 1, Do: vendorsim.Hold{Until: held}})
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["one"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	s.awaits("the warrant's listing", func() bool { return s.vendor.Counts()["getRecords"] == 2 })
	if err := s.reload(func(o *worldOptions) { o.tenant = "    delete_source: {enabled: false}\n" }); err != nil {
		t.Fatal(err)
	}
	close(held)
	s.said("the new configuration is in effect")
	if n := s.vendor.Counts()["delRecordFile"]; n != 0 {
		t.Errorf("delRecordFile was called %d times after it was forbidden", n)
	}
	if got := s.status("one"); got != state.Archived {
		t.Errorf("it is %s", got)
	}
}

// TestTenantTakenOut: it is kept, shown as paused, and not called.
func TestTenantTakenOut(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{vendor: vendorsim.Options{Tenants: map[string]string{"acme": authKey, "globex": "other"}}})
	s.recording("one", 1000)
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["one","never"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	s.awaits("archived", func() bool { return s.status("one") == state.Archived })
	if err := s.vendor.AddRecording(vendorsim.Recording{ID: "of-globex", Tenant: "globex"}); err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("  acme:\n", "  globex:\n    record_ids: [of-globex]\n", authKey, "other")
	cfg := s.rewritten(other)
	if err := s.d.Reload(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s.said("the new configuration is in effect")
	s.said("tenants paused", "acme")
	calls := len(s.vendor.Calls())
	if r := s.get(s.d, "never"); r.Status != state.Waiting {
		t.Errorf("what waited is %s", r.Status)
	}
	var d apitype.Detail
	if status, text := s.call("GET", "/api/v1/recordings/acme/never", &d); status != 200 || !strings.Contains(d.Next, "paused") {
		t.Errorf("%d %s", status, text)
	}
	// It is due at every run, and nobody asks about it.
	s.awaits("two runs of the other tenant", func() bool {
		n := 0
		for _, c := range s.vendor.Calls()[calls:] {
			if c.Tenant == "globex" {
				n++
			}
		}
		return n >= 2
	})
	for _, c := range s.vendor.Calls()[calls:] {
		if c.Tenant == "acme" {
			t.Errorf("the vendor was called for the paused tenant: %s %s", c.Name, c.RecordID)
		}
	}
}

// TestReady names what is degraded, and is unavailable only if nothing works.
func TestReady(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{})
	s.recording("one", 1000)
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["one"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	s.awaits("archived", func() bool { return s.status("one") == state.Archived })
	var h apitype.Health
	if status, text := s.call("GET", "/readyz", &h); status != 200 || h.Status != apitype.HealthOK || h.Reasons == nil {
		t.Errorf("at first: %d %s", status, text)
	}
	s.proxy.Inject(faultproxy.Rule{Do: faultproxy.Reply{Status: http.StatusForbidden, Code: "AccessDenied"}})
	s.recording("two", 1000)
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["two"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	s.awaits("the pause", func() bool { return len(s.d.Ready(t.Context()).Reasons) > 0 })
	// There is only one tenant, and its bucket refuses it.
	status, text := s.call("GET", "/readyz", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, `"status":"unavailable"`) || !strings.Contains(text, "AccessDenied") {
		t.Errorf("with a bucket that refuses: %d %s", status, text)
	}
	if status, _ := s.call("GET", "/healthz", nil); status != 200 {
		t.Errorf("the process is well, but /healthz says %d", status)
	}
	s.proxy.ClearRules()
	s.awaits("the end of the pause", func() bool { return s.status("two") == state.Archived })
	if status, text := s.call("GET", "/readyz", nil); status != 200 {
		t.Errorf("afterwards: %d %s", status, text)
	}
}

// TestScrape: what has happened is in the metrics, and no id is.
func TestScrape(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{})
	s.recording("one", 12<<20)
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["one"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	s.awaits("archived", func() bool { return s.status("one") == state.Archived })
	var text string
	s.awaits("the tailer", func() bool {
		_, text = s.call("GET", "/metrics", nil)
		return strings.Contains(text, `archiver_archive_last_success_timestamp_seconds{tenant="acme"} 1.`)
	})
	for _, line := range []string{
		`archiver_recordings{status="archived",tenant="acme"} 1`,
		`archiver_files{phase="verified",tenant="acme"} 1`,
		`archiver_source_bytes_total{tenant="acme"} 1.2582912e+07`,
		`archiver_stored_bytes_total{tenant="acme"} 1.2582912e+07`,
		`archiver_verifications_total{level="full_object",result="ok",tenant="acme"} 1`,
		`archiver_s3_requests_total{code="200",op="UploadPart",tenant="acme"} 5`, // two of them the probe's
		`archiver_vendor_requests_total{call="getRecords",code="200",tenant="acme"} `,
		`archiver_transfers_in_flight{tenant="acme"} 0`,
		`archiver_files_at_risk{tenant="acme"} 0`,
		`archiver_buffer_bytes_in_use 0`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if strings.Contains(text, `"one"`) {
		t.Error("a recordId is in the metrics")
	}
	var st apitype.Stats
	if status, body := s.call("GET", "/api/v1/stats", &st); status != 200 || len(st.Tenants) != 1 || st.Tenants[0].Recordings["archived"] != 1 || st.Tenants[0].Bytes != 12<<20 {
		t.Errorf("stats: %d %s", status, body)
	}
}

func (s *attended) post(path, body string) (status int, text string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// said waits for a log line with all these words in it.
func (s *attended) said(words ...string) {
	s.t.Helper()
	s.awaits("the log line "+strings.Join(words, " … "), func() bool {
		for _, e := range s.logs.All() {
			fields, err := json.Marshal(e.ContextMap())
			if err != nil {
				s.t.Fatal(err)
			}
			line, all := e.Message+string(fields), true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// rewritten is the configuration with other words.
func (s *attended) rewritten(r *strings.Replacer) *config.Config {
	s.t.Helper()
	path := s.configFile()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(r.Replace(string(text))), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

// TestForbiddenWhileItWaits: a call of delRecordFile that waits its turn under
// api_rate is not made once deletion is forbidden.
func TestForbiddenWhileItWaits(t *testing.T) {
	t.Parallel()
	s := attend(t, worldOptions{tenant: "    delete_source: {enabled: true, after: 0s}\n", rate: "0.5"})
	s.recording("one", 1000)
	if status, text := s.post("/api/v1/recordings", `{"record_ids":["one"]}`); status != 200 {
		t.Fatalf("track: %d %s", status, text)
	}
	// The warrant is stored; the call has to wait for two seconds.
	s.awaits("the warrant", func() bool { return s.status("one") == state.Deleting })
	if err := s.reload(func(o *worldOptions) { o.tenant = "    delete_source: {enabled: false}\n" }); err != nil {
		t.Fatal(err)
	}
	before := s.vendor.Counts()["delRecordFile"]
	s.awaits("its end", func() bool { return s.status("one") != state.Deleting })
	if n := s.vendor.Counts()["delRecordFile"]; n != before {
		t.Errorf("delRecordFile was called after it was forbidden")
	}
}

// TestListedIsDueAtOnce: what the configuration lists is asked about in the
// first run, however far away the second one is.
func TestListedIsDueAtOnce(t *testing.T) {
	w := settled(t, worldOptions{})
	w.recording("two", 1000)
	d := w.with(keys{
		"poll.schedule": "@every 24h", "tenants.acme.record_ids": []string{"one"}, "tenants.acme.record_ids_file": w.file("ids", "two\n"),
	})
	w.runs(d)
	w.becomes(d, "one", state.Archived)
	w.becomes(d, "two", state.Archived)
}
