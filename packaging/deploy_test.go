package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"archiver/internal/config"
)

// The memory that both files give to the container, in bytes.
const limit = 128 << 20

// compose is what is looked at of deploy/compose.yaml.
type compose struct {
	Services map[string]struct {
		User            string            `yaml:"user"`
		ReadOnly        bool              `yaml:"read_only"`
		CapDrop         []string          `yaml:"cap_drop"`
		SecurityOpt     []string          `yaml:"security_opt"`
		MemLimit        string            `yaml:"mem_limit"`
		Environment     map[string]string `yaml:"environment"`
		Secrets         []string          `yaml:"secrets"`
		Volumes         []string          `yaml:"volumes"`
		StopGracePeriod string            `yaml:"stop_grace_period"`
	} `yaml:"services"`
}

func TestCompose(t *testing.T) {
	var file compose
	if err := yaml.Unmarshal(read(t, "../deploy/compose.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	s := file.Services["archiver"]
	if s.MemLimit != "128m" || s.User != "65532:65532" || !s.ReadOnly ||
		!slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("the service is not closed: %+v", s)
	}
	if s.Environment["CREDENTIALS_DIRECTORY"] != "/run/secrets" {
		t.Errorf("secrets are not looked for where Compose mounts them: %v", s.Environment)
	}
	cfg := deployed(t, read(t, "../deploy/archiver.yaml"), s.Secrets, nil)
	checkDeployed(t, cfg, s.StopGracePeriod)
	if ids := cfg.Tenants["acme"].RecordIDsFile; !slices.Contains(s.Volumes, "ids:"+filepath.Dir(ids)+":ro") {
		t.Errorf("record_ids_file %s is on none of the volumes %v", ids, s.Volumes)
	}
}

// manifest is what is looked at of the documents of deploy/kubernetes.yaml.
type manifest struct {
	Kind       string            `yaml:"kind"`
	Data       map[string]string `yaml:"data"`
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args []string `yaml:"args"`
					Env  []struct {
						Name string `yaml:"name"`
					} `yaml:"env"`
					Resources struct {
						Limits map[string]string `yaml:"limits"`
					} `yaml:"resources"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

func TestKubernetes(t *testing.T) {
	files := map[string]manifest{}
	for doc := range strings.SplitSeq(string(read(t, "../deploy/kubernetes.yaml")), "\n---\n") {
		var m manifest
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		files[m.Kind] = m
	}
	pod := files["StatefulSet"].Spec.Template.Spec
	c := pod.Containers[0]
	if got := c.Resources.Limits["memory"]; got != "128Mi" {
		t.Errorf("the memory limit is %s", got)
	}
	if d := cmp.Diff([]string{"run"}, c.Args); d != "" {
		t.Error(d)
	}
	var secrets, env []string
	for name := range files["Secret"].StringData {
		secrets = append(secrets, name)
	}
	for _, e := range c.Env {
		env = append(env, e.Name)
	}
	cfg := deployed(t, []byte(files["ConfigMap"].Data["archiver.yaml"]), secrets, env)
	checkDeployed(t, cfg, (time.Duration(pod.Grace) * time.Second).String())
	if !slices.Contains(cfg.HTTP.AllowedHosts, "POD_IP.dummy") {
		t.Errorf("the kubelet asks by the pod's address, and allowed_hosts is %v", cfg.HTTP.AllowedHosts)
	}
}

// checkDeployed looks at what has to hold in any container.
func checkDeployed(t *testing.T, cfg *config.Config, stop string) {
	t.Helper()
	if d, err := time.ParseDuration(stop); err != nil || d < cfg.ShutdownGrace+10*time.Second {
		t.Errorf("killed after %s (%v), shutdown_grace is %v", stop, err, cfg.ShutdownGrace)
	}
	if cfg.State.Path != "/var/lib/archiver/state.db" {
		t.Errorf("state.path %s is not on the volume", cfg.State.Path)
	}
	if host, _, _ := strings.Cut(cfg.HTTP.Listen, ":"); host != "" && host != "0.0.0.0" || cfg.HTTP.Token.IsZero() {
		t.Errorf("nothing outside the container reaches %q", cfg.HTTP.Listen)
	}
	// what transfer.memory: auto comes to, and what a part may then be
	if pool := int64(limit) * 2 / 5; cfg.Transfer.PartSize > pool/4 {
		t.Errorf("part_size %d is more than a quarter of %d, 40 %% of the limit", cfg.Transfer.PartSize, pool)
	}
}

// deployed loads a configuration with these secrets in its credentials
// directory and nothing but these variables.
func deployed(t *testing.T, text []byte, secrets, env []string) *config.Config {
	t.Helper()
	dir, creds := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "archiver.yaml")
	write(t, path, text)
	for _, name := range secrets {
		write(t, filepath.Join(creds, name), []byte("dummy"))
	}
	cfg, err := config.Load(path, func(name string) (string, bool) {
		switch {
		case name == "CREDENTIALS_DIRECTORY":
			return creds, true
		case slices.Contains(env, name):
			return name + ".dummy", true
		}
		return "", false
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// The image runs what the other files start, as whom they say.
func TestContainerfile(t *testing.T) {
	text := string(read(t, "../deploy/Containerfile"))
	for _, line := range []string{
		"FROM scratch", "USER 65532:65532", "VOLUME /var/lib/archiver", `ENTRYPOINT ["/archiver"]`, `CMD ["run"]`,
		"COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
		"COPY --from=build --chown=65532:65532 /out/state /var/lib/archiver",
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("%q is missing", line)
		}
	}
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(read(t, "../go.mod")))[1]
	if !strings.Contains(text, "golang:"+want+"-") {
		t.Errorf("the image is not built with Go %s, which go.mod wants", want)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
