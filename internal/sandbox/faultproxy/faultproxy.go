// Package faultproxy stands before an S3 server and makes it misbehave: rules
// match requests and name an Action, from a 503 to an upload whose reply is
// lost after it took effect.
//
//	client ──signed──▶ proxy: log, match rules, change ──signed anew──▶ S3 server
//
// A signature covers the Host and most headers, so a proxy that changes a
// header has to sign again: it does so for every request with an Authorization
// header, with the server's own credentials, keeps the Host that the client
// sent, and checks nothing of the client's signature. The payload's hash
// becomes UNSIGNED-PAYLOAD towards the server, so that what catches a flipped
// bit is the checksum and not the signature; what the client sent is in the
// log. Presigned and anonymous requests pass as they are.
//
// Bodies stream; only XML that must be rewritten is read whole.
package faultproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const bufferSize = 256 << 10

// Options say what the proxy stands before.
type Options struct {
	Upstream  string // the S3 server's URL; required
	AccessKey string // the server's credentials, to sign with
	SecretKey string
	Region    string // "" is us-east-1
	// Addr to serve on; "" is 127.0.0.1 and a free port.
	Addr string
	// COS makes the server look like Tencent COS: it answers with
	// x-cos-hash-crc64ecma, computed by the proxy over the bytes that went
	// through it, on PutObject, UploadPart, CompleteMultipartUpload, HEAD and
	// GET. Combine it with StripChecksums: COS has no CRC64NVME.
	COS bool
}

// Proxy is a running proxy. All methods are safe for concurrent use.
type Proxy struct {
	opts      Options
	upstream  *url.URL
	url       string
	transport *http.Transport
	signer    *v4.Signer
	buffers   sync.Pool
	srv       *http.Server
	serving   sync.WaitGroup
	running   sync.WaitGroup
	closing   chan struct{}
	stop      func() error

	mu      sync.Mutex // guards what follows
	closed  bool
	entries []*Entry
	rules   []*rule
	sums    map[string]ecma         // COS: by object
	parts   map[string]map[int]ecma // COS: by upload
}

// Start serves a proxy before Options.Upstream.
func Start(ctx context.Context, opts Options) (*Proxy, error) {
	up, err := url.Parse(opts.Upstream)
	if err != nil || up.Host == "" {
		return nil, fmt.Errorf("start fault proxy before %q: no usable URL: %w", opts.Upstream, err)
	}
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	p := &Proxy{
		opts: opts, upstream: up, closing: make(chan struct{}), sums: map[string]ecma{}, parts: map[string]map[int]ecma{},
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize},
		signer: v4.NewSigner(func(o *v4.SignerOptions) {
			o.DisableURIPathEscaping = true // S3 signs the path as it is sent
		}),
	}
	p.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	p.url = "http://" + ln.Addr().String()
	p.srv = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	p.stop = sync.OnceValue(p.shutdown)
	p.serving.Go(func() { _ = p.srv.Serve(ln) }) // always ends with ErrServerClosed: Close joins it
	return p, nil
}

// Endpoint returns the proxy's URL, to be used as the S3 server's.
func (p *Proxy) Endpoint() string { return p.url }

// Close cuts every connection, releases what hangs and waits until nothing
// runs any more. It may be called more than once; Log still answers.
func (p *Proxy) Close() error { return p.stop() }

func (p *Proxy) shutdown() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.closing)
	err := p.srv.Close()
	p.serving.Wait()
	p.running.Wait()
	p.transport.CloseIdleConnections()
	return err
}

func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.running.Add(1)
	return true
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		cut(w)
		return
	}
	defer p.running.Done()
	x := &exchange{p: p, w: w, r: r, entry: p.begin(r), plan: p.plan(r)}
	if !x.stall() {
		cut(w) // returning would be an empty 200
		return
	}
	switch do := x.plan; {
	case do.reply != nil:
		x.refuse(do.reply)
	case do.dropBefore:
		cut(w)
	case do.completeError != "":
		_, _ = io.Copy(io.Discard, r.Body) // read whole, or the client sees a reset
		x.answer(http.StatusOK, http.Header{"Content-Type": {"application/xml"}}, errorXML(do.completeError))
	default:
		if err := x.forward(r.Context()); err != nil {
			x.note(func(e *Entry) { e.Err = err.Error() })
			cut(w) // what a gateway that lost its server does to us
		}
	}
}

// exchange is one request on its way through.
type exchange struct {
	p     *Proxy
	w     http.ResponseWriter
	r     *http.Request
	entry *Entry
	plan  *plan
}

func (x *exchange) note(change func(*Entry)) {
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	change(x.entry)
}

// stall waits as the plan says; false if nothing is to follow.
func (x *exchange) stall() bool {
	holds := x.plan.hold
	if x.plan.hang {
		holds = append(holds, nil)
	}
	for _, until := range holds {
		select {
		case <-until:
		case <-x.r.Context().Done():
			return false
		case <-x.p.closing:
			return false
		}
	}
	return true
}

// forward sends the request on and its answer back. An error means that no
// answer was begun.
func (x *exchange) forward(ctx context.Context) error {
	out, sum, err := x.request(ctx)
	if err != nil {
		return err
	}
	if out.Header.Get("Authorization") != "" {
		out.Header.Del("Authorization")
		creds := aws.Credentials{AccessKeyID: x.p.opts.AccessKey, SecretAccessKey: x.p.opts.SecretKey}
		hash := out.Header.Get("X-Amz-Content-Sha256")
		if err := x.p.signer.SignHTTP(ctx, creds, out, hash, "s3", x.p.opts.Region, time.Now()); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
	}
	x.note(func(e *Entry) { e.Forwarded = true })
	resp, err := x.p.transport.RoundTrip(out)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if x.plan.dropReply {
		_, _ = io.Copy(io.Discard, resp.Body) // so that it has taken effect for sure
		x.note(func(e *Entry) { e.UpstreamStatus = resp.StatusCode })
		cut(x.w)
		return nil
	}
	if sum != nil {
		x.learn(out, resp, sum)
	}
	return x.reply(resp)
}

// cut resets the client's connection.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError) // no connection to cut: not served by net/http
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a connection that is gone already needs no reset
	}
	_ = conn.Close()
}
