package metrics

import (
	"slices"
	"time"

	"archiver/internal/state"
)

// other is what label values are called that no list knows.
const other = "other"

// Codes that keep their name as a label: those of the vendor's document and
// those by which S3 servers say what to do.
var (
	vendorCodes = []string{"200001", "200002", "200003", "200004", "200005", "200006", "200007", "200008", "timeout", "error"}
	s3Codes     = []string{
		"error", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "RequestTimeTooSkewed",
		"NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NotFound", "BadDigest", "InvalidPart", "PreconditionFailed",
		"ConditionalRequestConflict", "NotImplemented", "SlowDown", "Throttling", "InternalError", "ServiceUnavailable",
		"RequestTimeout", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "EntityTooSmall", "InvalidRange", "InvalidRequest",
	}
	statuses = []string{"200", "204", "206", "400", "401", "403", "404", "405", "408", "409", "412", "429", "500", "501", "502", "503", "504"}
)

// bounded returns a code that has a name of its own, else its class.
func bounded(code string, known []string) string {
	switch {
	case slices.Contains(known, code), slices.Contains(statuses, code):
		return code
	case len(code) == 3 && code[0] >= '1' && code[0] <= '5' && digits(code):
		return code[:1] + "xx"
	case len(code) == 6 && code[:3] == "200" && digits(code): // a refusal that the vendor has added
		return "200xxx"
	}
	return other
}

func digits(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '0' || c > '9' })
}

func oneOf(value string, known []string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}

// Vendor returns what a tenant's vendor client tells its attempts.
func (m *Metrics) Vendor(tenant string) func(call, code string, d time.Duration) {
	m.of(tenant)
	return func(call, code string, d time.Duration) {
		call = oneOf(call, calls)
		m.vec.vendor.WithLabelValues(tenant, call, bounded(code, vendorCodes)).Inc()
		m.vec.vendorTime.WithLabelValues(tenant, call).Observe(d.Seconds())
	}
}

// S3 returns what a tenant's bucket tells its attempts.
func (m *Metrics) S3(tenant string) func(op, code string) {
	m.of(tenant)
	return func(op, code string) {
		m.vec.s3.WithLabelValues(tenant, oneOf(op, ops), bounded(code, s3Codes)).Inc()
	}
}

// Polled is told of each getRecords of a poll; nil: a listing came.
func (m *Metrics) Polled(tenant string, err error) {
	if err == nil {
		m.of(tenant).moments[polled].reach(m.o.Clock())
	}
}

// Tracked is for the poller; the audit log tells of everybody's.
func (m *Metrics) Tracked(string, int) {}

// SourceRead is told of bytes that came from a source.
func (m *Metrics) SourceRead(tenant string, n int) {
	t := m.of(tenant)
	t.sourceBytes.Add(float64(n))
	t.rateMu.Lock()
	defer t.rateMu.Unlock()
	t.read += int64(n)
}

// BucketTook is told of bytes that the bucket has acknowledged.
func (m *Metrics) BucketTook(tenant string, n int64) { m.of(tenant).storedBytes.Add(float64(n)) }

// FileStored is told of a file that is in the bucket, and how long that took.
func (m *Metrics) FileStored(tenant string, _ int64, took time.Duration) {
	m.of(tenant).stored.Observe(took.Seconds())
}

// Retried is told of a read or a part that is tried again.
func (m *Metrics) Retried(tenant, side string) {
	m.vec.retries.WithLabelValues(tenant, oneOf(side, sides)).Inc()
}

// LinkRefreshed is told that the vendor is asked for a link, and why.
func (m *Metrics) LinkRefreshed(tenant, reason string) {
	m.vec.refreshed.WithLabelValues(tenant, oneOf(reason, refreshes)).Inc()
}

// Verification is told of the proof of an object.
func (m *Metrics) Verification(tenant string, level state.Level, result string) {
	l := string(level)
	if l == "" {
		l = none
	}
	m.vec.verified.WithLabelValues(tenant, oneOf(l, levels), oneOf(result, results)).Inc()
}
