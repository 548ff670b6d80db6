package metrics

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"archiver/internal/poller"
	"archiver/internal/state"
)

var _ poller.Observer = (*Metrics)(nil)

// Every name that the contract promises is there before anything happened,
// with its labels.
func TestContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## 7. Metrics")
	section, _, _ = strings.Cut(section, "\n## ")
	_, section, _ = strings.Cut(section, "never an id:")
	names := regexp.MustCompile("`([a-z0-9_]+)(?:\\{([a-z,]+)\\})?`").FindAllStringSubmatch(section, -1)
	if len(names) != 23 {
		t.Fatalf("the contract names %d metrics: %q", len(names), names)
	}
	scrape := w.scrape()
	for _, n := range names {
		line := regexp.MustCompile(`(?m)^archiver_` + n[1] + `(_bucket)?(\{.*\})? `).FindString(scrape)
		if line == "" {
			t.Errorf("%s is not there", n[1])
		}
		for l := range strings.SplitSeq(n[2], ",") {
			if l != "" && !strings.Contains(line, l+`="`) {
				t.Errorf("%s has no label %s: %s", n[1], l, line)
			}
		}
	}
	w.SourceRead("acme", 1)
	problems, err := testutil.GatherAndLint(w.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func (w *world) compare(want string, names ...string) {
	w.t.Helper()
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), names...); err != nil {
		w.t.Error(err)
	}
}

// What observers tell is counted under the names of the contract.
func TestTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SetTenants([]string{"acme"})
	w.vec.retries.Reset()
	w.vec.refreshed.Reset()
	w.vec.verified.Reset()
	w.vec.vendor.Reset()
	w.vec.s3.Reset()
	w.Vendor("acme")("getRecords", "200008", time.Second)
	w.S3("acme")("PutObject", "SlowDown")
	w.SourceRead("acme", 5)
	w.BucketTook("acme", 3)
	w.FileStored("acme", 3, time.Minute)
	w.Retried("acme", "bucket")
	w.LinkRefreshed("acme", "refused")
	w.Verification("acme", "", "failed")
	w.Polled("other", errors.New("down"))
	w.Polled("acme", nil)
	w.compare(`
# HELP archiver_vendor_requests_total HTTP attempts of calls of the vendor's API.
# TYPE archiver_vendor_requests_total counter
archiver_vendor_requests_total{call="getRecords",code="200008",tenant="acme"} 1
# HELP archiver_s3_requests_total HTTP attempts of S3 operations.
# TYPE archiver_s3_requests_total counter
archiver_s3_requests_total{code="SlowDown",op="PutObject",tenant="acme"} 1
# HELP archiver_source_bytes_total Bytes read from sources.
# TYPE archiver_source_bytes_total counter
archiver_source_bytes_total{tenant="acme"} 5
archiver_source_bytes_total{tenant="other"} 0
# HELP archiver_stored_bytes_total Bytes that a bucket has acknowledged.
# TYPE archiver_stored_bytes_total counter
archiver_stored_bytes_total{tenant="acme"} 3
archiver_stored_bytes_total{tenant="other"} 0
# HELP archiver_part_retries_total Reads of a source and writes of a bucket that are tried again.
# TYPE archiver_part_retries_total counter
archiver_part_retries_total{side="bucket",tenant="acme"} 1
# HELP archiver_url_refreshes_total Download links asked for.
# TYPE archiver_url_refreshes_total counter
archiver_url_refreshes_total{reason="refused",tenant="acme"} 1
# HELP archiver_verifications_total Proofs of objects.
# TYPE archiver_verifications_total counter
archiver_verifications_total{level="none",result="failed",tenant="acme"} 1
# HELP archiver_poll_last_success_timestamp_seconds When the vendor last answered a poll with a listing; 0: never.
# TYPE archiver_poll_last_success_timestamp_seconds gauge
archiver_poll_last_success_timestamp_seconds{tenant="acme"} 1.7723664e+09
# HELP archiver_transfers_in_flight Files being transferred or proven.
# TYPE archiver_transfers_in_flight gauge
archiver_transfers_in_flight{tenant="acme"} 2
# HELP archiver_buffer_bytes_in_use Bytes of part buffers in use.
# TYPE archiver_buffer_bytes_in_use gauge
archiver_buffer_bytes_in_use 42
`, "archiver_vendor_requests_total", "archiver_s3_requests_total", "archiver_source_bytes_total", "archiver_stored_bytes_total",
		"archiver_part_retries_total", "archiver_url_refreshes_total", "archiver_verifications_total",
		"archiver_poll_last_success_timestamp_seconds", "archiver_transfers_in_flight", "archiver_buffer_bytes_in_use")
	if !strings.Contains(w.scrape(), `archiver_transfer_duration_seconds_sum{tenant="acme"} 60`) {
		t.Error("the duration of a file is not counted")
	}
}

