package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"ACME_AUTH":   "acme-key",
		"CONCURRENCY": "7",
		"HTTP_TOKEN":  "hunter2",
		"HOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	}[name]
	return value, ok
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestGood(t *testing.T) {
	dir, err := filepath.Abs("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range samples(t, "testdata/good") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file, environment)
			if err != nil {
				t.Fatal(err)
			}
			shown := show(t, c)
			for _, w := range c.Warnings {
				shown += "# warning: " + strings.ReplaceAll(w.String(), "\n", "\n# ") + "\n"
			}
			shown = strings.ReplaceAll(shown, dir, "DIR")
			if strings.Contains(shown, "hunter2") {
				t.Errorf("a secret is shown:\n%s", shown)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", strings.ReplaceAll(shown, "memory: "+formatSize(defaults().Transfer.Memory)+"\n", "memory: AUTO\n"))
		})
	}
}

func TestBad(t *testing.T) {
	dir, err := filepath.Abs("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range samples(t, "testdata/bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file, environment)
			invalid, ok := errors.AsType[*Invalid](err)
			if !ok || c != nil {
				t.Fatalf("got %v, %v, want an *Invalid", c, err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown:\n%v", err)
			}
			for _, p := range invalid.Problems {
				if p.File != file || p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("incomplete: %+v", p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", strings.ReplaceAll(err.Error(), dir, "DIR")+"\n")
		})
	}
}

func samples(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", dir, err)
	}
	return files
}

func show(t *testing.T, c *Config) string {
	t.Helper()
	text, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLoadUnreadable(t *testing.T) {
	for path, want := range map[string]string{
		"testdata/none.yaml": "read configuration: open testdata/none.yaml: no such file or directory",
		"testdata":           "read configuration: testdata is not a regular file",
	} {
		if _, err := Load(path, environment); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#", maxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large, environment); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a large file: %v", err)
	}
}

// What Show prints of a configuration without literal secrets can be loaded
// again and shows the same.
func TestShowLoadsAgain(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"auth": "k", "id": "i", "secret": "s", "token": "t", "beat": "https://x.example.com/a", "hook": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"a.yaml": `
tenants:
  a: {api_url: "https://a.example.com", auth_file: auth, source_retention: 1d1h1m1s, storage: {tags: {x: "1"}}}
  b: {api_url: "https://b.example.com", api_id_file: id, api_key_file: secret, auth_format: "{api_id}-{api_key}"}
storage: {bucket: bucket, access_key_id_file: id, secret_access_key_file: secret}
transfer: {part_size: 5000001kB, memory: 32GB, bandwidth: "Fri-Mon 23:59,1MB/s"}
http: {listen: "0.0.0.0:1", token_file: token}
notify: {heartbeat_url_file: beat, webhooks: [{url: "https://h.example.com", secret_file: hook}]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := Load(filepath.Join(dir, "a.yaml"), environment)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again.yaml")
	if err := os.WriteFile(again, []byte(show(t, first)), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := Load(again, environment)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(show(t, first), show(t, second)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}
