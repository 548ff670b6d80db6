package meetingapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"archiver/internal/fault"
)

// maxRetryAfter is the longest Retry-After that is waited for inside a call; a
// longer one is for the caller, who has other things to do meanwhile.
const maxRetryAfter = 60 * time.Second

// request is one of the six calls.
type request struct {
	name     string // "getRecords"
	subject  string // recordId or conferenceKey
	body     map[string]string
	priority Priority
	once     bool   // never repeated; what may have reached the vendor is ambiguous
	unclear  string // the hint of an ambiguous outcome
	// permit is asked when the call's turn has come, right before it is made;
	// its error ends the call, of which nothing was sent. nil: it is permitted.
	permit func() error
}

// answer is what the vendor said, once it was a success.
type answer struct {
	data       json.RawMessage // standard JSON; nil if absent
	status     int
	date       time.Time
	receivedAt time.Time
}

// call makes the attempts of one call.
func (c *Client) call(ctx context.Context, r request) (answer, error) {
	if err := checkSubject(r); err != nil {
		return answer{}, err
	}
	payload, err := json.Marshal(r.body)
	if err != nil {
		return answer{}, (&failure{kind: fault.Rejected, err: err}).fault(r)
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = c.firstPause
	pause.Multiplier = 2
	pause.MaxInterval = 20 * c.firstPause
	for attempt := 1; ; attempt++ {
		if err := c.gate.wait(ctx, r.priority); err != nil {
			return answer{}, stopped(err).fault(r)
		}
		if r.permit != nil {
			if err := r.permit(); err != nil {
				return answer{}, err
			}
		}
		start := time.Now()
		a, f := c.attempt(ctx, r, payload)
		if f == nil {
			c.opts.Observe(r.name, "200", time.Since(start))
			return a, nil
		}
		if f.label != "" {
			c.opts.Observe(r.name, f.label, time.Since(start))
		}
		if r.once || !f.repeat || attempt >= c.opts.MaxAttempts || f.retryAfter > maxRetryAfter {
			return answer{}, f.fault(r)
		}
		if err := rest(ctx, max(f.retryAfter, pause.NextBackOff())); err != nil {
			if errors.Is(err, context.Canceled) {
				return answer{}, stopped(err).fault(r)
			}
			return answer{}, f.fault(r) // out of time: the vendor's error says more than that
		}
	}
}

// rest waits for d or for the end of ctx.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt sends the request once. A failure without a label was not sent.
func (c *Client) attempt(ctx context.Context, r request, payload []byte) (answer, *failure) {
	auth, err := c.opts.Auth()
	if err != nil {
		return answer{}, &failure{kind: fault.Unauthorized, err: fmt.Errorf("auth: %w", err), hint: "see the tenant's auth or auth_file"}
	}
	if err := checkAuth(auth); err != nil {
		return answer{}, &failure{kind: fault.Unauthorized, err: err, hint: "see the tenant's auth or auth_file"}
	}
	actx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	// Until there is a connection nothing can have reached the vendor.
	var connected atomic.Bool
	actx = httptrace.WithClientTrace(actx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(actx, http.MethodPost, c.base+"/meeting/"+r.name, bytes.NewReader(payload))
	if err != nil {
		return answer{}, &failure{kind: fault.Temporary, err: errors.New("api_url makes no request")}
	}
	req.Header["auth"] = []string{auth} // spelt as in the document, for servers that look at case
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if c.opts.UserAgent != "" {
		req.Header.Set("User-Agent", c.opts.UserAgent)
	}
	rt := c.transport
	if r.once {
		rt = c.fresh
	}
	resp, err := rt.RoundTrip(req) // not a http.Client: redirects are answers like any other
	if err != nil {
		return answer{}, network(ctx, actx, err, connected.Load(), auth)
	}
	defer func() { _ = resp.Body.Close() }()
	received := time.Now()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		f := network(ctx, actx, err, true, auth)
		f.status = resp.StatusCode
		return answer{}, f
	}
	if len(body) > maxResponse {
		return answer{}, &failure{
			kind: fault.Temporary, reached: true, label: "error", status: resp.StatusCode,
			err: fmt.Errorf("the answer is larger than %d MiB", maxResponse>>20),
		}
	}
	return classify(resp, body, received, auth)
}

// checkAuth refuses a header value that net/http would refuse or alter, before
// anything is sent, and without showing it.
func checkAuth(auth string) error {
	if strings.TrimSpace(auth) == "" {
		return errors.New("the auth value is empty")
	}
	for i := range len(auth) {
		if auth[i] < 0x20 || auth[i] == 0x7f {
			return errors.New("the auth value has a control character (a newline at its end?)")
		}
	}
	return nil
}

// network classifies an attempt without a complete answer.
func network(ctx, attempt context.Context, err error, connected bool, auth string) *failure {
	f := &failure{kind: fault.Temporary, reached: connected, repeat: true, label: "error"}
	timeout, isNet := errors.AsType[net.Error](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case ctx.Err() != nil:
		s := stopped(ctx.Err())
		s.reached = connected
		s.label = "error"
		if s.kind == fault.Temporary {
			s.label = "timeout"
		}
		return s
	case attempt.Err() != nil:
		f.label = "timeout"
		f.err = fmt.Errorf("no answer within %s", attemptTimeout)
		return f
	case isNet && timeout.Timeout():
		f.label = "timeout"
	case isDNS && dns.IsNotFound:
		f.hint = "check api_url"
	case isCert:
		f.repeat = false
		f.hint = "the certificate is not trusted; ca_file adds a private authority"
	}
	// The transport's texts may quote what the other side sent.
	f.err = errors.New(clean(err.Error(), auth))
	return f
}

// stopped is the failure of a call whose context ended.
func stopped(err error) *failure {
	f := &failure{kind: fault.Canceled, err: err}
	if errors.Is(err, context.DeadlineExceeded) {
		f.kind = fault.Temporary
	}
	return f
}
