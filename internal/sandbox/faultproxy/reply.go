package faultproxy

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func errorXML(code string) []byte {
	var b strings.Builder
	b.WriteString(xml.Header + "<Error><Code>")
	_ = xml.EscapeText(&b, []byte(code)) // a Builder never fails
	b.WriteString("</Code><Message>injected by a rule</Message><RequestId>sandbox</RequestId></Error>")
	return []byte(b.String())
}

// refuse answers in the server's place.
func (x *exchange) refuse(a *Reply) {
	if a.ReadBody {
		_, _ = io.Copy(io.Discard, x.r.Body) // a client that left needs no answer
	}
	h := http.Header{"Content-Type": {"application/xml"}}
	if a.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(a.RetryAfter/time.Second)))
	}
	x.answer(a.Status, h, errorXML(a.Code))
}

// answer sends an answer of our own.
func (x *exchange) answer(status int, h http.Header, body []byte) {
	if x.r.Method == http.MethodHead {
		body = nil
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.head(status, h)
	x.count(len(body))
	_, _ = x.w.Write(body) // a client that left needs no answer
}

// head sends the status line and the headers, as the rules will have them.
func (x *exchange) head(status int, h http.Header) {
	for _, name := range x.plan.stripResponse {
		h.Del(name)
	}
	for _, set := range x.plan.set {
		h.Set(set.Name, set.Value)
	}
	maps.Copy(x.w.Header(), h)
	x.note(func(e *Entry) { e.Status, e.ResponseHeader = status, h.Clone() })
	x.w.WriteHeader(status)
}

func (x *exchange) count(n int) {
	x.note(func(e *Entry) { e.BytesOut += int64(n) })
}

// reply sends the server's answer back.
func (x *exchange) reply(resp *http.Response) error {
	x.note(func(e *Entry) { e.UpstreamStatus = resp.StatusCode })
	h := resp.Header
	h.Del("Connection")
	var body io.Reader = resp.Body
	if x.plan.stripChecksums {
		stripChecksums(h)
		if strings.Contains(h.Get("Content-Type"), "xml") && x.isXMLCall() {
			b, err := io.ReadAll(io.LimitReader(resp.Body, maxXML))
			if err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			x.answer(resp.StatusCode, h, withoutChecksums(b))
			return nil
		}
	}
	x.head(resp.StatusCode, h)
	if t := x.plan.truncate; t != nil {
		body = io.LimitReader(body, t.At)
	}
	x.copy(body)
	if x.plan.truncate != nil && http.NewResponseController(x.w).Flush() == nil {
		cut(x.w)
	}
	return nil
}

// isXMLCall reports whether an answer is S3's own XML and not an object.
func (x *exchange) isXMLCall() bool {
	of := []string{"uploads", "uploadId", "list-type", "attributes"}
	return x.r.Method != http.MethodGet || slices.ContainsFunc(of, x.r.URL.Query().Has)
}

// copy sends a body, counting each piece before it goes out, so that who has
// read it finds it counted. An error on either side ends it: net/http then
// cuts the connection, because the declared length was not reached.
func (x *exchange) copy(body io.Reader) {
	bp, ok := x.p.buffers.Get().(*[]byte)
	if !ok {
		return
	}
	defer x.p.buffers.Put(bp)
	for {
		n, err := body.Read(*bp)
		if n > 0 {
			x.count(n)
			if _, werr := x.w.Write((*bp)[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
