package config

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
)

// Difference is a key whose value is another one. A secret that stands in the
// configuration itself shows as "<secret>" on both sides; a ca_file whose
// certificates are other ones shows its name on both.
type Difference struct {
	Key      string // such as "tenants.acme.delete_source.enabled"
	Old, New string // as Show prints them; "" where the key isn't there
}

// Diff returns what is different in b, ordered by key. What a file of secrets
// holds is no part of the configuration: it is read again by itself.
func Diff(a, b *Config) ([]Difference, error) {
	from, err := a.flat()
	if err != nil {
		return nil, err
	}
	to, err := b.flat()
	if err != nil {
		return nil, err
	}
	keys := maps.Clone(from)
	maps.Copy(keys, to)
	before, after := a.unseen(), b.unseen()
	maps.Copy(keys, before)
	maps.Copy(keys, after)
	var out []Difference
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if from[key] != to[key] || before[key] != after[key] {
			out = append(out, Difference{Key: key, Old: from[key], New: to[key]})
		}
	}
	return out, nil
}

// flat returns what Show prints, a line for each key.
func (c *Config) flat() (map[string]string, error) {
	text, err := c.Show()
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("compare configurations: %w", err)
	}
	out := map[string]string{}
	flatten(out, "", tree)
	return out, nil
}

func flatten(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			flatten(out, join(at, k), e)
		}
	default:
		out[at] = fmt.Sprint(v)
	}
}

// unseen returns what Show does not: the secrets that stand in the
// configuration itself, the URLs that may carry one, and what the files of
// certificates hold.
func (c *Config) unseen() map[string]string {
	out := maps.Clone(c.certificates)
	if out == nil {
		out = map[string]string{}
	}
	put := func(key string, s Secret) {
		if s.path != "" || s.IsZero() {
			return
		}
		if v, err := s.Reveal(); err == nil { // which cannot fail without a file
			out[key] = v
		}
	}
	store := func(at string, s Storage) {
		put(at+".access_key_id", s.AccessKeyID)
		put(at+".secret_access_key", s.SecretAccessKey)
		out[at+".proxy"] = s.Proxy
	}
	store("storage", c.Storage)
	put("http.token", c.HTTP.Token)
	put("notify.heartbeat_url", c.Notify.HeartbeatURL)
	for i, w := range c.Notify.Webhooks {
		put(fmt.Sprintf("notify.webhooks.%d.secret", i), w.Secret)
		out[fmt.Sprintf("notify.webhooks.%d.url", i)] = w.URL
	}
	for name, t := range c.Tenants {
		at := "tenants." + name
		put(at+".auth", t.Auth.Header)
		put(at+".api_id", t.Auth.APIID)
		put(at+".api_key", t.Auth.APIKey)
		store(at+".storage", t.Storage)
		out[at+".proxy"] = t.Proxy
	}
	return out
}

// fingerprints returns the SHA-256 of each file of certificates, by its key:
// certificates are renewed under the same name. One that has gone since it was
// checked has none; what is built from the configuration then says so.
func (c *Config) fingerprints() map[string]string {
	out := map[string]string{}
	put := func(key, path string) {
		if path == "" {
			return
		}
		if pem, err := readLimited(path, maxFile); err == nil {
			out[key] = fmt.Sprintf("%x", sha256.Sum256(pem))
		}
	}
	put("storage.ca_file", c.Storage.CAFile)
	for name, t := range c.Tenants {
		put("tenants."+name+".ca_file", t.CAFile)
		put("tenants."+name+".storage.ca_file", t.Storage.CAFile)
	}
	return out
}
