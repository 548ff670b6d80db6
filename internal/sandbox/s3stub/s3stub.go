// Package s3stub is an S3 server for measuring: it reads and checks every byte
// and keeps none, so that what is measured is the client and not a disk.
//
// It computes the CRC64NVME of each put and each part as the bytes come in
// (15 GB/s: it costs nothing), refuses a wrong one with BadDigest, combines the
// parts' sums at CompleteMultipartUpload, refuses a wrong whole one, and
// returns the right one there and at HEAD as a FULL_OBJECT checksum, as S3
// does. So a client that asks for proof before it trusts a store gets it.
// Conditions hold, multipart uploads can be listed and resumed, and objects of
// at most Options.Keep, such as manifests, are kept and can be read. Signatures
// are not checked; every bucket name that was not given is NoSuchBucket.
package s3stub

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"archiver/internal/sandbox/pace"
)

const (
	bufferSize = 256 << 10
	keptSize   = 1 << 20
	minPart    = 5 << 20
)

// Options say what to serve, and how slowly.
type Options struct {
	Buckets []string
	TLS     *tls.Config   // nil is plain http
	Latency time.Duration // before each answer
	Rate    int64         // of each body, in bytes per second; 0 is no limit
	// MinPart is the least size of all parts but the last, in bytes; 0 is S3's
	// 5 MiB, a negative one is none.
	MinPart int64
	// Keep is the largest object whose bytes are kept, in bytes; 0 is 1 MiB,
	// a negative one keeps none.
	Keep  int64
	Clock func() time.Time // nil is time.Now
}

// Stats count what went by.
type Stats struct {
	Requests map[string]int // by operation: "PutObject", "UploadPart" and so on
	Refused  map[string]int // by error code: "BadDigest" and so on
	Bytes    int64          // of objects' and parts' bodies
}

// Server is the stub. All methods are safe for concurrent use.
type Server struct {
	opts    Options
	buckets map[string]bool
	buffers sync.Pool

	srv     *http.Server
	url     string
	serving sync.WaitGroup
	stop    func() error

	mu      sync.Mutex // guards what follows
	objects map[string]*object
	uploads map[string]*upload // by id
	serial  int
	stats   Stats
}

// Start serves on addr; "" is 127.0.0.1 and a free port.
func Start(ctx context.Context, addr string, opts Options) (*Server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	switch {
	case opts.MinPart == 0:
		opts.MinPart = minPart
	case opts.MinPart < 0:
		opts.MinPart = 0
	}
	if opts.Keep == 0 {
		opts.Keep = keptSize
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s := &Server{
		opts: opts, buckets: map[string]bool{}, objects: map[string]*object{}, uploads: map[string]*upload{},
		stats: Stats{Requests: map[string]int{}, Refused: map[string]int{}},
	}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	for _, b := range opts.Buckets {
		s.buckets[b] = true
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start s3 stub: %w", err)
	}
	s.url = "http://" + ln.Addr().String()
	if opts.TLS != nil {
		s.url = "https://" + ln.Addr().String()
		ln = tls.NewListener(ln, opts.TLS)
	}
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.stop = sync.OnceValue(s.shutdown)
	s.serving.Go(func() { _ = s.srv.Serve(ln) }) // always ends with ErrServerClosed: Close joins it
	return s, nil
}

// Endpoint returns the server's URL, for path-style requests.
func (s *Server) Endpoint() string { return s.url }

// Close cuts every connection and stops serving; it may be called more than
// once.
func (s *Server) Close() error { return s.stop() }

func (s *Server) shutdown() error {
	err := s.srv.Close()
	s.serving.Wait()
	return err
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Requests: maps.Clone(s.stats.Requests), Refused: maps.Clone(s.stats.Refused), Bytes: s.stats.Bytes}
}

// apiError is an answer that refuses a request.
type apiError struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(status int, code, message string) error { return &apiError{status, code, message} }

// op is one request as the handlers see it.
type op struct {
	w           http.ResponseWriter
	r           *http.Request
	bucket, key string
}

func (o *op) query(name string) string { return o.r.URL.Query().Get(name) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	o := &op{w, r, bucket, key}
	name, handle := s.route(o)
	s.mu.Lock()
	s.stats.Requests[name]++
	s.serial++
	w.Header().Set("X-Amz-Request-Id", strconv.Itoa(s.serial))
	s.mu.Unlock()
	w.Header().Set("Date", s.opts.Clock().UTC().Format(http.TimeFormat))
	err := pace.Wait(r.Context(), s.opts.Latency)
	switch {
	case err != nil:
	case !s.buckets[bucket]:
		err = refuse(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	default:
		err = handle(o)
	}
	if err != nil {
		s.fail(o, err)
	}
}

func (s *Server) fail(o *op, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{http.StatusBadRequest, "IncompleteBody", err.Error()}
	}
	s.mu.Lock()
	s.stats.Refused[e.code]++
	s.mu.Unlock()
	if e.status == http.StatusNotModified || o.r.Method == http.MethodHead {
		o.w.WriteHeader(e.status)
		return
	}
	o.xml(e.status, struct {
		XMLName struct{} `xml:"Error"`
		Code    string
		Message string
	}{Code: e.code, Message: e.message})
}

// xml answers with a document.
func (o *op) xml(status int, doc any) {
	b, err := xml.Marshal(doc)
	if err != nil {
		http.Error(o.w, err.Error(), http.StatusInternalServerError)
		return
	}
	b = append([]byte(xml.Header), b...)
	o.w.Header().Set("Content-Type", "application/xml")
	o.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	o.w.WriteHeader(status)
	_, _ = o.w.Write(b) // a client that left needs no answer
}

// route finds the operation of a request.
func (s *Server) route(o *op) (string, func(*op) error) {
	q := o.r.URL.Query()
	switch m := o.r.Method; {
	case o.key == "" && m == http.MethodHead:
		return "HeadBucket", func(o *op) error { o.w.WriteHeader(http.StatusOK); return nil }
	case o.key == "" && m == http.MethodGet && q.Has("uploads"):
		return "ListMultipartUploads", s.listUploads
	case o.key == "" && m == http.MethodGet && q.Get("list-type") == "2":
		return "ListObjectsV2", s.listObjects
	case o.key == "":
	case m == http.MethodPut && q.Has("uploadId"):
		return "UploadPart", s.uploadPart
	case m == http.MethodPut && o.r.Header.Get("X-Amz-Copy-Source") == "":
		return "PutObject", s.putObject
	case m == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload", s.createUpload
	case m == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload", s.completeUpload
	case m == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload", s.abortUpload
	case m == http.MethodDelete:
		return "DeleteObject", s.deleteObject
	case m == http.MethodGet && q.Has("uploadId"):
		return "ListParts", s.listParts
	case m == http.MethodHead:
		return "HeadObject", s.headObject
	case m == http.MethodGet:
		return "GetObject", s.getObject
	}
	return "other", func(*op) error {
		return refuse(http.StatusNotImplemented, "NotImplemented", "The stub has no such operation")
	}
}
