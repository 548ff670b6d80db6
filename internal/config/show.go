package config

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml"
)

// Show returns the configuration as it is in effect, as YAML: every key, with
// defaults filled in, each tenant with the storage that counts for it, paths
// absolute and memory in bytes. Secrets are "<secret>", and those from a file
// are that file's name, so what Show returns for a configuration whose secrets
// are all in files can be loaded again and means the same, but for passwords in
// URLs and for webhooks, of which only the host is shown.
func (c *Config) Show() ([]byte, error) {
	var b bytes.Buffer
	err := yaml.NewEncoder(&b, yaml.Indent(2), yaml.IndentSequence(true)).Encode(showSection(c.fields()))
	if err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return b.Bytes(), nil
}
