package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"archiver/internal/state"
)

const prefix = "archiver_"

// The values of labels that are known beforehand, besides those of package
// state.
var (
	calls     = []string{"getRecords", "delRecordFile", "openRecord", "closeRecord", "openLive", "closeLive"}
	ops       = []string{"PutObject", "GetObject", "HeadObject", "DeleteObject", "HeadBucket", "CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads"}
	sides     = []string{"source", "bucket"}
	refreshes = []string{"missing", "expired", "refused", "doubted"}
	levels    = []string{string(state.LevelFullObject), string(state.LevelReadback), string(state.LevelParts), none}
	results   = []string{"ok", "mismatch", "failed"}
	outcomes  = []string{deleted, unconfirmed, failed}
)

// Results of a deletion at the source.
const (
	deleted     = "source_deleted"
	unconfirmed = "unconfirmed"
	failed      = "failed"
)

// none is the level of a verification that did not come to one.
const none = "none"

// vectors are the metrics that somebody tells us.
type vectors struct {
	vendor, s3, sourceBytes, storedBytes, retries, refreshed, verified, deletions, quarantined *prometheus.CounterVec
	vendorTime, transferTime                                                                   *prometheus.HistogramVec
	moments                                                                                    [momentCount]*prometheus.GaugeVec
}

func newVectors() vectors {
	v := vectors{
		vendor:      counter("vendor_requests_total", "HTTP attempts of calls of the vendor's API.", "call", "code"),
		s3:          counter("s3_requests_total", "HTTP attempts of S3 operations.", "op", "code"),
		sourceBytes: counter("source_bytes_total", "Bytes read from sources."),
		storedBytes: counter("stored_bytes_total", "Bytes that a bucket has acknowledged."),
		retries:     counter("part_retries_total", "Reads of a source and writes of a bucket that are tried again.", "side"),
		refreshed:   counter("url_refreshes_total", "Download links asked for.", "reason"),
		verified:    counter("verifications_total", "Proofs of objects.", "level", "result"),
		deletions:   counter("source_deletions_total", "Tries at deletion at the source.", "result"),
		quarantined: counter("quarantined_total", "Recordings set aside.", "reason"),
		vendorTime: histogram("vendor_request_duration_seconds", "Time of one HTTP attempt of a call.",
			[]float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "call"),
		transferTime: histogram("transfer_duration_seconds", "Time of the attempt that brought a file into the bucket.",
			prometheus.ExponentialBuckets(0.25, 2, 17)),
	}
	v.moments[polled] = gauge("poll_last_success_timestamp_seconds", "When the vendor last answered a poll with a listing; 0: never.")
	v.moments[archived] = gauge("archive_last_success_timestamp_seconds", "When a recording last became archived; 0: never.")
	v.moments[tracked] = gauge("last_tracked_timestamp_seconds", "When a recording last became tracked; 0: never.")
	return v
}

func labels(more []string) []string { return append([]string{"tenant"}, more...) }

func counter(name, help string, more ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels(more))
}

func gauge(name, help string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, labels(nil))
}

func histogram(name, help string, buckets []float64, more ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels(more))
}

func (v vectors) all() []prometheus.Collector {
	out := []prometheus.Collector{
		v.vendor, v.s3, v.sourceBytes, v.storedBytes, v.retries, v.refreshed, v.verified, v.deletions, v.quarantined,
		v.vendorTime, v.transferTime,
	}
	for _, g := range v.moments {
		out = append(out, g)
	}
	return out
}

// tenant makes a tenant's series, but for the moments, which SetTenants shows.
func (v vectors) tenant(name string) *tenant {
	for _, c := range calls {
		v.vendor.WithLabelValues(name, c, "200")
		v.vendorTime.WithLabelValues(name, c)
	}
	for _, op := range ops {
		v.s3.WithLabelValues(name, op, success(op))
	}
	each(v.retries, name, sides)
	each(v.refreshed, name, refreshes)
	each(v.deletions, name, outcomes)
	for _, r := range state.Reasons() {
		v.quarantined.WithLabelValues(name, string(r))
	}
	for _, l := range levels {
		for _, r := range results {
			if (l == none) != (r == results[0]) { // what came to no level is not ok
				v.verified.WithLabelValues(name, l, r)
			}
		}
	}
	return &tenant{
		name: name, sourceBytes: v.sourceBytes.WithLabelValues(name), storedBytes: v.storedBytes.WithLabelValues(name),
		stored: v.transferTime.WithLabelValues(name),
	}
}

func each(c *prometheus.CounterVec, tenant string, values []string) {
	for _, v := range values {
		c.WithLabelValues(tenant, v)
	}
}

// success is the status by which S3 says that an operation succeeded.
func success(op string) string {
	if op == "AbortMultipartUpload" || op == "DeleteObject" {
		return "204"
	}
	return "200"
}
