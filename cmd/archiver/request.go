package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"archiver/internal/socket"
)

// request is a call of the API.
type request struct {
	method string
	path   string // below /api/v1, escaped
	query  url.Values
	body   io.Reader // nil: none
	form   string    // media type of body
	header http.Header
}

// segment escapes a value so that it is one element of a path, whatever it is.
func segment(s string) string {
	e := url.PathEscape(s)
	if e == "." || e == ".." { // which would be resolved away
		e = strings.ReplaceAll(e, ".", "%2E")
	}
	return e
}

// recordingPath is where a recording lies in the API.
func recordingPath(tenant, id string) string {
	return "/recordings/" + segment(tenant) + "/" + segment(id)
}

// send makes a call and returns an answer whose status says that it succeeded.
// Errors: an *outcome with the exit code for what the archiver refused.
func (a *client) send(ctx context.Context, q request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, "http://localhost/api/v1"+q.path, q.body)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = q.query.Encode()
	maps.Copy(req.Header, q.header)
	req.Header.Set(socket.StateHeader, a.state)
	if q.body != nil {
		req.Header.Set("Content-Type", q.form)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, a.lost(ctx, err)
	}
	switch {
	case resp.Header.Get(socket.StateHeader) != a.state:
		err = fmt.Errorf("what answers on the socket beside the state %s has %q as its state; see that state.path in the configuration names the state of the archiver that runs",
			a.state, plain(resp.Header.Get(socket.StateHeader)))
	case resp.StatusCode >= http.StatusMultipleChoices:
		err = refusal(resp)
	}
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

// call makes a call with JSON on both sides; in and out may be nil.
func (a *client) call(ctx context.Context, method, path string, query url.Values, in, out any) (err error) {
	q := request{method: method, path: path, query: query}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		q.body, q.form = bytes.NewReader(b), "application/json"
	}
	resp, err := a.send(ctx, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return a.lost(ctx, fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

// lost says what became of a call that got no whole answer.
func (a *client) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if !a.remote() {
		return err
	}
	return fmt.Errorf("the running archiver has gone away in the middle: %w; see its log, then run the same command again", err)
}

// problem is what the API refuses with (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

// Error implements error.
func (p *problem) Error() string {
	return cmp.Or(plain(p.Detail), plain(p.Title), http.StatusText(p.Status))
}

// longestProblem is how many bytes of a refusal are read.
const longestProblem = 1 << 20

// refusal reads why, and what that means for the exit code.
func refusal(resp *http.Response) error {
	p := &problem{Title: resp.Status}
	form, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if form == "application/problem+json" {
		// What is cut or broken leaves the status, which says enough.
		_ = json.NewDecoder(io.LimitReader(resp.Body, longestProblem)).Decode(p)
	}
	p.Status = resp.StatusCode
	code := exitFailed
	switch {
	case p.Code == "unresolved" || p.Status == http.StatusGatewayTimeout:
		code = exitAttention
	case p.Status == http.StatusBadRequest || p.Status == http.StatusUnprocessableEntity:
		code = exitUsage
	}
	return &outcome{code: code, err: p}
}

// missing reports whether the archiver doesn't know what was asked for.
func missing(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.Status == http.StatusNotFound
}
