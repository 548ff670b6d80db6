package vendorsim

import (
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"archiver/internal/sandbox/pace"
)

// DownloadHandler returns the download host: GET of signed links only.
func (s *Server) DownloadHandler() http.Handler { return http.HandlerFunc(s.download) }

func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		cut(w)
		return
	}
	defer s.log.running.Done()
	s.mu.Lock()
	f := s.byPath[r.URL.Path]
	s.mu.Unlock()
	entry := s.log.begin(downloadCall(r, f))
	s.log.update(entry, func(c *Call) { c.Time = s.opts.Clock() })
	defer s.log.tell(entry)
	p := s.faults.plan(Download, entry.RecordID, path.Base(r.URL.Path))
	if pace.Wait(r.Context(), s.opts.DownloadLatency) != nil || !s.stall(r.Context(), p) || p.reset != nil {
		cut(w)
		return
	}
	h := w.Header()
	h.Set("Date", s.opts.Clock().UTC().Format(http.TimeFormat))
	h.Set("Server", "tencent-cos")
	h.Set("X-Cos-Request-Id", fmt.Sprintf("sandbox-%d", entry.Seq))
	out := &reply{s: s, w: w, r: r, entry: entry, plan: p, rate: s.opts.DownloadRate}
	switch {
	case p.instead != nil && p.instead.status == http.StatusOK:
		out.small(http.StatusOK, insteadBody(w, p.instead))
		return
	case p.instead != nil:
		_ = insteadBody(w, p.instead) // for its headers
		out.refuse(p.instead.status, xmlCode(p.instead.status), http.StatusText(p.instead.status))
		return
	case p.redirect != nil:
		out.redirect()
		return
	case r.Method == http.MethodHead:
		out.refuse(http.StatusForbidden, "AccessDenied", "Access Denied.")
		return
	case r.Method != http.MethodGet:
		out.refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		return
	}
	if code, text := s.checkSign(r.URL.Path, r.URL.RawQuery, s.opts.Clock()); code != "" {
		out.refuse(http.StatusForbidden, code, text)
		return
	}
	if f == nil {
		out.refuse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	out.file(r.Context(), f)
}

func downloadCall(r *http.Request, f *file) Call {
	c := Call{
		Name: Download, Method: r.Method, HasAuth: r.Header.Get("auth") != "",
		Path: r.URL.Path, RawQuery: r.URL.RawQuery, Range: r.Header.Get("Range"), Header: http.Header{},
	}
	if f != nil {
		c.RecordID = f.owner.ID
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Range", "If-Unmodified-Since", "If-Modified-Since", "Accept-Encoding", "Referer", "User-Agent"} {
		if v := r.Header.Values(name); len(v) > 0 {
			c.Header[name] = v
		}
	}
	return c
}

func xmlCode(status int) string {
	switch status {
	case http.StatusForbidden:
		return "AccessDenied"
	case http.StatusNotFound:
		return "NoSuchKey"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "SlowDown"
	}
	return strings.ReplaceAll(http.StatusText(status), " ", "")
}

// reply is the answer to one download.
type reply struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	entry *Call
	plan  *plan
	rate  int64
}

// status records and sends the status line.
func (o *reply) status(code int) {
	o.s.log.update(o.entry, func(c *Call) { c.Status = code })
	o.w.WriteHeader(code)
}

func (o *reply) small(status int, body []byte) {
	o.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	o.status(status)
	if o.r.Method != http.MethodHead {
		_, _ = o.write(body) // a client that left needs no answer
	}
}

// write counts bytes before it hands them on, so that who has read them finds
// them counted.
func (o *reply) write(p []byte) (int, error) {
	o.s.log.update(o.entry, func(c *Call) { c.Bytes += int64(len(p)) })
	n, err := o.w.Write(p)
	if n < len(p) {
		o.s.log.update(o.entry, func(c *Call) { c.Bytes -= int64(len(p) - n) })
	}
	return n, err
}

// refuse answers with an error in COS's style.
func (o *reply) refuse(status int, code, text string) {
	o.w.Header().Set("Content-Type", "application/xml")
	o.small(status, fmt.Appendf(nil, "<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>%s</Code>\n\t<Message>%s</Message>\n"+
		"\t<Resource>%s</Resource>\n\t<RequestId>sandbox-%d</RequestId>\n</Error>\n\n", code, text, o.r.URL.EscapedPath(), o.entry.Seq))
}

func (o *reply) redirect() {
	base, status := o.plan.redirect.Base, o.plan.redirect.Status
	if base == "" {
		base = o.s.DownloadURL()
	}
	if status == 0 {
		status = http.StatusFound
	}
	o.w.Header().Set("Location", strings.TrimSuffix(base, "/")+o.r.URL.RequestURI())
	o.small(status, nil)
}
