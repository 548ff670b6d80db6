package meetingapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"archiver/internal/fault"
)

// failure is one failed attempt, before it is known whether it is repeated.
type failure struct {
	kind       fault.Kind
	status     int
	code       string
	retryAfter time.Duration
	hint       string
	err        error

	repeat  bool   // worth repeating within the call
	reached bool   // the vendor may have acted on the request
	label   string // for Observe; "" if nothing was sent
}

// fault is the error that the caller sees.
func (f *failure) fault(r request) error {
	e := &fault.Error{
		Op: "vendor " + r.name, Subject: r.subject, Kind: f.kind, Status: f.status, Code: f.code,
		RetryAfter: f.retryAfter, Hint: f.hint, Err: f.err,
	}
	if r.once && f.reached {
		e.Kind, e.Hint = fault.Ambiguous, r.unclear
	}
	return e
}

// classify decides what an HTTP answer means.
func classify(resp *http.Response, body []byte, received time.Time, auth string) (answer, *failure) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = time.Time{}
	}
	ok := resp.StatusCode >= 200 && resp.StatusCode < 300
	env, isEnvelope := decodeEnvelope(body)
	if ok && isEnvelope && env.success() {
		return answer{data: env.data, status: resp.StatusCode, date: date, receivedAt: received}, nil
	}
	var f *failure
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		f = redirected(resp)
	case isEnvelope && env.told():
		f = refused(resp.StatusCode, env, auth)
	case ok:
		f = notJSON(resp, body, auth)
	default:
		f = byStatus(resp, body, isEnvelope, auth)
	}
	f.status = resp.StatusCode
	if f.kind == fault.Temporary {
		f.retryAfter = retryAfter(resp.Header.Get("Retry-After"), date, received)
	}
	if f.label == "" {
		f.label = label(f.code)
	}
	return answer{}, f
}

// refused reads a failure that the envelope tells. Where envelope and HTTP
// status disagree the more specific one counts: a conference's code (2000xx),
// then a refused key wherever it is told, then any documented code, then the
// HTTP status.
func refused(status int, env envelope, auth string) *failure {
	v, known := verdictOf(env.number)
	code, said := env.code, env.message
	if !known {
		said = strings.TrimSuffix(env.oddity()+": "+env.message, ": ")
	}
	bad := status >= 300
	keyRefused := status == http.StatusUnauthorized || status == http.StatusForbidden
	if bad && (!known || keyRefused && env.number < 200000) {
		v, known = verdictOf(status)
		code = strconv.Itoa(status)
	}
	f := v.failure(clean(code, auth), clean(said, auth))
	if !known {
		f.err = errors.New(clean(said, auth))
	}
	if bad {
		f.err = fmt.Errorf("HTTP %d: %w", status, f.err)
	}
	if env.number == 200 && !bad {
		f.label = "error" // its own label would count it as a success
	}
	return f
}

// byStatus reads a failure of which only the HTTP status tells: a gateway's
// page, an empty body, or JSON of another kind.
func byStatus(resp *http.Response, body []byte, isJSON bool, auth string) *failure {
	v, _ := verdictOf(resp.StatusCode)
	page := bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	if resp.StatusCode == http.StatusBadRequest && page {
		// The vendor's 400 counts against a recording, and after a deletion
		// as its confirmation. A proxy's page must not.
		return notJSON(resp, body, auth)
	}
	said := ""
	if !isJSON {
		said = excerpt(body, auth)
	}
	f := v.failure(strconv.Itoa(resp.StatusCode), said)
	if !isJSON && len(bytes.TrimSpace(body)) > 0 && f.kind == fault.Temporary {
		f.err = fmt.Errorf("%w: %w", f.err, ErrNotJSON)
		f.hint = orElse(f.hint, "something between here and the vendor answers in its place; check api_url and proxy")
	}
	return f
}

// notJSON is an answer that cannot be the vendor's.
func notJSON(resp *http.Response, body []byte, auth string) *failure {
	err := fmt.Errorf("HTTP %d: %w", resp.StatusCode, ErrNotJSON)
	if said := excerpt(body, auth); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	f := &failure{
		kind: fault.Temporary, repeat: true, reached: resp.StatusCode < 300, err: err,
		hint: "something between here and the vendor answers in its place; check api_url and proxy",
	}
	if resp.StatusCode >= 300 {
		f.code = strconv.Itoa(resp.StatusCode)
	}
	return f
}

// redirected is a redirect, which is never followed: the auth header goes to
// api_url only.
func redirected(resp *http.Response) *failure {
	f := &failure{
		kind: fault.Temporary, code: strconv.Itoa(resp.StatusCode),
		err:  fmt.Errorf("HTTP %d: a redirect, not followed", resp.StatusCode),
		hint: "check api_url and proxy",
	}
	if u, err := url.Parse(resp.Header.Get("Location")); err == nil && u.Host != "" {
		f.hint = fmt.Sprintf("it leads to %s://%s; if that is the vendor, set api_url to it", printable(u.Scheme, 8), printable(u.Host, 128))
	}
	return f
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds, or a date,
// which is taken against the other side's own clock where it tells it.
func retryAfter(h string, date, received time.Time) time.Duration {
	const most = 24 * time.Hour // a typo there must not stop a tenant for years
	h = strings.TrimSpace(h)
	if n, err := strconv.ParseUint(h, 10, 64); err == nil {
		return time.Duration(min(n, uint64(most/time.Second))) * time.Second
	}
	at, err := http.ParseTime(h)
	if err != nil {
		return 0
	}
	if date.IsZero() {
		date = received
	}
	return min(max(0, at.Sub(date)), most)
}

// envelope is the frame of every answer.
type envelope struct {
	code    string // as it came, "" if absent or neither string nor number
	number  int    // code, -1 if it is no whole number
	state   string
	message string
	data    json.RawMessage
}

// decodeEnvelope returns false if the body is no JSON object.
func decodeEnvelope(body []byte) (envelope, bool) {
	std, ok := standardJSON(body)
	if !ok {
		return envelope{}, false
	}
	var raw struct {
		Code    json.RawMessage `json:"code"`
		State   json.RawMessage `json:"state"`
		Message json.RawMessage `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if first := bytes.TrimSpace(std); first[0] != '{' || json.Unmarshal(std, &raw) != nil {
		return envelope{}, false
	}
	e := envelope{
		code:    strings.TrimSpace(text(raw.Code)),
		state:   strings.TrimSpace(text(raw.State)),
		message: strings.TrimSpace(text(raw.Message)),
		data:    raw.Data,
		number:  -1,
	}
	if n := whole(e.code); n >= 0 && n <= 999_999_999 {
		e.number = int(n)
	}
	return e, true
}

func (e envelope) success() bool { return e.number == 200 && whole(e.state) == 1 }

// told reports whether the object is the vendor's envelope at all.
func (e envelope) told() bool { return e.code != "" || e.state != "" }

// oddity says what is wrong with an envelope whose code is not documented.
func (e envelope) oddity() string {
	switch {
	case e.success():
		return "the envelope says success"
	case e.code == "":
		return "an answer without a code"
	case e.number == 200 && e.state == "":
		return "code 200 without a state"
	case e.number == 200:
		return "code 200 with state " + e.state
	}
	return "unknown code " + e.code
}

// label makes a metric's label of a code: few values, whatever is sent to us.
func label(code string) string {
	if n := whole(code); n > 0 && n <= 999_999 && len(code) <= 6 {
		return code
	}
	return "error"
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