// Whatever the others answer, the number of series is bounded.
func TestBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5000 {
		code := fmt.Sprintf("Code%d", i)
		w.S3("acme")(code, code)
		w.Vendor("acme")(code, code, 0)
		w.S3("acme")("PutObject", fmt.Sprint(i))
		w.Vendor("acme")("getRecords", fmt.Sprint(200000+i), 0)
		w.Retried("acme", code)
		w.LinkRefreshed("acme", code)
		w.Verification("acme", state.Level(code), code)
	}
	for name, most := range map[string]int{
		"s3_requests_total": 60, "vendor_requests_total": 60, "part_retries_total": 10, "url_refreshes_total": 15, "verifications_total": 30,
	} {
		if n, err := testutil.GatherAndCount(w.registry, prefix+name); err != nil || n > most {
			t.Errorf("%s has %d series, %v", name, n, err)
		}
	}
	for code, want := range map[string]string{
		"200": "200", "418": "4xx", "599": "5xx", "200008": "200008", "200999": "200xxx", "timeout": "timeout", "-1": other, "": other, "6xx": other, "12345678": other,
	} {
		if got := bounded(code, vendorCodes); got != want {
			t.Errorf("%q is called %q, want %q", code, got, want)
		}
	}
}

// What is true now is asked for at the scrape; the backlog at most every 15 s.
func TestScraped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SetTenants([]string{"acme"})
	w.track("waits", "r")
	w.update("r", state.Describe{Start: start.Add(-time.Hour)}, discovered("f1", 100, start.Add(time.Hour)), discovered("f2", 100, start.Add(1000*time.Hour)))
	w.update("r", state.Start{FileID: "f2"}, state.IntendUpload{FileID: "f2", PartSize: 5 << 20})
	want := `
# HELP archiver_files Files known of.
# TYPE archiver_files gauge
archiver_files{phase="discovered",tenant="acme"} 1
archiver_files{phase="quarantined",tenant="acme"} 0
archiver_files{phase="stored",tenant="acme"} 0
archiver_files{phase="transferring",tenant="acme"} 1
archiver_files{phase="verified",tenant="acme"} 0
# HELP archiver_files_at_risk Files that may not be archived before the vendor drops them.
# TYPE archiver_files_at_risk gauge
archiver_files_at_risk{tenant="acme"} 1
# HELP archiver_oldest_unarchived_seconds Age of the oldest recording that waits or is being archived; 0: there is none.
# TYPE archiver_oldest_unarchived_seconds gauge
archiver_oldest_unarchived_seconds{tenant="acme"} %d
# HELP archiver_multipart_uploads_open Files with a multipart upload of ours open or intended.
# TYPE archiver_multipart_uploads_open gauge
archiver_multipart_uploads_open{tenant="acme"} 1
# HELP archiver_recordings Recordings tracked.
# TYPE archiver_recordings gauge
archiver_recordings{status="archived",tenant="acme"} 0
archiver_recordings{status="archiving",tenant="acme"} 1
archiver_recordings{status="deleting",tenant="acme"} 0
archiver_recordings{status="deletion_unconfirmed",tenant="acme"} 0
archiver_recordings{status="quarantined",tenant="acme"} 0
archiver_recordings{status="redirected",tenant="acme"} 0
archiver_recordings{status="source_deleted",tenant="acme"} 0
archiver_recordings{status="waiting",tenant="acme"} 1
`
	names := []string{"archiver_files", "archiver_files_at_risk", "archiver_oldest_unarchived_seconds", "archiver_multipart_uploads_open", "archiver_recordings"}
	w.compare(fmt.Sprintf(want, 3600), names...)
	w.now = start.Add(14 * time.Second)
	w.compare(fmt.Sprintf(want, 3614), names...)
	if n := w.store.backlogs.Load(); n != 1 {
		t.Errorf("the backlog was looked up %d times within 15 seconds", n)
	}
	w.now = start.Add(16 * time.Second)
	w.compare(fmt.Sprintf(want, 3616), names...)
	if n := w.store.backlogs.Load(); n != 2 {
		t.Errorf("the backlog was looked up %d times", n)
	}
}

// A state that refuses everything is no reason to tell nothing.
func TestScrapeOfABrokenState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	scrape := w.scrape()
	if strings.Contains(scrape, "archiver_recordings{") || !strings.Contains(scrape, "archiver_buffer_bytes_in_use 42") {
		t.Error(scrape)
	}
}
