package download

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// target is one URL, taken apart without decoding anything: path and query
// are kept as the raw bytes that go on the request line.
type target struct {
	scheme string        // "http" or "https"
	host   string        // as in the URL, with the port if it has one
	name   string        // host without port, lower case, without a final dot
	user   *url.Userinfo // a secret; nil if there is none
	path   string        // raw, at least "/"
	query  string        // raw, with the "?"; a secret; "" if there is none
}

// errScheme is a URL that is neither http nor https.
var errScheme = errors.New("only http and https are allowed")

// parseTarget takes raw apart. A fragment is dropped. A space, which cannot
// stand on a request line, becomes %20; control characters are refused. Only
// scheme and authority go through net/url: its parser refuses paths that
// vendors sign, and would encode them anew. Errors say nothing of raw.
func parseTarget(raw string) (target, error) {
	raw, _, _ = strings.Cut(raw, "#")
	if strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return target{}, errors.New("the URL contains a control character")
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !ok || (scheme != "http" && scheme != "https") {
		return target{}, errScheme
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	u, err := url.Parse(scheme + "://" + rest[:end])
	if err != nil || u.Hostname() == "" {
		return target{}, errors.New("the URL's host is malformed")
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r >= 0x80 }) {
		return target{}, errors.New("the URL's host is not ASCII (international names are written as xn--…)")
	}
	t := target{scheme: scheme, host: u.Host, user: u.User}
	t.name = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	t.path = strings.ReplaceAll(rest[end:], " ", "%20")
	if i := strings.IndexByte(t.path, '?'); i >= 0 {
		t.path, t.query = t.path[:i], t.path[i:]
	}
	if t.path == "" {
		t.path = "/"
	}
	return t, nil
}

// maxShown is how many bytes of host/path are shown: a redirect may be long.
const maxShown = 512

// String is host/path, all that may be shown of a URL.
func (t target) String() string {
	s := t.host + t.path
	if len(s) > maxShown {
		s = s[:maxShown] + hidden
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// wire returns the URL that makes net/http write path and query byte for
// byte. Opaque is what it writes as it is; with absolute set, as for http
// through a proxy, it needs the host in front (RFC 9112 section 3.2.2).
func (t target) wire(absolute bool) *url.URL {
	u := &url.URL{Scheme: t.scheme, Host: t.host}
	if !absolute && !strings.HasPrefix(t.path, "//") {
		u.Opaque = t.path + t.query
		return u
	}
	if !absolute {
		// An Opaque that starts with // means a host. Keys with an empty
		// first directory exist, and mostly survive net/url unchanged.
		if p, err := url.PathUnescape(t.path); err == nil {
			u.Path, u.RawPath = p, t.path
			u.RawQuery, u.ForceQuery = strings.TrimPrefix(t.query, "?"), t.query != ""
			if u.EscapedPath() == t.path {
				return u
			}
			u = &url.URL{Scheme: t.scheme, Host: t.host}
		}
	}
	u.Opaque = "//" + t.host + t.path + t.query
	return u
}

// resolve returns where a Location header, seen at t, leads. Absolute
// locations and absolute paths are kept byte for byte; RFC 3986 section 5
// arithmetic is left to net/url for relative paths alone. User info never
// travels.
func (t target) resolve(location string) (target, error) {
	location, _, _ = strings.Cut(location, "#")
	base := t.scheme + "://" + t.host
	var raw string
	switch {
	case hasScheme(location):
		raw = location
	case strings.HasPrefix(location, "//"):
		raw = t.scheme + ":" + location
	case strings.HasPrefix(location, "/"):
		raw = base + location
	case strings.HasPrefix(location, "?"):
		raw = base + t.path + location
	case location == "":
		raw = base + t.path + t.query
	default:
		rel, query, found := strings.Cut(location, "?")
		if found {
			query = "?" + query
		}
		b, err := url.Parse(base + t.path)
		if err != nil {
			return target{}, errors.New("the redirect's location is malformed")
		}
		u, err := b.Parse(rel)
		if err != nil {
			return target{}, errors.New("the redirect's location is malformed")
		}
		raw = base + u.EscapedPath() + query
	}
	next, err := parseTarget(raw)
	next.user = nil
	return next, err
}

// hasScheme reports whether ref starts with a scheme (RFC 3986 section 3.1).
func hasScheme(ref string) bool {
	i := strings.IndexAny(ref, ":/?#")
	return i > 0 && ref[i] == ':'
}

// minSecret is the length from which a query's value counts as a secret:
// shorter ones ("f=", "b=e52") would only tear holes into texts.
const minSecret = 6

// secrets returns what must not appear in any text, longest first.
func (t target) secrets() []string {
	var all []string
	add := func(s string) {
		if len(s) >= minSecret {
			all = append(all, s)
		}
	}
	query := strings.TrimPrefix(t.query, "?")
	add(query)
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		_, value, found := strings.Cut(pair, "=")
		if !found {
			value = pair
		}
		add(value)
		if plain, err := url.QueryUnescape(value); err == nil {
			add(plain)
		}
		if plain, err := url.PathUnescape(value); err == nil {
			add(plain)
		}
		add(url.QueryEscape(value))
	}
	if t.user != nil {
		password, _ := t.user.Password()
		// Even a short password is one.
		for _, s := range []string{t.user.String(), password} {
			if s != "" {
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}
