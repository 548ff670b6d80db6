package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake, or one warning.
type Problem struct {
	File    string
	Line    int    // from 1; 0 if it is about the file as a whole
	Column  int    // in characters, from 1
	Key     string // such as "tenants.acme.api_url"; "" for a syntax error
	Message string // without secrets
	Excerpt string // the line, with secrets taken out; may be empty
}

// String renders "file:line:column: key: message" and below it the line with a
// mark under the column.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Excerpt != "" {
		number := fmt.Sprintf("%5d", p.Line)
		column := min(p.Column-1, utf8.RuneCountInString(p.Excerpt))
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, p.Excerpt, strings.Repeat(" ", len(number)), strings.Repeat(" ", column))
	}
	return b.String()
}

// Invalid says that a configuration can't be used, and lists every mistake in
// the order of the file.
type Invalid struct {
	Problems []Problem // at least one
}

// Error renders all problems, one below the other.
func (e *Invalid) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

func sortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
}

// excerpts holds the lines of a file as they may be shown: without whatever
// stands behind a key that is, or looks as if it was meant to be, a secret.
// It works on the text, because a file with a syntax error has no tree.
type excerpts struct {
	lines    []string
	word     *regexp.Regexp // a word that names a secret, with what follows it
	harmless *regexp.Regexp // a value that may be shown though its key is secret
	url      *regexp.Regexp
	hook     *regexp.Regexp // the key of a webhook's URL
}

func newExcerpts(text string) *excerpts {
	return &excerpts{
		lines:    strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n"),
		word:     regexp.MustCompile(`(?i)(?:^|[\s{,"'-])([\w-]*(?:secret|token|passw|credential|auth|api_?-?key|api_?-?id|access_?-?key|heartbeat)[\w-]*)["']?(?:\s*[:=]\s*|\s+)`),
		harmless: regexp.MustCompile(`^(?:""|''|["']?\$\{\w+\}["']?)?\s*[,}\]]*\s*(?:#.*)?$`),
		url:      regexp.MustCompile(`(\w+://)(?:[^\s/?#"']*@)?([^\s?"',}\]]*)(\?[^\s"',}\]]*)?`),
		hook:     regexp.MustCompile(`(?:^|[\s{,"'-])url["']?\s*:`),
	}
}

// raw returns line n, from 1, as it is in the file.
func (e *excerpts) raw(n int) string {
	if n < 1 || n > len(e.lines) {
		return ""
	}
	return strings.TrimRight(e.lines[n-1], " \t\r")
}

// line returns line n, from 1, as it may be shown.
func (e *excerpts) line(n int) string {
	line := e.raw(n)
	if line == "" {
		return ""
	}
	if e.continuesSecret(n) {
		return indentOf(line) + hidden
	}
	webhook := e.hook.MatchString(line)
	return e.url.ReplaceAllStringFunc(e.maskValue(line), func(u string) string {
		m := e.url.FindStringSubmatch(u)
		if m[3] != "" {
			m[3] = "?" + hidden
		}
		if len(m[1])+len(m[2]) < len(u)-len(m[3]) && strings.Contains(u, "@") {
			m[1] += hidden + "@"
		}
		if webhook { // its path is as good as a password
			if host, _, more := strings.Cut(m[2], "/"); more || m[3] != "" {
				m[2], m[3] = host+"/"+hidden, ""
			}
		}
		return m[1] + m[2] + m[3]
	})
}

// maskValue hides what stands behind the first word that names a secret.
func (e *excerpts) maskValue(line string) string {
	for at := 0; ; {
		m := e.word.FindStringSubmatchIndex(line[at:])
		if m == nil {
			return line
		}
		key, end := line[at+m[2]:at+m[3]], at+m[1]
		if strings.HasSuffix(key, "_file") || key == "auth_format" || e.harmless.MatchString(line[end:]) {
			at = end - 1 // the separator may begin the next word
			if m[1] <= 1 {
				at = end
			}
			continue
		}
		return line[:end] + hidden
	}
}

// continuesSecret says whether line n belongs to a secret value that began on
// a line before it, such as a block or a long quoted text.
func (e *excerpts) continuesSecret(n int) bool {
	depth := len(indentOf(e.lines[n-1]))
	for i := n - 2; i >= 0; i-- {
		above := e.lines[i]
		if strings.TrimSpace(above) == "" || len(indentOf(above)) >= depth {
			continue
		}
		m := e.word.FindStringSubmatchIndex(above + " ")
		return m != nil && slices.Contains(secretKeys(), strings.ToLower(above[m[2]:m[3]]))
	}
	return false
}

func indentOf(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t-"))]
}

// secretKeys are the keys whose values are secrets.
func secretKeys() []string {
	return []string{"auth", "api_id", "api_key", "access_key_id", "secret_access_key", "token", "secret", "heartbeat_url"}
}
