package vendorsim

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Download is the Fault.Call of requests to the download host.
const Download = "download"

// Fault is a rule: what it matches, which of the matching requests it hits,
// and what happens to them. Several rules may hit one request: then their
// actions are combined, and of those that end it the first rule's counts.
type Fault struct {
	Call    string // name of the API call, or Download; "" is any
	Subject string // recordId (of a download: of the file's recording) or conferenceKey; "" is any
	File    string // last path segment of a download; "" is any
	After   int    // the first so many matching requests are spared
	Times   int    // how many are hit after that; 0 is all
	Do      Action
}

// Action is what a Fault does. Those of this package are all there are.
type Action interface{ apply(p *plan) }

// plan is what the rules that hit have in store for one request.
type plan struct {
	hold      []<-chan struct{}
	hang      bool
	instead   *instead
	reset     *Reset
	redirect  *Redirect
	truncate  *Truncate
	excess    int64
	rate      int64
	noLength  bool
	noRanges  bool
	valid     Validators
	changed   *ChangedContent
	noMoov    bool
	crcHeader *CRCHeader
	style     *Style
	edits     []func([]Item) []Item
}

type instead struct {
	status     int
	retryAfter time.Duration
	code       string // envelope; "" if it is no envelope
	html       bool
}

// Status answers with an HTTP status and has no effect. The body is the
// gateway's own: XML in COS's style from the download host, text else.
type Status struct {
	Code       int           // 400 to 599
	RetryAfter time.Duration // 0: no Retry-After header; whole seconds
}

// Envelope answers an API call with HTTP 200 and this code and has no effect.
type Envelope struct{ Code string }

// HTML answers with HTTP 200 and a page for people: a proxy's or portal's.
type HTML struct{}

// Hold delays the answer until the channel is closed, the client leaves or the
// Server is closed; then all goes on.
type Hold struct{ Until <-chan struct{} }

// Hang sends nothing until the client leaves or the Server is closed, and has
// no effect.
type Hang struct{}

// Reset resets the connection (RST) instead of answering: before an API call
// takes effect, or after it did. A download is reset before its first byte.
type Reset struct{ AfterEffect bool }

// Redirect answers a download with a redirect to the same path and query at
// Base ("http://other:1234"), "" being the same host. Without Times on the
// same host it is a loop.
type Redirect struct {
	Base   string
	Status int // 301, 302, 303, 307 or 308; 0 is 302
}

// Truncate ends a body after At bytes and closes the connection. The declared
// length is the full one, so that the client can notice; or, if Lying, At, so
// that it can't from this answer alone (but still from Content-Range).
type Truncate struct {
	At    int64
	Lying bool
	Reset bool // end with RST instead of a clean close; a download's only
}

// Excess sends so many bytes more than the answer declared: behind the
// Content-Length of a whole file, and without one, beyond Content-Range, for a
// range.
type Excess struct{ Bytes int64 }

// Slow sends the body at this rate.
type Slow struct{ BytesPerSecond int64 }

// NoLength leaves out Content-Length (and ranges come as chunks, too).
type NoLength struct{}

// NoRanges answers a range request with 200 and everything.
type NoRanges struct{}

// Validators weakens or withholds what pins a version.
type Validators struct {
	WeakETag       bool // W/"…"
	NoETag         bool
	NoLastModified bool
}

// ChangedContent serves another version of the same length, different from
// byte From on, with another ETag and Last-Modified, unless KeepValidators.
// With After it changes after so many requests.
type ChangedContent struct {
	From           int64
	KeepValidators bool
}

// MissingMoov serves an MP4 whose moov box is a free box.
type MissingMoov struct{}

// CRCHeader sends x-cos-hash-crc64ecma with this value; "" leaves it out.
type CRCHeader struct{ Value string }

func (a Status) apply(p *plan) {
	p.end(&instead{status: a.Code, retryAfter: a.RetryAfter})
}
func (a Envelope) apply(p *plan) { p.end(&instead{status: http.StatusOK, code: a.Code}) }
func (HTML) apply(p *plan)       { p.end(&instead{status: http.StatusOK, html: true}) }
func (a Hold) apply(p *plan)     { p.hold = append(p.hold, a.Until) }
func (Hang) apply(p *plan)       { p.hang = true }

func (a Reset) apply(p *plan) {
	if p.reset == nil {
		p.reset = &a
	}
}

func (a Redirect) apply(p *plan) {
	if p.redirect == nil {
		p.redirect = &a
	}
}

func (a Truncate) apply(p *plan)       { p.truncate = &a }
func (a Excess) apply(p *plan)         { p.excess = a.Bytes }
func (a Slow) apply(p *plan)           { p.rate = a.BytesPerSecond }
func (NoLength) apply(p *plan)         { p.noLength = true }
func (NoRanges) apply(p *plan)         { p.noRanges = true }
func (a ChangedContent) apply(p *plan) { p.changed = &a }
func (MissingMoov) apply(p *plan)      { p.noMoov = true }
func (a CRCHeader) apply(p *plan)      { p.crcHeader = &a }

func (a Validators) apply(p *plan) {
	p.valid.WeakETag = p.valid.WeakETag || a.WeakETag
	p.valid.NoETag = p.valid.NoETag || a.NoETag
	p.valid.NoLastModified = p.valid.NoLastModified || a.NoLastModified
}

func (p *plan) end(i *instead) {
	if p.instead == nil {
		p.instead = i
	}
}

type faultList struct {
	mu    sync.Mutex
	rules []*rule
}

type rule struct {
	Fault
	seen, hit int
}

// Inject adds a fault and returns what removes it again; removing twice does
// no harm.
func (s *Server) Inject(f Fault) (remove func()) {
	l := &s.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &rule{Fault: f}
	l.rules = append(l.rules, r)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rules = slices.DeleteFunc(l.rules, func(o *rule) bool { return o == r })
	}
}

// ClearFaults removes every fault.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = nil
}

// plan counts the request on every rule that matches it and collects what
// those have in store for it.
func (l *faultList) plan(call, subject, file string) *plan {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &plan{}
	for _, r := range l.rules {
		if r.Call != "" && r.Call != call || r.Subject != "" && r.Subject != subject || r.File != "" && r.File != file {
			continue
		}
		if r.seen++; r.seen <= r.After || r.Times > 0 && r.hit >= r.Times {
			continue
		}
		r.hit++
		r.Do.apply(p)
	}
	return p
}
