package bucket

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// Options say which bucket, how to reach it, and what every object in it gets.
type Options struct {
	// Endpoint is the store's http or https URL; empty: AWS in Region.
	Endpoint string
	// PublicEndpoint is the URL that links for people carry, where Endpoint is
	// internal; empty: Endpoint.
	PublicEndpoint string
	Region         string // empty: us-east-1
	Bucket         string // required
	PathStyle      bool   // endpoint/bucket/key instead of bucket.endpoint/key
	// CAFile is a PEM file trusted besides the system's roots; read once.
	CAFile string
	// Proxy is an http, https or socks5 URL, "environment", or empty for none.
	Proxy string
	// Credentials is asked for every request, so that rotated secrets are
	// seen. Nil, or an empty id when New asks: the AWS SDK's own chain
	// (environment, shared files, container and instance roles).
	Credentials func() (accessKeyID, secret string, err error)

	StorageClass string            // of objects, not of manifests; empty: the bucket's
	SSE          string            // AES256, aws:kms, or empty: the bucket's default
	SSEKMSKeyID  string            // with aws:kms; empty: the AWS managed key
	LockMode     string            // governance, compliance, or empty; objects only, manifests must stay replaceable
	LockDays     int               // days of retention, from the moment the upload starts
	Tags         map[string]string // at most 10 (S3's limit)

	// ProbeID tells this archiver's probes from those of others, so that what
	// a killed one left open can be found and removed; "": it can't.
	ProbeID string
	// Clock gives the wall time; nil: time.Now.
	Clock func() time.Time
	// Observe is told of every HTTP attempt: the S3 operation ("PutObject")
	// and the status ("200"), the store's error code ("SlowDown"), or "error"
	// where there was no answer. May be nil; called from many goroutines.
	Observe func(op, code string)
}

// Bucket is one bucket of one store. Its methods may be called from many
// goroutines. Errors of calls to the store are *fault.Error, without secrets.
type Bucket struct {
	name     string
	endpoint string // normalised, "" for AWS
	opts     Options
	clock    func() time.Time
	stall    time.Duration // how long a body may bring no byte

	client     *s3.Client
	presigner  *s3.PresignClient
	creds      *credentialSource
	patient    *http.Client // waits longer for an answer, for Complete
	transports []*http.Transport

	caps atomic.Pointer[state.Capabilities]
}

const (
	answerTimeout   = 60 * time.Second // from the last byte sent to the first of the answer
	completeTimeout = 10 * time.Minute // the same for Complete, which on AWS may take minutes
	bodyStall       = 60 * time.Second
	maxAttempts     = 3
)

// New prepares a bucket; it makes no call to the store. The errors are about
// the options: an impossible URL, an unreadable CA file, credentials that
// can't be had. ctx bounds the reading of the SDK's own configuration.
func New(ctx context.Context, o Options) (*Bucket, error) {
	if o.Bucket == "" {
		return nil, errors.New("bucket: no name is set")
	}
	endpoint, err := normalise("endpoint", o.Endpoint)
	if err != nil {
		return nil, err
	}
	public, err := normalise("public_endpoint", o.PublicEndpoint)
	if err != nil {
		return nil, err
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	b := &Bucket{name: o.Bucket, endpoint: endpoint, opts: o, clock: o.Clock, stall: bodyStall}
	if b.clock == nil {
		b.clock = time.Now
	}
	b.caps.Store(&state.Capabilities{})
	if b.creds, err = newCredentialSource(ctx, o.Credentials, o.Region); err != nil {
		return nil, err
	}
	quick, err := newTransport(o, answerTimeout)
	if err != nil {
		return nil, err
	}
	slow := quick.Clone()
	slow.ResponseHeaderTimeout = completeTimeout
	b.transports = []*http.Transport{quick, slow}
	b.patient = newHTTPClient(slow)

	settings := b.settings(newHTTPClient(quick), endpoint)
	links := settings
	if public != "" {
		links.BaseEndpoint = aws.String(public)
	}
	settings.APIOptions = b.stackOptions()
	b.client = s3.New(settings)
	b.presigner = s3.NewPresignClient(s3.New(links), func(o *s3.PresignOptions) { o.Presigner = signer{} })
	return b, nil
}

// settings are the SDK client's, all on purpose: bare Options send no default
// checksum, read no environment, and log nothing.
func (b *Bucket) settings(client *http.Client, endpoint string) s3.Options {
	out := s3.Options{
		AppID:                        "archiver",
		Region:                       b.opts.Region,
		Credentials:                  b.creds,
		HTTPClient:                   client,
		HTTPSignerV4:                 signer{},
		UsePathStyle:                 b.opts.PathStyle,
		RequestChecksumCalculation:   aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation:   aws.ResponseChecksumValidationWhenRequired,
		ContinueHeaderThresholdBytes: -1,
		Logger:                       logging.Nop{},
		Retryer:                      newRetryer(),
		EndpointResolverV2:           newEndpointMemory(),
		DisableLogOutputChecksumValidationSkipped: true,
	}
	if endpoint != "" {
		out.BaseEndpoint = aws.String(endpoint)
	}
	return out
}

// retryer repeats what is harmless to repeat. What the store asks to repeat
// later is left to the caller, who has more to do meanwhile.
type retryer struct{ *retry.Standard }

// IsErrorRetryable reports whether the same request is worth another attempt
// within this call.
func (r retryer) IsErrorRetryable(err error) bool {
	return retryAfterOf(err) == 0 && r.Standard.IsErrorRetryable(err)
}

func newRetryer() aws.Retryer {
	return retryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return rand.N(200 * time.Millisecond << min(attempt, 3)), nil
		})
	})}
}

