package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// StatePath reads nothing of the configuration but state.path. Whoever only
// wants to speak to the running archiver needs neither its secrets nor its
// environment. Errors: the file cannot be read, or this key is wrong; the rest
// is not looked at, so Load tells better.
func StatePath(path string, env func(string) (string, bool)) (string, error) {
	text, err := readLimited(path, maxFile)
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	source := strings.TrimPrefix(string(text), "\uFEFF")
	d := &decoder{
		file: path, dir: filepath.Dir(abs), env: env, excerpts: newExcerpts(source),
		at: map[string]*token.Position{}, bad: map[string]bool{}, given: map[string]bool{},
	}
	c := defaults()
	if root, ok := d.tree(source); ok {
		for _, e := range d.entries(root, "") {
			for _, f := range c.fields() {
				if e.name == f.key && e.name == "state" {
					f.read(d, e.value, e.name)
				}
			}
		}
	}
	if len(d.problems) > 0 {
		return "", &Invalid{d.problems}
	}
	return c.State.Path, nil
}
