package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"archiver/internal/fault"
)

const (
	op          = "download"
	maxPage     = 4 << 10 // bytes of an error page that are looked at
	maxEvidence = 256     // bytes of it that may be shown
	maxCode     = 64      // bytes of a store's error code
	maxQuoted   = 80      // bytes of a header's value that may be shown
	hidden      = "…"
	// A run of letters and digits is taken for a key, signature or token from
	// longToken bytes on if it has a digit, from veryLongToken bytes on always.
	longToken     = 16
	veryLongToken = 32
)

// fault returns a fault about t. Whatever of err a server may have supplied,
// it is scrubbed here, once for all.
func (t target) fault(kind fault.Kind, err error) *fault.Error {
	return &fault.Error{Op: op, Subject: t.String(), Kind: kind, Err: t.scrubbed(err)}
}

// quoted returns a header's value for an error's text. It is scrubbed before
// it is cut, because no rule recognises half a secret.
func (t target) quoted(value string) string {
	value = scrub(value, t.secrets())
	return strconv.Quote(value[:min(len(value), maxQuoted)])
}

// malformed is the fault of a URL that cannot be used, first or in a redirect.
func malformed(at target, err error) error {
	kind := fault.Rejected
	if errors.Is(err, errScheme) {
		kind = fault.Forbidden
	}
	f := at.fault(kind, err)
	f.Hint = "the vendor's downUrl has to be an http or https URL"
	return f
}

// broken classifies what went wrong below HTTP: our own rules, the stall
// timer, the caller's context, or the network.
func (t target) broken(ctx context.Context, err error) error {
	if g, ok := errors.AsType[*guardError](err); ok {
		f := t.fault(fault.Forbidden, g)
		f.Hint = g.hint()
		return f
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if s, ok := errors.AsType[*stallError](cause); ok {
			return t.fault(fault.Temporary, s)
		}
		if errors.Is(cause, ctx.Err()) {
			return t.fault(fault.Canceled, cause)
		}
		return t.fault(fault.Canceled, fmt.Errorf("%w: %w", ctx.Err(), cause))
	}
	f := t.fault(fault.Temporary, err)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		f.Hint = "if the host's certificate comes from an authority of your own, name it in the tenant's ca_file"
	}
	return f
}

// unanswered is broken for a request that got no answer.
func (t target) unanswered(ctx context.Context, err error) error {
	err = t.broken(ctx, err)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Temporary {
		f.Err = &silentError{f.Err}
	}
	return err
}

// scrubbed returns err if its text is free of secrets, as it nearly always
// is, and else its cleaned text alone: net/http quotes the lines of a server
// that does not speak HTTP, and those may echo the request.
func (t target) scrubbed(err error) error {
	text := err.Error()
	if clean := scrub(text, t.secrets()); clean != text {
		return errors.New(clean)
	}
	return err
}

// refusal turns an answer that brings no bytes into a fault.
func (x *exchange) refusal(t target, resp *http.Response) error {
	page, whole := x.page(resp) // the status counts even if the page does not come
	status := resp.StatusCode
	text := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	if seen := evidence(page, whole, t.secrets()); seen != "" {
		text += ": " + seen
	}
	f := t.fault(fault.Temporary, errors.New(text))
	f.Status, f.Code, f.RetryAfter = status, errorCode(scrub(page, t.secrets())), retryAfter(resp.Header)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusGone:
		f.Kind = fault.LinkExpired
	case http.StatusBadRequest:
		if f.Code == "ExpiredToken" || f.Code == "InvalidToken" || f.Code == "TokenRefreshRequired" {
			f.Kind = fault.LinkExpired
		}
	case http.StatusNotFound:
		f.Kind = fault.NotFound
	case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		f.Kind = fault.Changed
	case http.StatusProxyAuthRequired:
		f.Hint = "the tenant's proxy asks for user and password: write them into its URL"
	}
	return f
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3). A date counts from
// the answer's own Date, so that no clock of ours is needed; 0 if not said.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, ok := parseCount(value); ok {
		return time.Duration(min(seconds, int64(24*time.Hour/time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), 24*time.Hour)
}

// errorCode returns the Code of an error document of S3's family, such as
// "AccessDenied"; "" if page is none.
func errorCode(page string) string {
	_, rest, _ := strings.Cut(page, "<Code>")
	code, _, ok := strings.Cut(rest, "</Code>")
	letter := func(r rune) bool { return r < unicode.MaxASCII && (unicode.IsLetter(r) || r == '.') }
	if !ok || len(code) > maxCode || strings.TrimFunc(code, letter) != "" {
		return ""
	}
	return code
}

// evidence returns at most maxEvidence printable bytes of an error page,
// without what looks like a secret.
func evidence(page string, whole bool, secrets []string) string {
	if !whole {
		// The end may be half a secret, which no rule would recognise.
		page = page[:strings.LastIndexFunc(page, isDelimiter)+1]
	}
	page = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, page)
	page = eachToken(scrub(page, secrets), func(token string) string {
		if len(token) >= veryLongToken || len(token) >= longToken && strings.ContainsAny(token, "0123456789") {
			return hidden
		}
		return token
	})
	page = strings.Join(strings.Fields(page), " ")
	if len(page) > maxEvidence {
		page = strings.ToValidUTF8(page[:maxEvidence], "")
	}
	return page
}

// scrub removes the given secrets from text, and from each token in it
// whatever follows a "?" or "=", and user info.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return eachToken(text, func(token string) string {
		if i := strings.IndexAny(token, "?="); i >= 0 && i+1 < len(token) {
			token = token[:i+1] + hidden
		}
		if i, j := strings.Index(token, "://"), strings.LastIndexByte(token, '@'); i >= 0 && j > i {
			token = token[:i+3] + hidden + token[j:]
		}
		return token
	})
}

// isDelimiter reports whether r ends a token.
func isDelimiter(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\"'`<>(){}[],", r)
}

// eachToken replaces every token of text by what edit makes of it.
func eachToken(text string, edit func(string) string) string {
	var b strings.Builder
	for text != "" {
		end := strings.IndexFunc(text, isDelimiter)
		if end < 0 {
			end = len(text)
		}
		if end > 0 {
			b.WriteString(edit(text[:end]))
			text = text[end:]
			continue
		}
		next := strings.IndexFunc(text, func(r rune) bool { return !isDelimiter(r) })
		if next < 0 {
			next = len(text)
		}
		b.WriteString(text[:next])
		text = text[next:]
	}
	return b.String()
}

// Evidence renders the first bytes of what was downloaded from rawURL, where
// they turned out to be an error page: at most 256 printable bytes, without
// rawURL's query and what else looks like a secret.
func Evidence(page []byte, rawURL string) string {
	t, err := parseTarget(rawURL)
	if err != nil {
		return ""
	}
	return evidence(string(page), false, t.secrets())
}

// silentError marks a request that got no answer: its host could not be
// reached, or took the request and said nothing.
type silentError struct{ error }

func (e *silentError) Unwrap() error { return e.error }

// Unanswered reports whether err, of Get, is of a host that gave no answer at
// all: refused, timed out, reset, without a name or a handshake. Such a
// failure is about the host and not about the file.
func Unanswered(err error) bool {
	_, silent := errors.AsType[*silentError](err)
	return silent
}
