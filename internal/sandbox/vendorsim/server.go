package vendorsim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"archiver/internal/sandbox/content"
)

// DefaultLinkTTL is how long the document's sample links live: 604,800 s.
const DefaultLinkTTL = 7 * 24 * time.Hour

// Options configure a Server. The zero value is a vendor without tenants, who
// refuses every call.
type Options struct {
	// Tenants maps a tenant's name to its auth key, the header's whole value.
	Tenants map[string]string
	// Clock tells the vendor's time (signatures, readiness, Date headers);
	// nil is time.Now.
	Clock func() time.Time
	// LinkTTL is how long a download link lives; 0 is DefaultLinkTTL, a
	// negative one makes links that have expired when they are signed.
	LinkTTL time.Duration
	// Zone is that of the times in the API's answers; nil is UTC.
	Zone *time.Location
	// Style varies how the envelope is written, for every call.
	Style Style
	// StatusInHTTP gives the refusals 400, 403 and 500 in the HTTP status as
	// well; else every envelope comes with HTTP 200.
	StatusInHTTP bool
	// AfterDelete is what getRecords answers for a deleted recording that
	// doesn't say itself; "" is AnswerEmpty.
	AfterDelete Answer
	// ReadyDelay is the time from closeRecord until the file can be had.
	ReadyDelay time.Duration
	// NewContent makes the file of a recording that closeRecord ends; nil
	// makes a generated MP4 of 256 KiB.
	NewContent func(recordID string) content.Content
	// NoCRC64 leaves out x-cos-hash-crc64ecma, as for objects older than the
	// feature; it also saves reading every file once.
	NoCRC64 bool
	// DownloadLatency is waited before each download's answer.
	DownloadLatency time.Duration
	// DownloadRate limits each download, in bytes per second; 0 is no limit.
	DownloadRate int64
	// TLS serves both hosts over https; nil is plain http.
	TLS *tls.Config
	// OnCall, if not nil, is told of each call: an API call after it took
	// effect and before its reply, a download at its end. It must not call
	// the Server's Close.
	OnCall func(Call)
}

// Server is a simulated vendor; its ServeHTTP is the API. All methods are safe
// for concurrent use.
type Server struct {
	opts   Options
	crcs   crcCache
	log    callLog
	faults faultList

	mu          sync.Mutex // guards what follows, and all that it holds
	conferences map[string]*conference
	recordings  map[string]*recording
	byPath      map[string]*file
	serial      int64 // of links, recordings and live streams

	net     sync.Mutex // guards what follows
	servers []*http.Server
	apiURL  string
	dlURL   string
	serving sync.WaitGroup
	closing chan struct{}
	closed  bool
}

// New returns a Server that knows its tenants and nothing else yet. It can be
// mounted by itself (ServeHTTP, DownloadHandler with SetDownloadURL), or given
// two hosts by Start.
func New(opts Options) *Server {
	opts.Tenants = maps.Clone(opts.Tenants)
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.LinkTTL == 0 {
		opts.LinkTTL = DefaultLinkTTL
	}
	if opts.Zone == nil {
		opts.Zone = time.UTC
	}
	if opts.AfterDelete == "" {
		opts.AfterDelete = AnswerEmpty
	}
	if opts.NewContent == nil {
		opts.NewContent = defaultContent
	}
	return &Server{
		opts:        opts,
		log:         callLog{onCall: opts.OnCall, byName: map[string]int{}},
		conferences: map[string]*conference{},
		recordings:  map[string]*recording{},
		byPath:      map[string]*file{},
		closing:     make(chan struct{}),
	}
}

// defaultContent is a generated MP4 whose bytes follow from the recordId.
func defaultContent(recordID string) content.Content {
	seed := uint64(len(recordID))
	for _, b := range []byte(recordID) {
		seed = seed*1099511628211 ^ uint64(b)
	}
	c, err := content.MP4(seed, 256<<10, content.MoovLast)
	if err != nil {
		return content.Generate(seed, 256<<10)
	}
	return c
}

// Start serves the API on addr ("" is 127.0.0.1:0) and the downloads on a free
// port of the same host. It returns when both accept connections.
func (s *Server) Start(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("start vendor on %q: %w", addr, err)
	}
	s.net.Lock()
	defer s.net.Unlock()
	if s.closed || len(s.servers) > 0 {
		return errors.New("start vendor: it was started or closed before")
	}
	if s.apiURL, err = s.serve(addr, s); err != nil {
		return err
	}
	s.dlURL, err = s.serve(net.JoinHostPort(host, "0"), s.DownloadHandler())
	return err
}

func (s *Server) serve(addr string, h http.Handler) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start vendor: %w", err)
	}
	scheme := "http://"
	if s.opts.TLS != nil {
		ln, scheme = tls.NewListener(ln, s.opts.TLS), "https://"
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, srv)
	s.serving.Go(func() { _ = srv.Serve(ln) }) // always ends with ErrServerClosed: Close joins it
	return scheme + ln.Addr().String(), nil
}

// Close cuts every connection, releases what hangs and waits until nothing
// serves any more. It may be called more than once; Truth and Calls still
// answer afterwards.
func (s *Server) Close() error {
	s.net.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	s.net.Unlock()
	s.serving.Wait()
	s.log.running.Wait()
	return errors.Join(errs...)
}

// APIURL returns what a tenant's api_url is set to, without a final slash.
func (s *Server) APIURL() string {
	s.net.Lock()
	defer s.net.Unlock()
	return s.apiURL
}

// DownloadURL returns the scheme and host that download links carry.
func (s *Server) DownloadURL() string {
	s.net.Lock()
	defer s.net.Unlock()
	return s.dlURL
}

// SetDownloadURL changes the scheme and host that links carry from now on, for
// a Server mounted by itself, or to move downloads to another name ("CDN").
func (s *Server) SetDownloadURL(base string) {
	s.net.Lock()
	defer s.net.Unlock()
	s.dlURL = base
}
