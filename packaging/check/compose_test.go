package check

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
)

// The specification's own loader refuses unknown keys and wrong types, and
// resolves what refers to something else.
func TestComposeFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../../deploy/compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	service, err := project.GetService("archiver")
	if err != nil {
		t.Fatal(err)
	}
	if service.MemLimit != 128<<20 || !service.ReadOnly || service.User != "65532:65532" {
		t.Errorf("memory %d, read-only %v, user %q", service.MemLimit, service.ReadOnly, service.User)
	}
	if g := service.StopGracePeriod; g == nil || time.Duration(*g) <= 30*time.Second {
		t.Errorf("stop_grace_period is %v, not more than shutdown_grace", g)
	}
	for _, secret := range service.Secrets {
		if _, ok := project.Secrets[secret.Source]; !ok {
			t.Errorf("secret %s is used and not defined", secret.Source)
		}
	}
	for _, path := range []string{filepath.Join(service.Build.Context, service.Build.Dockerfile), service.Volumes[0].Source} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// A key that nobody knows is refused, so that the test above means something.
func TestComposeFileWithUnknownKey(t *testing.T) {
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(path, append(text, "\nvolums: {}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := cli.NewProjectOptions([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.LoadProject(t.Context()); err == nil {
		t.Error("volums is taken")
	}
}
