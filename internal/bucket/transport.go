package bucket

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"archiver/internal/wire"
)

const (
	connectTimeout = 10 * time.Second
	// idleTimeout is below what common servers keep a connection for, so that
	// few requests meet one that is being closed.
	idleTimeout = 30 * time.Second
	// readBuffer is for answers; whoever reads an object reads past it, with
	// buffers that are larger.
	readBuffer = 32 << 10
	// writeStall is how long the network may take no byte of a request.
	writeStall = 60 * time.Second
)

// newTransport makes an HTTP/1.1 transport: a part is a stream of its own,
// and many streams over one HTTP/2 connection would share its window.
func newTransport(o Options, answer time.Duration) (*http.Transport, error) {
	dialer := wire.Dialer{
		Dial:             (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLS:              &tls.Config{MinVersion: tls.VersionTLS12},
		HandshakeTimeout: connectTimeout,
		Ahead:            readBuffer,
		Stall:            writeStall,
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("bucket: ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("bucket: ca_file %s holds no PEM certificate", o.CAFile)
		}
		dialer.TLS.RootCAs = pool
	}
	// Bodies go past the transport's buffer, which is left at net/http's 4 KiB.
	t := &http.Transport{
		DialContext:           dialer.DialContext,
		DialTLSContext:        dialer.DialTLSContext,
		TLSClientConfig:       dialer.TLS, // to the store through a proxy
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: answer,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       idleTimeout,
		ReadBufferSize:        readBuffer,
		DisableCompression:    true,
	}
	switch o.Proxy {
	case "":
	case "environment":
		t.Proxy = http.ProxyFromEnvironment
	default:
		u, err := url.Parse(o.Proxy)
		if err != nil || u.Host == "" {
			return nil, errors.New("bucket: proxy is neither an URL nor \"environment\"")
		}
		t.Proxy = http.ProxyURL(u)
	}
	return t, nil
}

// newHTTPClient follows no redirect: a signature is good for one host, and
// S3's redirects mean a wrong region, which the error says.
func newHTTPClient(t *http.Transport) *http.Client {
	return &http.Client{
		Transport:     lender{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