// once is for the calls that a generic retry must not repeat: the caller
// settles what happened.
func once(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

// slowly is once, with patience for the answer.
func (b *Bucket) slowly(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.HTTPClient = b.patient
}

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.name }

// Endpoint returns the endpoint in one spelling (lower-case scheme and host,
// no default port, no trailing slash), for the state; "" means AWS.
func (b *Bucket) Endpoint() string { return b.endpoint }

// Close drops idle connections. Calls in flight are not cut.
func (b *Bucket) Close() {
	for _, t := range b.transports {
		t.CloseIdleConnections()
	}
}

// Capabilities returns what the last probe found, or what SetCapabilities
// restored; ProbedAt is zero before either.
func (b *Bucket) Capabilities() state.Capabilities { return *b.caps.Load() }

// SetCapabilities restores what an earlier Probe or ProbeConditions returned.
func (b *Bucket) SetCapabilities(c state.Capabilities) { b.caps.Store(&c) }

// Check asks for the bucket itself (HeadBucket). The error is
// fault.Unauthorized if it refuses us, fault.NotFound if there is no such
// bucket, fault.Temporary if it could not be asked.
func (b *Bucket) Check(ctx context.Context) error {
	_, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name})
	if err == nil {
		return nil
	}
	fe := b.classify(ctx, "HeadBucket", b.name, err)
	if fe.Status == http.StatusNotFound {
		fe.Kind = fault.NotFound
		fe.Hint = hintNoBucket
	}
	return fe
}

func (b *Bucket) subject(key string) string { return b.name + "/" + key }

// The checksums to send: all of them until a probe has spoken, then those
// that the store was seen to check.
func (b *Bucket) sendsPartCRC() bool {
	c := b.caps.Load()
	return c.ProbedAt.IsZero() || c.PartChecksum
}

func (b *Bucket) sendsWholeCRC() bool { c := b.caps.Load(); return c.ProbedAt.IsZero() || c.FullObject }

func (b *Bucket) sendsPutCRC() bool { c := b.caps.Load(); return c.ProbedAt.IsZero() || c.PutChecksum }

// lock returns the retention for an object written now, or nothing.
func (b *Bucket) lock() (types.ObjectLockMode, *time.Time) {
	if b.opts.LockMode == "" || b.opts.LockDays <= 0 {
		return "", nil
	}
	return types.ObjectLockMode(strings.ToUpper(b.opts.LockMode)), aws.Time(b.clock().AddDate(0, 0, b.opts.LockDays).UTC())
}

// tagging renders x-amz-tagging (S3 API, PutObject): an URL query.
func (b *Bucket) tagging() *string {
	if len(b.opts.Tags) == 0 {
		return nil
	}
	pairs := make([]string, 0, len(b.opts.Tags))
	for _, k := range slices.Sorted(maps.Keys(b.opts.Tags)) {
		pairs = append(pairs, escapeTag(k)+"="+escapeTag(b.opts.Tags[k]))
	}
	return aws.String(strings.Join(pairs, "&"))
}

func escapeTag(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// normalise brings an endpoint into one spelling. Its errors don't repeat the
// value, which may hold user info.
func normalise(option, endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("bucket: %s is no http or https URL", option)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("bucket: %s must not carry user info, a query or a fragment", option)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && (u.Scheme != "http" || port != "80") && (u.Scheme != "https" || port != "443") {
		host += ":" + port
	}
	return u.Scheme + "://" + host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// unsigned reports whether payloads may go unsigned over plain http: only if
// they never leave this machine. (Over https the SDK leaves them unsigned.)
func (b *Bucket) unsigned() bool {
	u, err := url.Parse(b.endpoint)
	if err != nil || b.opts.Proxy != "" {
		return false
	}
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
