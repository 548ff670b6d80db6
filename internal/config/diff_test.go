package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDiff changes one thing of each kind and sees nothing else.
func TestDiff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	load := func(text string) *Config {
		t.Helper()
		path := filepath.Join(dir, "archiver.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const before = `
tenants:
  acme: {api_url: "https://a.example", auth: one, record_ids: [a]}
  gone: {api_url: "https://a.example", auth: one}
storage: {bucket: recordings}
`
	const after = `
tenants:
  acme: {api_url: "https://a.example", auth: two, record_ids: [a, b], delete_source: {enabled: true}}
storage: {bucket: recordings}
poll: {settle: 5m}
`
	a := load(before)
	if same, err := Diff(a, load(before)); err != nil || len(same) != 0 {
		t.Errorf("the same configuration differs: %v, %v", same, err)
	}
	diff, err := Diff(a, load(after))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Difference{}
	gone := 0
	for _, d := range diff {
		if d.New == "" && d.Old != "" {
			gone++
			continue
		}
		got[d.Key] = Difference{Old: d.Old, New: d.New}
	}
	delete(got, "tenants.gone.auth")
	want := map[string]Difference{
		"tenants.acme.auth":                  {Old: hidden, New: hidden},
		"tenants.acme.record_ids":            {Old: "[a]", New: "[a b]"},
		"tenants.acme.delete_source.enabled": {Old: "false", New: "true"},
		"poll.settle":                        {Old: "10m", New: "5m"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
	if gone == 0 {
		t.Error("the tenant that was taken out is not seen")
	}
}

// TestGlance finds the state and the tenants of a configuration whose secrets
// cannot be read, and in which other things are wrong.
func TestGlance(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "archiver.yaml")
	for text, want := range map[string]string{
		"tenants: {acme: {auth_file: /nowhere, api_url: \"${UNSET}\"}}\nstate: {path: /var/x.db}\n": "/var/x.db [acme]",
		"storage: {bucket: ''}\nstate: {path: x.db}\n":                                              filepath.Join(filepath.Dir(path), "x.db") + " []",
		"poll: 7\nno_such_key: 1\n":                                                                 "/var/lib/archiver/state.db []",
		"state: {path: ''}\n":                                                                       "",
		"state: {pfad: /x.db}\n":                                                                    "",
		"[":                                                                                         "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := ""
		c, err := Glance(path, func(string) (string, bool) { return "", false })
		if err == nil {
			got = fmt.Sprintf("%s %v", c.State.Path, c.TenantNames())
		}
		if got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}
