package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/sandbox/tlscert"
)

// TestDiffUnseen changes what Show prints the same before and after: it counts
// all the same, and is not told.
func TestDiffUnseen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	renew := func() {
		t.Helper()
		c, err := tlscert.New(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ca, c.CAPEM, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const hook = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	text := `
tenants:
  acme: {api_url: "https://a.example", auth: one, download_hosts: [a.example], proxy: "http://u:hunter1@p.example"}
storage: {bucket: recordings, ca_file: ca.pem, proxy: "http://u:hunter2@s.example"}
notify: {webhooks: [{url: "https://h.example/hunter3?a=hunter4", secret: ` + hook + `}]}
`
	load := func() *Config {
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
	renew()
	last := load()
	for _, c := range []struct {
		change func()
		want   []string
	}{
		{func() {}, nil},
		{func() { text = strings.Replace(text, "hunter1", "hunter9", 1) }, []string{"tenants.acme.proxy"}},
		{func() { text = strings.Replace(text, "hunter2", "hunter9", 1) }, []string{"storage.proxy", "tenants.acme.storage.proxy"}},
		{func() { text = strings.Replace(text, "hunter3", "hunter9", 1) }, []string{"notify.webhooks.0.url"}},
		{func() { text = strings.Replace(text, "hunter4", "hunter9", 1) }, []string{"notify.webhooks.0.url"}},
		{renew, []string{"storage.ca_file", "tenants.acme.storage.ca_file"}},
	} {
		c.change()
		next := load()
		diff, err := Diff(last, next)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range diff {
			got = append(got, d.Key)
			if strings.Contains(d.Old+d.New, "hunter") {
				t.Errorf("%s is told: %q, %q", d.Key, d.Old, d.New)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("differences (-want +got):\n%s", d)
		}
		last = next
	}
	shown, err := last.Show()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(shown), "url: https://h.example/<secret>") {
		t.Errorf("of a webhook is shown:\n%s", shown)
	}
}

// TestOriginIsPlain: an origin is shown as it is, so nothing secret may be in
// it; and what is wrong with a webhook's URL is said without it.
func TestOriginIsPlain(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		`origin: "https://u:hunter2@x.example"`:      "has a user or password",
		`origin: "https://x.example/?token=hunter2"`: "has a query",
		`auth: x`: "",
		`auth: x, origin: "https://x.example/portal"`: "",
	} {
		_, err := Load(oneTenant(t, lines), os.LookupEnv)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", lines, err)
		}
	}
	path := filepath.Join(t.TempDir(), "archiver.yaml")
	if err := os.WriteFile(path, []byte(minimal+"notify: {webhooks: [{url: \"https://h.example:0/hunter2\", secret: x}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, os.LookupEnv)
	if err == nil || !strings.Contains(err.Error(), "is not an URL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a webhook: %v", err)
	}
}
