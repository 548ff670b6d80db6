package download

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"archiver/internal/wire"
)

const (
	defaultStall       = 60 * time.Second
	defaultMaxFileSize = int64(1) << 40
	dialTimeout        = 10 * time.Second
	handshakeTimeout   = 10 * time.Second
	idleTimeout        = 30 * time.Second
	// readBuffer is for an answer's header, and what comes with it; reads that
	// are larger bypass it.
	readBuffer = 64 << 10
	// readAhead is how much is read at once beneath TLS.
	readAhead = 128 << 10
	// maxIdle bounds what idle connections hold: maxIdle × (readBuffer +
	// readAhead) bytes.
	maxIdle         = 32
	maxHeaderBytes  = 256 << 10
	proxyFromEnv    = "environment"
	defaultSameHost = maxIdle
)

// Options are a tenant's rules for downloads. The zero value allows every
// host, no loopback, no proxy, and trusts the system's certificate authorities.
type Options struct {
	// Hosts is download_hosts: globs in the syntax of path.Match, compared
	// with the host name without port, case-insensitively; "*" also matches
	// dots. Empty: any host. Redirects are held to it too.
	Hosts []string
	// AllowLoopback allows 127.0.0.0/8 and ::1.
	AllowLoopback bool
	// CAFile names a PEM file of certificate authorities that are trusted
	// besides the system's; "": none.
	CAFile string
	// Proxy is "" for none, an http or https URL, or "environment" for
	// HTTP_PROXY, HTTPS_PROXY and NO_PROXY as net/http reads them.
	Proxy string
	// StallTimeout is how long to wait for an answer's header, and within a
	// body for the next byte; 0: 60 s.
	StallTimeout time.Duration
	// MaxFileSize is where a body without any declared length is given up,
	// in bytes; 0: 1 TiB.
	MaxFileSize int64
	// MaxConnsPerHost limits connections per host; further requests wait for
	// one until their context ends. 0: no limit.
	MaxConnsPerHost int
	// UserAgent is sent with every request; "": net/http's own.
	UserAgent string
}

// Client downloads by one tenant's rules. It is safe for concurrent use.
type Client struct {
	hosts         []string
	allowLoopback bool
	stall         time.Duration
	maxFileSize   int64
	userAgent     string

	// Two transports, so that whether an address is judged at connecting
	// never depends on a flag that a pooled connection could outlive.
	direct   *http.Transport // every dialled address is judged
	proxied  *http.Transport // dials proxies only; nil without a proxy
	proxyFor func(*http.Request) (*url.URL, error)
	resolver net.Resolver
}

// New returns a client for o. Its errors are mistakes in o (a bad glob, an
// unreadable CAFile, a Proxy that is no http or https URL), without secrets.
func New(o Options) (*Client, error) {
	c := &Client{
		allowLoopback: o.AllowLoopback,
		stall:         o.StallTimeout,
		maxFileSize:   o.MaxFileSize,
		userAgent:     o.UserAgent,
	}
	if c.stall <= 0 {
		c.stall = defaultStall
	}
	if c.maxFileSize <= 0 {
		c.maxFileSize = defaultMaxFileSize
	}
	for _, glob := range o.Hosts {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return nil, fmt.Errorf("download_hosts %q: not a host name or glob", glob)
		}
		c.hosts = append(c.hosts, strings.TrimSuffix(strings.ToLower(glob), "."))
	}
	roots, err := loadRoots(o.CAFile)
	if err != nil {
		return nil, err
	}
	guarded := &net.Dialer{Timeout: dialTimeout, ControlContext: guardDial(o.AllowLoopback)}
	c.direct = newTransport(guarded, roots, c.stall, o.MaxConnsPerHost)
	if o.Proxy == "" {
		return c, nil
	}
	c.proxyFor, err = proxyFunc(o.Proxy)
	if err != nil {
		return nil, err
	}
	c.proxied = newTransport(&net.Dialer{Timeout: dialTimeout}, roots, c.stall, o.MaxConnsPerHost)
	c.proxied.Proxy = c.proxyFor
	return c, nil
}

// Close closes idle connections. Bodies that are still open stay usable and
// are their readers' to close.
func (c *Client) Close() {
	c.direct.CloseIdleConnections()
	if c.proxied != nil {
		c.proxied.CloseIdleConnections()
	}
}

func newTransport(d *net.Dialer, roots *x509.CertPool, stall time.Duration, perHost int) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	idlePerHost := perHost
	if idlePerHost <= 0 {
		idlePerHost = defaultSameHost
	}
	trusted := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	dialer := wire.Dialer{Dial: d.DialContext, TLS: trusted, HandshakeTimeout: handshakeTimeout, Ahead: readAhead}
	return &http.Transport{
		DialContext:         d.DialContext,
		DialTLSContext:      dialer.DialTLSContext,
		TLSClientConfig:     trusted, // to the host through a proxy
		TLSHandshakeTimeout: handshakeTimeout,
		DisableCompression:  true,
		Protocols:           &protocols,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: idlePerHost,
		MaxConnsPerHost:     perHost,
		IdleConnTimeout:     idleTimeout,
		ReadBufferSize:      readBuffer,
		// Counted from the written request, not from the wait for a free
		// connection, which may rightly be long.
		ResponseHeaderTimeout:  stall,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// loadRoots returns the system's certificate authorities and those in file;
// nil, which stands for the system's, without a file.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		// A machine without a system pool trusts the file alone.
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s: no PEM certificate in it", file)
	}
	return roots, nil
}

// proxyFunc returns which proxy serves a request; a nil URL means none.
func proxyFunc(proxy string) (func(*http.Request) (*url.URL, error), error) {
	if proxy == proxyFromEnv {
		return func(r *http.Request) (*url.URL, error) {
			u, err := http.ProxyFromEnvironment(r)
			if err != nil {
				// The text of err would hold the proxy's password.
				return nil, errors.New("proxy from the environment: not a URL")
			}
			if u != nil && u.Scheme != "http" && u.Scheme != "https" {
				return nil, errors.New("proxy from the environment: only http and https proxies are supported")
			}
			return u, nil
		}, nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("proxy: not an http or https URL")
	}
	return http.ProxyURL(u), nil
}
