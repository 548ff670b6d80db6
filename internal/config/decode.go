package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder walks the syntax tree of one file and collects what is wrong.
type decoder struct {
	file     string // as given to Load
	dir      string // absolute directory of file
	env      func(string) (string, bool)
	excerpts *excerpts

	problems []Problem
	warnings []Problem
	at       map[string]*token.Position // where the value of a key stands
	bad      map[string]bool            // keys with a problem, to which no other is added
	given    map[string]bool            // secrets that are set, by their own key
}

// newDecoder begins with a file's text.
func newDecoder(path string, text []byte, env func(string) (string, bool)) (d *decoder, source string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", fmt.Errorf("read configuration: %w", err)
	}
	source = strings.TrimPrefix(string(text), "\uFEFF")
	return &decoder{
		file: path, dir: filepath.Dir(abs), env: env, excerpts: newExcerpts(source),
		at: map[string]*token.Position{}, bad: map[string]bool{}, given: map[string]bool{},
	}, source, nil
}

// parse reads, checks and completes a configuration.
func parse(path string, text []byte, env func(string) (string, bool)) (*Config, error) {
	d, source, err := newDecoder(path, text, env)
	if err != nil {
		return nil, err
	}
	c := defaults()
	c.Path = path
	if root, ok := d.tree(source); ok {
		d.section(root, "", c.fields())
		d.cross(c)
	}
	if len(d.problems) > 0 {
		sortProblems(d.problems)
		return nil, &Invalid{d.problems}
	}
	sortProblems(d.warnings)
	c.Warnings = d.warnings
	return c, nil
}

// tree parses the text as one YAML document.
func (d *decoder) tree(source string) (ast.Node, bool) {
	file, err := parseYAML(source)
	if err != nil {
		position := &token.Position{Line: 1, Column: 1}
		message := err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			message = e.GetMessage()
			if e.GetToken() != nil {
				position = e.GetToken().Position
			}
		}
		if strings.Contains(d.excerpts.raw(position.Line), "${") {
			message += `; within {…} and […], ${NAME} wants quotes: "${NAME}"`
		}
		d.problem("", position, "YAML: %s", message)
		return nil, false
	}
	if len(file.Docs) > 1 && file.Docs[1].Body != nil {
		d.problem("", file.Docs[1].Body.GetToken().Position, "YAML: a configuration is one document; this is a second one")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, true
	}
	return file.Docs[0].Body, true
}

// parseYAML is the YAML library behind a wall: the file comes from outside,
// and a panic over it would end the daemon at SIGHUP, which is to keep the
// old configuration.
func parseYAML(source string) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errors.New("this file can't be understood")
		}
	}()
	return parser.ParseBytes([]byte(source), 0, parser.AllowDuplicateMapKey())
}

// problem adds a mistake at position; a nil one is looked up by key.
func (d *decoder) problem(key string, position *token.Position, format string, args ...any) {
	p := d.locate(key, position, fmt.Sprintf(format, args...))
	d.bad[key] = true
	// a mistake in what tenants inherit would be found once for each
	if !slices.Contains(d.problems, p) {
		d.problems = append(d.problems, p)
	}
}

// warn adds a warning about key.
func (d *decoder) warn(key, format string, args ...any) {
	d.warnings = append(d.warnings, d.locate(key, nil, fmt.Sprintf(format, args...)))
}

// locate gives a message its place. A key that isn't in the file is shown at
// the closest one around it that is.
func (d *decoder) locate(key string, position *token.Position, message string) Problem {
	for around := key; position == nil; {
		position = d.at[around]
		i := strings.LastIndexAny(around, ".[")
		if i < 0 {
			break
		}
		around = around[:i]
	}
	if position == nil {
		position = &token.Position{Line: 1, Column: 1}
	}
	return Problem{
		File: d.file, Line: position.Line, Column: position.Column,
		Key: key, Message: message, Excerpt: d.excerpts.line(position.Line),
	}
}

// fine says whether all these keys were read without a problem, so that it
// makes sense to compare them.
func (d *decoder) fine(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return d.bad[key] })
}

// An entry is one key of a mapping with its value.
type entry struct {
	name  string
	key   *token.Token
	value ast.Node
}

// entries returns what a mapping holds, in the order of the file. Nothing at
// all counts as an empty mapping: that is what is left when every key below
// is commented out.
func (d *decoder) entries(n ast.Node, path string) []entry {
	if n == nil || n.Type() == ast.NullType {
		return nil
	}
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		d.problem(path, position(n), "wants keys with values below it, not %s", kind(n))
		return nil
	}
	var list []entry
	for _, v := range mapping.Values {
		tk := v.Key.GetToken()
		if v.Key.Type() == ast.MergeKeyType || v.Key.Type() == ast.MappingKeyType {
			d.problem(path, tk.Position, "%q is not used here: write every key out", tk.Value)
			continue
		}
		name := tk.Value
		i := slices.IndexFunc(list, func(e entry) bool { return e.name == name })
		if i >= 0 {
			d.problem(join(path, name), tk.Position, "is given twice, first in line %d", list[i].key.Position.Line)
			continue
		}
		list = append(list, entry{name, tk, v.Value})
	}
	return list
}

