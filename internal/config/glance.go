package config

import (
	"fmt"
	"strings"
)

// Glance reads what of the configuration can be read: it is for whoever wants
// to speak to the running archiver, which needs where the state is and the names
// of the tenants, but neither secrets nor an environment, and whose own
// configuration is right whatever became of the file since. Errors: the file
// cannot be read, is no YAML, or state.path is wrong. Nothing is to be built
// from what it returns.
func Glance(path string, env func(string) (string, bool)) (*Config, error) {
	text, err := readLimited(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	d, source, err := newDecoder(path, text, env)
	if err != nil {
		return nil, err
	}
	c := defaults()
	c.Path = path
	root, ok := d.tree(source)
	if ok {
		d.section(root, "", c.fields())
	}
	for _, p := range d.problems {
		if !ok || p.Key == "state" || strings.HasPrefix(p.Key, "state.") {
			return nil, &Invalid{d.problems}
		}
	}
	return c, nil
}
