package meetingapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

const (
	attemptTimeout  = 30 * time.Second // of one HTTP attempt, body included
	maxResponse     = 8 << 20          // bytes of one answer, after decompression
	maxItems        = 10_000           // files in one listing; a decoded item costs far more than its bytes
	defaultRate     = 5                // calls per second
	defaultAttempts = 4                // of a repeatable call
)

// Options configure a Client; one Client serves one tenant.
type Options struct {
	// BaseURL is the tenant's api_url, http or https, without user info,
	// query or fragment; the calls are {BaseURL}/meeting/NAME.
	BaseURL string
	// Auth returns the value of the auth header. It is called for each
	// attempt, so that a rotated secret is used at once; its error must not
	// contain the secret. Required.
	Auth func() (string, error)
	// Origin is sent in getRecords' body when it is not empty; the vendor's
	// document allows 128 characters.
	Origin string
	// Location is the zone of the vendor's times, which carry none; nil is UTC.
	Location *time.Location
	// Rate is the number of HTTP attempts per second, with bursts of Rate
	// rounded up; 0 means 5. Negative, infinite and NaN are errors.
	Rate float64
	// CAFile names a PEM file of certificates that are trusted besides the
	// system's; empty for none.
	CAFile string
	// Proxy is empty for none, an URL (http, https, socks5, socks5h), or
	// "environment" for HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Proxy string
	// MaxAttempts bounds the attempts of a repeatable call; 0 means 4.
	MaxAttempts int
	// Observe is told of each HTTP attempt: the call's name, "200", the
	// vendor's code or the HTTP status, "timeout" or "error", and how long it
	// took. It may be nil, and is called from the caller's goroutine.
	Observe func(call, code string, d time.Duration)
	// UserAgent is sent as User-Agent; empty for Go's own.
	UserAgent string
}

// Client makes a tenant's calls. It is safe for concurrent use.
type Client struct {
	opts      Options
	base      string // BaseURL without trailing slashes
	gate      *gate
	transport *http.Transport // repeatable calls, connections kept alive
	fresh     *http.Transport // calls made once, a new connection each

	firstPause time.Duration // before the second attempt, doubling from there
}

// New returns a client for one tenant. Errors name the option that is wrong
// and never show user info or passwords; the only file read is CAFile.
func New(o Options) (*Client, error) {
	base, err := checkBaseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Auth == nil {
		return nil, errors.New("vendor client: no Auth")
	}
	if o.Rate == 0 {
		o.Rate = defaultRate
	}
	if math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0) || o.Rate < 0 {
		return nil, fmt.Errorf("vendor client: rate %v is not a positive number", o.Rate)
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = defaultAttempts
	}
	if o.MaxAttempts < 0 {
		return nil, fmt.Errorf("vendor client: %d attempts", o.MaxAttempts)
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	t, err := newTransport(o.CAFile, o.Proxy)
	if err != nil {
		return nil, err
	}
	fresh := t.Clone()
	fresh.DisableKeepAlives = true
	burst := int(max(1, math.Ceil(min(o.Rate, math.MaxInt32))))
	return &Client{
		opts:       o,
		base:       base,
		gate:       newGate(rate.Limit(o.Rate), burst),
		transport:  t,
		fresh:      fresh,
		firstPause: 500 * time.Millisecond,
	}, nil
}

// Close closes the idle connections. Calls in flight are not cut: their
// contexts do that.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.fresh.CloseIdleConnections()
}

func checkBaseURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil: // the error would quote the URL, password included
		return "", errors.New("vendor client: api_url is not an URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", fmt.Errorf("vendor client: api_url %s is not an http or https URL with a host", RedactURL(raw))
	case u.User != nil:
		return "", fmt.Errorf("vendor client: api_url %s has user info; the key belongs into auth", RedactURL(raw))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("vendor client: api_url %s has a query or a fragment", RedactURL(raw))
	}
	return strings.TrimRight(raw, "/"), nil
}

func newTransport(caFile, proxy string) (*http.Transport, error) {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           16,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second, // below the 60 s after which common gateways hang up
		MaxResponseHeaderBytes: 256 << 10,
	}
	if caFile != "" {
		pool, err := loadCA(caFile)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = pool
	}
	switch proxy {
	case "":
	case "environment":
		t.Proxy = http.ProxyFromEnvironment
	default:
		u, err := url.Parse(proxy)
		if err != nil {
			return nil, errors.New("vendor client: proxy is neither an URL nor \"environment\"")
		}
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
		default:
			return nil, fmt.Errorf("vendor client: proxy %s: the scheme is none of http, https, socks5, socks5h", RedactURL(proxy))
		}
		if u.Hostname() == "" {
			return nil, errors.New("vendor client: proxy names no host")
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

func loadCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("vendor client: ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("vendor client: the system's certificates: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("vendor client: ca_file %s: no PEM certificate in it", file)
	}
	return pool, nil
}
