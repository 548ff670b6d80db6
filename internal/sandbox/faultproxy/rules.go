package faultproxy

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// Rule matches requests and says what happens to them. Several rules may hit
// one request: then their actions are combined, and of those that answer in
// the server's place the first rule's counts.
type Rule struct {
	Method  string         // "" is any
	Query   []string       // keys that must be there: "uploads", "uploadId", "partNumber", "list-type"
	NoQuery []string       // keys that must not be there
	Path    *regexp.Regexp // of the unescaped path, /bucket/key; nil is any
	After   int            // the first so many matching requests are spared
	Times   int            // how many are hit after that; 0 is all
	Do      Action
}

// Action is what a Rule does. Those of this package are all there are.
type Action interface{ apply(p *plan) }

type plan struct {
	hold           []<-chan struct{}
	hang           bool
	reply          *Reply
	dropBefore     bool
	dropReply      bool
	completeError  string
	corrupt        *Corrupt
	stripRequest   []string
	stripResponse  []string
	stripChecksums bool
	set            []SetHeader
	truncate       *Truncate
}

// Reply answers in the server's place with S3's XML error: SlowDown with 503,
// AccessDenied with 403, NoSuchBucket with 404, ConditionalRequestConflict
// with 409, PreconditionFailed with 412, QuotaExceeded with 507.
type Reply struct {
	Status     int
	Code       string
	RetryAfter time.Duration // 0: no such header; whole seconds
	ReadBody   bool          // read the request's body first
}

// DropBefore resets the connection and sends nothing on.
type DropBefore struct{}

// DropReply sends the request on, waits until it took effect and resets the
// connection instead of answering.
type DropReply struct{}

// CompleteError answers 200 with an Error document and sends nothing on, as S3
// may do at CompleteMultipartUpload.
type CompleteError struct{ Code string }

// Corrupt inverts the byte at offset At of the request's body.
type Corrupt struct{ At int64 }

// Hold delays the request until the channel is closed, the client leaves or
// the Proxy is closed; then it goes on.
type Hold struct{ Until <-chan struct{} }

// Hang sends nothing on and nothing back until the client leaves or the Proxy
// is closed.
type Hang struct{}

// Strip removes headers by name on their way.
type Strip struct{ Request, Response []string }

// StripChecksums removes every trace of checksums both ways, headers, trailers
// and XML: a store that proves nothing. An upload framed for a trailing
// checksum goes on without its frames.
type StripChecksums struct{}

// IgnoreConditions removes If-Match, If-None-Match and the like from requests:
// a store that ignores them.
type IgnoreConditions struct{}

// SetHeader changes a header of the answer, such as Date.
type SetHeader struct{ Name, Value string }

// Truncate resets the connection after At bytes of the answer's body.
type Truncate struct{ At int64 }

func (a Reply) apply(p *plan) {
	if p.reply == nil {
		p.reply = &a
	}
}

func (DropBefore) apply(p *plan)      { p.dropBefore = true }
func (DropReply) apply(p *plan)       { p.dropReply = true }
func (a CompleteError) apply(p *plan) { p.completeError = a.Code }
func (a Corrupt) apply(p *plan)       { p.corrupt = &a }
func (a Hold) apply(p *plan)          { p.hold = append(p.hold, a.Until) }
func (Hang) apply(p *plan)            { p.hang = true }
func (StripChecksums) apply(p *plan)  { p.stripChecksums = true }
func (a SetHeader) apply(p *plan)     { p.set = append(p.set, a) }
func (a Truncate) apply(p *plan)      { p.truncate = &a }

func (a Strip) apply(p *plan) {
	p.stripRequest = append(p.stripRequest, a.Request...)
	p.stripResponse = append(p.stripResponse, a.Response...)
}

func (IgnoreConditions) apply(p *plan) {
	p.stripRequest = append(p.stripRequest, "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
}

type rule struct {
	Rule
	seen, hit int
}

// Inject adds a rule and returns what removes it again; removing twice does no
// harm.
func (p *Proxy) Inject(r Rule) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	added := &rule{Rule: r}
	p.rules = append(p.rules, added)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rules = slices.DeleteFunc(p.rules, func(o *rule) bool { return o == added })
	}
}

// ClearRules removes every rule.
func (p *Proxy) ClearRules() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

func (r *rule) matches(req *http.Request) bool {
	q := req.URL.Query()
	absent := func(name string) bool { return !q.Has(name) }
	return (r.Method == "" || r.Method == req.Method) && !slices.ContainsFunc(r.Query, absent) && !slices.ContainsFunc(r.NoQuery, q.Has) &&
		(r.Path == nil || r.Path.MatchString(req.URL.Path))
}

// plan counts the request on every rule that matches it and collects what
// those have in store for it.
func (p *Proxy) plan(req *http.Request) *plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &plan{}
	for _, r := range p.rules {
		if !r.matches(req) {
			continue
		}
		if r.seen++; r.seen <= r.After || r.Times > 0 && r.hit >= r.Times {
			continue
		}
		r.hit++
		r.Do.apply(out)
	}
	return out
}

// Entry is one request in the log. Signatures are not kept.
type Entry struct {
	Seq            int // from 1, in the order of arrival
	Method         string
	Path           string // unescaped: /bucket/key
	RawQuery       string // "" of a presigned request
	Presigned      bool
	PayloadHash    string      // x-amz-content-sha256 as the client sent it
	RequestHeader  http.Header // as the client sent it, without Authorization
	Forwarded      bool
	BytesIn        int64 // of the body, sent on
	UpstreamStatus int   // 0 if the server wasn't asked or didn't answer
	Status         int   // that the client was sent, 0 if none was
	ResponseHeader http.Header
	BytesOut       int64  // of the body, counted before they go out
	Err            string // why the server couldn't be asked
}

func (p *Proxy) begin(r *http.Request) *Entry {
	e := &Entry{Method: r.Method, Path: r.URL.Path, RawQuery: r.URL.RawQuery, PayloadHash: r.Header.Get("X-Amz-Content-Sha256"), RequestHeader: r.Header.Clone()}
	e.RequestHeader.Del("Authorization")
	if r.URL.Query().Has("X-Amz-Signature") {
		e.RawQuery, e.Presigned = "", true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, e)
	e.Seq = len(p.entries)
	return e
}

// Log returns every request so far in the order of arrival. One whose answer
// has been read by the client is complete, bytes included.
func (p *Proxy) Log() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Entry, len(p.entries))
	for i, e := range p.entries {
		out[i] = *e
		out[i].RequestHeader, out[i].ResponseHeader = maps.Clone(e.RequestHeader), maps.Clone(e.ResponseHeader)
	}
	return out
}
