package packaging

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/config"
)

// unit is a unit file: the values of each directive, in order, by
// "Section.Directive". Those that are only offered, in comments such as
// "#MemoryMax=256M", stand under "#Section.Directive".
type unit map[string][]string

// readUnit reads a file of ../systemd and refuses what systemd would.
func readUnit(t *testing.T, name string) unit {
	t.Helper()
	text, err := os.ReadFile("../systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	u, section := unit{}, ""
	for i, line := range strings.Split(string(text), "\n") {
		offered := ""
		if rest, ok := strings.CutPrefix(line, "#"); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' {
			offered, line = "#", rest
		}
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" || strings.ContainsAny(key, " \t") {
			t.Fatalf("%s:%d: no directive of a section: %q", name, i+1, line)
		}
		key = offered + section + "." + key
		u[key] = append(u[key], value)
	}
	return u
}

// want compares the directives that are named.
func (u unit) want(t *testing.T, want unit) {
	t.Helper()
	got := unit{}
	for key := range want {
		got[key] = u[key]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestServiceUnit(t *testing.T) {
	readUnit(t, "archiver.service").want(t, unit{
		"Service.Type":                     {"notify"},
		"Service.NotifyAccess":             {"main"},
		"Service.ExecStart":                {"/usr/bin/archiver run --config /etc/archiver/archiver.yaml"},
		"Service.ExecReload":               {"/bin/kill -HUP $MAINPID"},
		"Service.WatchdogSec":              {"2min"},
		"Service.Restart":                  {"on-failure"},
		"Service.RestartPreventExitStatus": {"2"},
		"Service.StateDirectory":           {"archiver"},
		"Service.StateDirectoryMode":       {"0750"},
		"Service.User":                     {"archiver"},
		"Service.Group":                    {"archiver"},
		"Service.CapabilityBoundingSet":    {""},
		"Service.ProtectSystem":            {"strict"},
		"Service.NoNewPrivileges":          {"yes"},
		"#Service.LoadCredential": {
			"acme-auth:/etc/archiver/acme-auth",
			"s3-access-key-id:/etc/archiver/s3-access-key-id",
			"s3-secret-access-key:/etc/archiver/s3-secret-access-key",
		},
		"#Service.LoadCredentialEncrypted": {"acme-auth:/etc/archiver/acme-auth.cred"},
		"Install.WantedBy":                 {"multi-user.target"},
	})
}

func TestBackfillUnits(t *testing.T) {
	readUnit(t, "archiver-backfill@.service").want(t, unit{
		"Service.Type":              {"oneshot"},
		"Service.ExecStart":         {"/usr/bin/archiver backfill --config /etc/archiver/archiver.yaml --from /etc/archiver/backfill/%i.txt"},
		"Service.TimeoutStartSec":   {"infinity"},
		"Service.SuccessExitStatus": nil, // 3 is for a person to see
	})
	readUnit(t, "archiver-backfill@.timer").want(t, unit{
		"Timer.OnCalendar":         {"*-*-* 02:00"},
		"Timer.Persistent":         {"true"},
		"Timer.RandomizedDelaySec": {"1h"},
		"Timer.Unit":               nil, // the service of the same instance
		"Install.WantedBy":         {"timers.target"},
	})
}

// Both services work on the same files, so they have to be the same user behind
// the same walls, whatever else is different.
func TestServicesAreAlike(t *testing.T) {
	differ := []string{
		"Service.Type", "Service.NotifyAccess", "Service.ExecStart", "Service.ExecReload", "Service.WatchdogSec",
		"Service.TimeoutStartSec", "Service.Restart", "Service.RestartSec", "Service.RestartPreventExitStatus", "#Service.SuccessExitStatus",
	}
	alike := func(name string) unit {
		u := readUnit(t, name)
		for key := range u {
			if !strings.HasPrefix(strings.TrimPrefix(key, "#"), "Service.") || slices.Contains(differ, key) {
				delete(u, key)
			}
		}
		return u
	}
	if d := cmp.Diff(alike("archiver.service"), alike("archiver-backfill@.service")); d != "" {
		t.Errorf("-archiver.service +archiver-backfill@.service:\n%s", d)
	}
}

// systemd must not kill what shutdown_grace lets finish.
func TestStopOutlastsGrace(t *testing.T) {
	grace := load(t, "../configs/archiver.yaml").ShutdownGrace
	for _, name := range []string{"archiver.service", "archiver-backfill@.service"} {
		stop, err := time.ParseDuration(readUnit(t, name)["Service.TimeoutStopSec"][0])
		if err != nil || stop < grace+10*time.Second {
			t.Errorf("%s: TimeoutStopSec is %v (%v), shutdown_grace %v", name, stop, err, grace)
		}
	}
}

// What the unit and the package know of paths is what the program does.
func TestStatePath(t *testing.T) {
	if got := load(t, "../configs/archiver.yaml").State.Path; got != "/var/lib/archiver/state.db" {
		t.Errorf("state.path is %s, and StateDirectory=archiver makes /var/lib/archiver", got)
	}
}

// load reads a configuration as the program does; every variable is "dummy".
func load(t *testing.T, path string) *config.Config {
	t.Helper()
	cfg, err := config.Load(path, func(name string) (string, bool) { return "dummy", name != "CREDENTIALS_DIRECTORY" })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
