package meetingapi

import (
	"bytes"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEvidence bounds what errors quote of an answer, in bytes.
const maxEvidence = 256

// RedactURL returns an URL as host/path, for logs and manifests: without
// scheme, user info, query and fragment. What cannot be read as an URL becomes
// "(unreadable URL)".
func RedactURL(rawURL string) string {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err != nil || u.Opaque != "" {
		return "(unreadable URL)"
	}
	s := u.Host + u.EscapedPath()
	if u.Host == "" { // without a scheme the user info stands in the first segment
		first, rest, slash := strings.Cut(strings.TrimLeft(s, "/"), "/")
		if i := strings.LastIndexByte(first, '@'); i >= 0 {
			s = first[i+1:]
			if slash {
				s += "/" + rest
			}
		}
	}
	return s
}

// RedactItem returns an item with every URL in any string (member names and
// longer texts included) cut to what identifies it: no query, no fragment, no
// user info. Everything else, numbers too, stays as it was written. Where the
// end of a query cannot be told, too much is removed rather than too little.
// What is no JSON becomes the string "(unreadable item)".
func RedactItem(raw json.RawMessage) json.RawMessage {
	if !json.Valid(raw) {
		return json.RawMessage(`"(unreadable item)"`)
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '"' {
			out = append(out, raw[i])
			continue
		}
		end := stringEnd(raw, i)
		out = append(out, redactLiteral(raw[i:end])...)
		i = end - 1
	}
	return out
}

// redactLiteral redacts a JSON string literal; unchanged ones keep their bytes.
func redactLiteral(lit []byte) []byte {
	if plain(lit) {
		return lit
	}
	var s string
	if json.Unmarshal(lit, &s) != nil {
		return []byte(`"(unreadable)"`)
	}
	clean := redactText(s)
	if clean == s {
		return lit
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(clean) != nil {
		return []byte(`"(unreadable)"`)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// plain reports whether a string literal is valid and has none of the
// characters without which there is neither a query nor an authority in it. Of
// most members that is so, and nothing else has to be looked for.
func plain(lit []byte) bool {
	if len(lit) < 2 || lit[len(lit)-1] != '"' {
		return false
	}
	return !bytes.ContainsFunc(lit, func(c rune) bool { return c < ' ' || c == '?' || c == '/' || c == '\\' })
}

var (
	// isURL: the text is an URL from its start; blanks and quotes in it are
	// the URL's own.
	isURL = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9+.-]*:[\\/]*/`)
	// slashes open an authority, escaped as in JSON within a string or not.
	slashes = regexp.MustCompile(`\\*/(?:\\*/)+`)
	// words are what URLs in a longer text are delimited by.
	words = regexp.MustCompile(`[^ \t\n\f\r"<>]+`)
	// question and hash open query and fragment, escaped as by some JSON
	// writers or not.
	question = regexp.MustCompile(`\?|\\+u003[fF]`)
	hash     = regexp.MustCompile(`#|\\+u0023`)
	// equals is a parameter with a value.
	equals = regexp.MustCompile(`(?:=|\\+u003[dD]).`)
)

// redactText removes query, fragment and user info from every URL in s.
func redactText(s string) string {
	if isURL.MatchString(s) {
		s, _ = redactWord(s, false)
		return s
	}
	inQuery := false // behind a query that a blank may have interrupted
	return words.ReplaceAllStringFunc(s, func(word string) string {
		word, inQuery = redactWord(word, inQuery)
		return word
	})
}

// redactWord redacts one word, and reports whether a query was cut since the
// text's start: words with "=" behind one are taken for its continuation.
func redactWord(word string, inQuery bool) (string, bool) {
	open := slashes.FindStringIndex(word)
	end := len(word)
	if q := question.FindStringIndex(word); q != nil && (open != nil || equals.MatchString(word[q[1]:])) {
		end = q[0]
	}
	if open != nil {
		if h := hash.FindStringIndex(word[open[1]:]); h != nil {
			end = min(end, open[1]+h[0])
		}
	}
	if end == len(word) && open == nil && inQuery && equals.MatchString(word) {
		return "", true
	}
	return withoutUserInfo(word[:end]), inQuery || end < len(word)
}

// withoutUserInfo drops what stands before the last "@" of every authority.
func withoutUserInfo(s string) string {
	var b strings.Builder
	for {
		open := slashes.FindStringIndex(s)
		if open == nil {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:open[1]])
		s = s[open[1]:]
		for {
			authority, _, _ := strings.Cut(s, "/")
			at := strings.LastIndexByte(authority, '@')
			if at < 0 {
				break
			}
			// What a slash follows is joined to the slashes before it, and
			// opens an authority again.
			s = s[at+1:]
			n := len(s) - len(strings.TrimLeft(s, `\/`))
			b.WriteString(s[:n])
			s = s[n:]
		}
	}
}

// clean makes text from outside fit for an error: one line of at most 256
// printable bytes, without the auth value in any spelling and without the
// queries of URLs.
func clean(s, auth string) string {
	s = hide(s, auth)
	if len(s) > 16<<10 {
		s = s[:16<<10] // of megabytes, only the beginning can be shown anyway
	}
	s = hide(printable(s, len(s)), auth) // again: collapsed blanks may have made it
	return printable(redactText(s), maxEvidence)
}

func hide(s, auth string) string {
	auth = strings.TrimSpace(auth)
	quoted, err := json.Marshal(auth)
	if err != nil || auth == "" {
		return s
	}
	for _, spelling := range []string{
		auth, url.QueryEscape(auth), url.PathEscape(auth), html.EscapeString(auth), string(quoted[1 : len(quoted)-1]),
	} {
		s = strings.ReplaceAll(s, spelling, "<secret>")
	}
	return s
}

// printable collapses blanks, replaces what does not print, and cuts s to at
// most limit bytes at a character's border.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimSpace(s[:limit])
}

// excerpt quotes the beginning of a body that is no JSON. Broken JSON is not
// quoted: the presigned URLs in it could be cut or escaped in any way.
func excerpt(body []byte, auth string) string {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "an empty answer"
	}
	if body[0] == '{' || body[0] == '[' {
		return "it begins like JSON, but is broken or no object"
	}
	return clean(string(body), auth)
}
