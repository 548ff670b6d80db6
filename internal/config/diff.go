package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
)

// Difference is a key whose value is another one. A secret that stands in the
// configuration itself shows as "<secret>" on both sides.
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
	before, after := a.inline(), b.inline()
	for key := range before {
		keys[key] = hidden
	}
	for key := range after {
		keys[key] = hidden
	}
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

// inline returns the secrets that stand in the configuration itself.
func (c *Config) inline() map[string]string {
	out := map[string]string{}
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
	}
	store("storage", c.Storage)
	put("http.token", c.HTTP.Token)
	put("notify.heartbeat_url", c.Notify.HeartbeatURL)
	for i, w := range c.Notify.Webhooks {
		put(fmt.Sprintf("notify.webhooks.%d.secret", i), w.Secret)
	}
	for name, t := range c.Tenants {
		at := "tenants." + name
		put(at+".auth", t.Auth.Header)
		put(at+".api_id", t.Auth.APIID)
		put(at+".api_key", t.Auth.APIKey)
		store(at+".storage", t.Storage)
	}
	return out
}
