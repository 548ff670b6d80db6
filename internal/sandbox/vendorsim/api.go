package vendorsim

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"archiver/internal/sandbox/pace"
)

// The codes of the document's two tables.
const (
	codeOK           = "200"
	codeBadParam     = "400"
	codeForbidden    = "403"
	codeServerError  = "500"
	codeNotYours     = "200001"
	codeLiveOpen     = "200002"
	codeRecordOpen   = "200003"
	codeNoRecord     = "200004"
	codeNoLive       = "200005"
	codeNotStarted   = "200006"
	codeNotRecording = "200007"
	codeNoConference = "200008"
)

// params are the body of any of the six calls.
type params struct {
	ConferenceKey string `json:"conferenceKey"`
	RecordID      string `json:"recordId"`
	Origin        string `json:"origin"`
}

// outcome is what a call led to, before faults change how it is told.
type outcome struct {
	code      string
	data      any // Item, []Item, nil or absent{}
	effective bool
}

// ServeHTTP answers POST /meeting/NAME for the six calls of the document.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		cut(w)
		return
	}
	defer s.log.running.Done()
	name, ok := strings.CutPrefix(r.URL.Path, "/meeting/")
	call := s.call(name)
	if !ok || call == nil || r.Method != http.MethodPost {
		http.Error(w, "no such interface", http.StatusNotFound)
		return
	}
	p, perr := readParams(w, r)
	tenant := s.tenantOf(r.Header.Get("auth"))
	entry := s.log.begin(Call{
		Time: s.opts.Clock(), Name: name, Method: r.Method, RecordID: p.RecordID, Conf: p.ConferenceKey, Origin: p.Origin,
		HasAuth: r.Header.Get("auth") != "", Tenant: tenant, Path: r.URL.Path,
	})
	plan := s.faults.plan(name, p.RecordID+p.ConferenceKey, "")
	if !s.stall(r.Context(), plan) || plan.reset != nil && !plan.reset.AfterEffect {
		cut(w)
		return
	}
	out := outcome{code: codeForbidden}
	switch {
	case plan.instead != nil:
		out = outcome{code: plan.instead.code}
	case tenant == "":
	case perr != nil:
		out = outcome{code: codeBadParam}
	default:
		out = call(tenant, p)
	}
	s.reply(w, r, entry, plan, out)
}

// call returns the function behind a name, nil if there is none.
func (s *Server) call(name string) func(tenant string, p params) outcome {
	return map[string]func(string, params) outcome{
		"openRecord":    s.openRecord,
		"closeRecord":   s.closeRecord,
		"getRecords":    s.getRecords,
		"delRecordFile": s.delRecordFile,
		"openLive":      s.openLive,
		"closeLive":     s.closeLive,
	}[name]
}

func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	var p params
	if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		return p, fmt.Errorf("content type %q", ct)
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&p); err != nil {
		return params{}, fmt.Errorf("body: %w", err)
	}
	if len(p.Origin) > 128 || len(p.ConferenceKey) > 50 || len([]rune(p.RecordID)) > 64 {
		return p, fmt.Errorf("a parameter is too long")
	}
	return p, nil
}

func (s *Server) tenantOf(auth string) string {
	for tenant, key := range s.opts.Tenants {
		if auth != "" && auth == key {
			return tenant
		}
	}
	return ""
}

// enter counts a request in unless the Server was closed.
func (s *Server) enter() bool {
	s.net.Lock()
	defer s.net.Unlock()
	if s.closed {
		return false
	}
	s.log.running.Add(1)
	return true
}

// stall waits as the plan says; false if no answer is to follow.
func (s *Server) stall(ctx context.Context, p *plan) bool {
	holds := p.hold
	if p.hang {
		holds = append(holds, nil)
	}
	for _, until := range holds {
		select {
		case <-until:
		case <-ctx.Done():
			return false
		case <-s.closing:
			return false
		}
	}
	return true
}

// reply finishes the entry and writes the answer to an API call.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, entry *Call, p *plan, out outcome) {
	style := s.opts.Style
	if p.style != nil {
		style = *p.style
	}
	if items, ok := out.data.([]Item); ok {
		for _, edit := range p.edits {
			items = edit(items)
		}
		out.data = items
	}
	status, body := http.StatusOK, style.envelope(out.code, out.data)
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	switch in := p.instead; {
	case in == nil:
		if s.opts.StatusInHTTP && len(out.code) == 3 {
			status = httpStatus(out.code)
		}
	case in.code == "":
		status, body = in.status, insteadBody(w, in)
	}
	w.Header().Set("Date", s.opts.Clock().UTC().Format(http.TimeFormat))
	lost := p.reset != nil
	sent := body
	if p.truncate != nil {
		sent = body[:min(int64(len(body)), p.truncate.At)]
	}
	s.log.update(entry, func(c *Call) {
		c.Code, c.Effective = out.code, out.effective
		if !lost {
			c.Status, c.Bytes = status, int64(len(sent))
		}
	})
	s.log.tell(entry)
	if lost {
		cut(w)
		return
	}
	if p.truncate != nil && p.truncate.Lying {
		body = sent
	}
	if !p.noLength {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	flush := http.NewResponseController(w).Flush
	if p.noLength && flush() != nil {
		return
	}
	_, _ = pace.Writer(r.Context(), w, p.rate, flush).Write(sent) // a client that left needs no answer
}

func httpStatus(code string) int {
	n, err := strconv.Atoi(code)
	if err != nil {
		return http.StatusInternalServerError
	}
	return n
}

// insteadBody sets the headers of an answer that is not the vendor's own and
// returns its body.
func insteadBody(w http.ResponseWriter, in *instead) []byte {
	if in.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(in.retryAfter/time.Second)))
	}
	if in.html {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		return []byte("<!DOCTYPE html>\n<html><head><title>Please sign in</title></head><body><h1>Please sign in</h1></body></html>\n")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return fmt.Appendf(nil, "%d %s\n", in.status, http.StatusText(in.status))
}

// cut resets the connection: the client sees RST, not a clean end.
func cut(w http.ResponseWriter) { hangUp(w, true) }

// hangUp takes the connection from net/http and closes it, by RST or cleanly,
// so that no end of the answer is sent.
func hangUp(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError) // no connection to cut: not served by net/http
		return
	}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok && reset {
		conn = t.NetConn() // under TLS: without its goodbye
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // a connection that is gone already needs no reset
	}
	_ = conn.Close()
}
