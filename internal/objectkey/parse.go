package objectkey

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/strftime"
)

// maxTemplate is how long a template may be, in bytes: it leaves half of a key
// to the values.
const maxTemplate = MaxBytes / 2

// verbs are the strftime verbs that a key may use: those that give digits and
// dashes, so that a key depends on no language and no zone's name, sorts by
// time and has only the slashes that the template shows.
const verbs = "CFGHIMSUVWYdgjmuwy"

// Parse reads a template for the keys of files. It may use {tenant}
// {conference_key} {record_id} {file_id} {filename} {ext} {ent_id}
// {start:STRFTIME} and {stop:STRFTIME}, and needs {record_id} or {file_id}, as
// nothing else tells one recording from the next. An error is a *SyntaxError
// and says at which column what is wrong and what is allowed.
func Parse(template string) (*Template, error) {
	t, err := parse(template, []string{
		phTenant, phConferenceKey, phRecordID, phFileID, phFilename, phExt, phEntID, phStart, phStop,
	})
	if err != nil {
		return nil, err
	}
	if !t.Uses(phRecordID) && !t.Uses(phFileID) {
		return nil, &SyntaxError{template, 1, "needs {record_id} or {file_id}, or files of different recordings would get the same key"}
	}
	return t, nil
}

// ParseManifest reads a template for the keys of manifests. There is one
// manifest for each recording, so it may use only what a recording has,
// {tenant} {record_id} {conference_key} and {ent_id}, and needs {record_id}.
func ParseManifest(template string) (*Template, error) {
	t, err := parse(template, []string{phTenant, phRecordID, phConferenceKey, phEntID})
	if err != nil {
		return nil, err
	}
	if !t.Uses(phRecordID) {
		return nil, &SyntaxError{template, 1, "needs {record_id}, as there is one manifest for each recording"}
	}
	return t, nil
}

// SyntaxError says what is wrong with a template.
type SyntaxError struct {
	Template string
	Column   int    // where, counted in characters from 1
	Message  string // what, and what is allowed instead
}

// Error names the column and the mistake, not the template.
func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// parser reads one template. shape is the template with "x" for every
// placeholder and "0" for every verb: what can be said of all its keys.
type parser struct {
	text    string
	allowed []string
	shape   strings.Builder
	columns []int // byte offset in text of every byte of shape
}

func parse(text string, allowed []string) (*Template, error) {
	p := &parser{text: text, allowed: allowed}
	if text == "" {
		return nil, p.fail(0, "is empty")
	}
	if len(text) > maxTemplate {
		return nil, p.fail(0, "has %d bytes; at most %d leave room for the values", len(text), maxTemplate)
	}
	t := &Template{text: text}
	for at := 0; at < len(text); {
		if text[at] != '{' {
			end := at + strings.IndexByte(text[at:]+"{", '{')
			if err := p.literal(at, end); err != nil {
				return nil, err
			}
			t.segments = append(t.segments, segment{literal: text[at:end]})
			at = end
			continue
		}
		s, end, err := p.placeholder(at)
		if err != nil {
			return nil, err
		}
		t.segments = append(t.segments, s)
		at = end
	}
	return t, p.checkShape()
}

// fail makes the error for the byte offset at.
func (p *parser) fail(at int, format string, args ...any) error {
	return &SyntaxError{p.text, 1 + utf8.RuneCountInString(p.text[:at]), fmt.Sprintf(format, args...)}
}

// literal checks the literal text from at to end, byte offsets.
func (p *parser) literal(at, end int) error {
	for i, r := range p.text[at:end] {
		_, size := utf8.DecodeRuneInString(p.text[at+i:])
		switch {
		case r == '}':
			return p.fail(at+i, "this } has no { before it")
		case r == '%':
			return p.fail(at+i, "%% stands for an escaped character in keys; a date is written {start:%%Y-%%m-%%d}")
		case r == '\\':
			return p.fail(at+i, `\ is not allowed; segments are separated by /`)
		case r != '/' && unsafe(r, size):
			return p.fail(at+i, "control characters and invalid UTF-8 are not allowed")
		}
		for j := range size {
			p.shape.WriteByte(p.text[at+i+j])
			p.columns = append(p.columns, at+i)
		}
	}
	return nil
}

// placeholder reads the placeholder whose brace opens at the byte offset at,
// and returns where it ends.
func (p *parser) placeholder(at int) (segment, int, error) {
	size := strings.IndexAny(p.text[at+1:], "{}")
	if size < 0 || p.text[at+1+size] != '}' {
		return segment{}, 0, p.fail(at, "this { is never closed by }")
	}
	name, format, hasFormat := strings.Cut(p.text[at+1:at+1+size], ":")
	end := at + size + 2
	if !slices.Contains(p.allowed, name) {
		return segment{}, 0, p.fail(at, "{%s} is not known here; allowed are %s", name, p.list())
	}
	if name != phStart && name != phStop {
		if hasFormat {
			return segment{}, 0, p.fail(at, "{%s} takes no format; only {start:…} and {stop:…} do", name)
		}
		p.shape.WriteByte('x')
		p.columns = append(p.columns, at)
		return segment{placeholder: name}, end, nil
	}
	if !hasFormat {
		return segment{}, 0, p.fail(at, "{%s} needs a format, such as {%s:%%Y/%%m/%%d}", name, name)
	}
	f, err := p.format(end-1-len(format), end-1)
	return segment{placeholder: name, format: f}, end, err
}

// format checks and compiles the strftime format from at to end.
func (p *parser) format(at, end int) (*strftime.Strftime, error) {
	seen := false
	for i := at; i < end; i++ {
		if p.text[i] != '%' {
			_, size := utf8.DecodeRuneInString(p.text[i:end])
			if err := p.literal(i, i+size); err != nil {
				return nil, err
			}
			i += size - 1
			continue
		}
		if i+1 == end {
			return nil, p.fail(i, "this %% has no verb behind it; allowed are %s", listVerbs())
		}
		r, _ := utf8.DecodeRuneInString(p.text[i+1 : end])
		if !strings.ContainsRune(verbs, r) {
			return nil, p.fail(i, "%%%c is not allowed in a key; allowed are %s", r, listVerbs())
		}
		p.shape.WriteByte('0')
		p.columns = append(p.columns, i)
		seen = true
		i++
	}
	if !seen {
		return nil, p.fail(at, "the format has no verb; allowed are %s", listVerbs())
	}
	f, err := strftime.New(p.text[at:end])
	if err != nil {
		return nil, p.fail(at, "%v", err)
	}
	return f, nil
}

// checkShape refuses what no key may look like.
func (p *parser) checkShape() error {
	shape := p.shape.String()
	if shape[0] == '/' {
		return p.fail(0, "a key must not begin with /")
	}
	start := 0
	for part := range strings.SplitSeq(shape, "/") {
		at := p.columns[min(start, len(p.columns)-1)]
		switch part {
		case "":
			if start == len(shape) {
				return p.fail(at, "a key must not end with /")
			}
			return p.fail(at, "a key must not contain //")
		case ".", "..":
			return p.fail(at, "a key must not have a segment %q", part)
		}
		start += len(part) + 1
	}
	return nil
}

func (p *parser) list() string {
	names := make([]string, 0, len(p.allowed))
	for _, name := range p.allowed {
		if name == phStart || name == phStop {
			name += ":STRFTIME"
		}
		names = append(names, "{"+name+"}")
	}
	return strings.Join(names, " ")
}

func listVerbs() string {
	return "%" + strings.Join(strings.Split(verbs, ""), " %")
}