// section reads a mapping by its table.
func (d *decoder) section(n ast.Node, path string, fields []field) {
	entries := d.entries(n, path)
	for _, e := range entries {
		known := slices.ContainsFunc(fields, func(f field) bool { return f.key == e.name })
		if !known {
			d.unknown(path, e, fields)
			continue
		}
		d.at[join(path, e.name)] = position(e.value)
		if e.value.Type() == ast.NullType || e.value.Type() == ast.MappingType {
			d.at[join(path, e.name)] = e.key.Position
		}
	}
	for _, late := range []bool{false, true} {
		for _, f := range fields {
			i := slices.IndexFunc(entries, func(e entry) bool { return e.name == f.key })
			if i >= 0 && f.late == late {
				f.read(d, entries[i].value, join(path, f.key))
			}
		}
	}
}

// unknown reports a key that isn't in the table. Its value isn't shown: it may
// be a secret whose key is misspelt.
func (d *decoder) unknown(path string, e entry, fields []field) {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.key)
	}
	message := "is not known here; known are " + strings.Join(names, ", ")
	if i := slices.IndexFunc(names, func(name string) bool { return distance(name, e.name) <= 2 }); i >= 0 {
		message = fmt.Sprintf("is not known here; did you mean %s?", names[i])
	}
	d.problem(join(path, e.name), e.key.Position, "%s", message)
	p := &d.problems[len(d.problems)-1]
	if i := strings.Index(p.Excerpt, e.name); i >= 0 {
		p.Excerpt = p.Excerpt[:i+len(e.name)] + ": …"
	}
}

// items returns the elements of a list.
func (d *decoder) items(n ast.Node, path string) []ast.Node {
	if n == nil || n.Type() == ast.NullType {
		return nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.problem(path, position(n), "wants a list, such as [a, b], not %s", kind(n))
		return nil
	}
	for i, item := range list.Values {
		d.at[element(path, i)] = position(item)
	}
	return list.Values
}

// A scalar is one plain value.
type scalar struct {
	text     string
	written  string       // text before variables were put in
	typed    ast.NodeType // what YAML takes it for
	flexible bool         // came from a variable, so that its type isn't known
}

// scalar reads one plain value and puts variables in.
func (d *decoder) scalar(n ast.Node, path string) (scalar, bool) {
	s := scalar{typed: n.Type()}
	switch n := n.(type) {
	case *ast.StringNode:
		s.text = n.Value
	case *ast.LiteralNode:
		s.text, s.typed = n.Value.Value, ast.StringType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		s.text = n.GetToken().Value
	case *ast.NullNode:
		d.problem(path, d.at[path], `has no value; write "" for none, or leave the key out`)
		return s, false
	default:
		d.problem(path, position(n), "wants one value, not %s", kind(n))
		return s, false
	}
	text, err := d.expand(s.text)
	if err != nil {
		d.problem(path, position(n), "%v", err)
		return s, false
	}
	s.text, s.written, s.flexible = text, s.text, text != s.text
	return s, true
}

// expand puts environment variables in, once: what they hold is not expanded.
func (d *decoder) expand(text string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var failed error
	out := regexp.MustCompile(`\$?\$\{([^}]*)(\}?)`).ReplaceAllStringFunc(text, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name, closed := strings.CutSuffix(m[2:], "}")
		if !closed || !regexp.MustCompile(`^[A-Za-z_]\w*$`).MatchString(name) {
			failed = errors.New("a variable is written ${NAME}, and ${ itself $${")
			return ""
		}
		value, ok := d.env(name)
		if !ok {
			failed = fmt.Errorf("the environment variable %s is not set", name)
		}
		return value
	})
	return out, failed
}

// beside makes a path absolute: relative ones start beside the configuration.
func (d *decoder) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// credential makes the path of a file with a secret absolute:
// $CREDENTIALS_DIRECTORY comes first where it has that file.
func (d *decoder) credential(path string) string {
	if dir, ok := d.env("CREDENTIALS_DIRECTORY"); ok && dir != "" && !filepath.IsAbs(path) {
		if candidate := filepath.Join(dir, path); exists(candidate) {
			return candidate
		}
	}
	return d.beside(path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// position says where a node begins; the token of a block mapping is the
// colon behind its first key.
func position(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position
	}
	return n.GetToken().Position
}

// kind names what a node is, for a message.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias: write the value out; what tenants share stands under storage"
	case *ast.TagNode:
		return "a tag: write the value without it, in quotes if it is text"
	default:
		return "a single value"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// distance counts the letters to change, add or drop between a and b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
