package daemon_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"archiver/internal/config"
)

// mattersIn names for each key of the configuration, as "config show" prints
// it, where it matters: a test of this package, or a script of the command.
// Whatever is in there goes through a real file, config.Load and a daemon that
// works against the sandbox. A tenant's storage has the keys of storage.
var mattersIn = map[string]string{
	"tenants.*.api_url":                    "TestTwoTenants",
	"tenants.*.auth":                       "TestSettingAuth",
	"tenants.*.auth_file":                  "TestSettingRotatedAuth",
	"tenants.*.api_id":                     "TestSettingAuth",
	"tenants.*.api_id_file":                "TestSettingAuth",
	"tenants.*.api_key":                    "TestSettingAuth",
	"tenants.*.api_key_file":               "TestSettingAuth",
	"tenants.*.auth_format":                "TestSettingAuth",
	"tenants.*.origin":                     "TestSettingOrigin",
	"tenants.*.timezone":                   "TestSettingTimes",
	"tenants.*.record_ids":                 "TestSettingRecordIDs",
	"tenants.*.record_ids_file":            "TestSettingRecordIDs",
	"tenants.*.api_rate":                   "TestSettingAPIRate",
	"tenants.*.source_retention":           "TestSettingTimes",
	"tenants.*.download_hosts":             "TestHosts",
	"tenants.*.allow_loopback":             "TestLoopbackRefused",
	"tenants.*.ca_file":                    "TestSettingCAFile",
	"tenants.*.proxy":                      "TestSettingProxy",
	"tenants.*.storage":                    "TestSettingTenantStorage",
	"tenants.*.delete_source.enabled":      "TestDeletionLooksAgainInTheTransaction",
	"tenants.*.delete_source.after":        "TestDeletionGrace",
	"tenants.*.delete_source.require":      "TestDeletionRequiresReadback",
	"tenants.*.delete_source.max_per_hour": "TestDeletionLimitAcrossRestarts",

	"storage.endpoint":               "TestSettingsOfObjects",
	"storage.public_endpoint":        "TestSettingPublicEndpoint",
	"storage.region":                 "TestSettingsOfObjects",
	"storage.bucket":                 "TestSettingTenantStorage",
	"storage.path_style":             "TestSettingStorageProxy",
	"storage.ca_file":                "TestSettingStorageCAFile",
	"storage.proxy":                  "TestSettingStorageProxy",
	"storage.access_key_id":          "TestSettingKeys",
	"storage.access_key_id_file":     "TestSettingRotatedKeys",
	"storage.secret_access_key":      "TestSettingKeys",
	"storage.secret_access_key_file": "TestSettingRotatedKeys",
	"storage.key":                    "settings.txtar",
	"storage.manifest_key":           "settings.txtar",
	"storage.timezone":               "settings.txtar",
	"storage.storage_class":          "TestSettingsOfObjects",
	"storage.sse":                    "TestSettingsOfObjects",
	"storage.sse_kms_key_id":         "TestSettingsOfObjects",
	"storage.object_lock.mode":       "TestSettingsOfObjects",
	"storage.object_lock.days":       "TestSettingsOfObjects",
	"storage.tags":                   "TestSettingsOfObjects",
	"storage.verify":                 "TestLevels",

	"state.path": "TestSettingStatePath",

	"poll.schedule":      "TestSettingSchedule",
	"poll.timezone":      "TestSettingSchedule",
	"poll.concurrency":   "TestSettingPollConcurrency",
	"poll.settle":        "TestSettingSettle",
	"poll.max_interval":  "TestSettingMaxInterval",
	"poll.recheck":       "TestSettingRecheck",
	"poll.give_up_after": "TestSettingGiveUp",

	"transfer.concurrency":   "TestSettingConcurrency",
	"transfer.streams":       "TestSettingStreams",
	"transfer.part_size":     "TestSettingPartSize",
	"transfer.memory":        "TestSettingMemory",
	"transfer.max_file_size": "TestTooLarge",
	"transfer.bandwidth":     "TestSettingBandwidth",
	"transfer.max_attempts":  "TestSettingMaxAttempts",
	"transfer.stall_timeout": "TestSettingStallTimeout",

	"http.listen":        "TestSettingListen",
	"http.token":         "TestSettingToken",
	"http.token_file":    "TestSettingTokenFile",
	"http.allowed_hosts": "TestSettingHosts",

	"notify.webhooks.url":         notYet,
	"notify.webhooks.secret":      notYet,
	"notify.webhooks.secret_file": notYet,
	"notify.webhooks.events":      notYet,
	"notify.heartbeat_url":        notYet,
	"notify.heartbeat_url_file":   notYet,

	"shutdown_grace": "settings.txtar",
	"log.level":      "reload.txtar",
	"log.format":     "settings.txtar",
}

// notYet is what has no effect, as the changelog has to say as long as it is
// here.
const notYet = "the key `notify` is checked and has no effect"

// sources is the directory of these tests: later on the S3 server has the
// process elsewhere.
var sources = here()

func here() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}

// Two configurations that have every key between them: a secret is shown in
// one way only.
const (
	withSecrets = `tenants:
  acme: {api_url: "https://api.example.com", auth: x}
  other: {api_url: "https://api.example.com", api_id: x, api_key: x, auth_format: "{api_id}:{api_key}"}
storage: {bucket: recordings, access_key_id: x, secret_access_key: x}
http: {token: a-long-enough-token-of-tests}
notify:
  heartbeat_url: https://example.com/beat
  webhooks: [{url: "https://example.com", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}]
`
	withFiles = `tenants:
  acme: {api_url: "https://api.example.com", auth_file: x}
  other: {api_url: "https://api.example.com", api_id_file: x, api_key_file: x, auth_format: "{api_id}:{api_key}"}
storage: {bucket: recordings, access_key_id_file: x, secret_access_key_file: x}
http: {token_file: token}
notify:
  heartbeat_url_file: beat
  webhooks: [{url: "https://example.com", secret_file: hook}]
`
)

// shownKeys are the keys that "config show" prints of a configuration.
func shownKeys(t *testing.T, text string) map[string]bool {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"archiver.yaml": text, "x": "x\n", "token": "a-long-enough-token-of-tests\n", "beat": "https://example.com/beat\n",
		"hook": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "archiver.yaml"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := cfg.Show()
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(shown, &tree); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	leaves(tree, "", found)
	return found
}

var ofTenant = regexp.MustCompile(`^tenants\.[^.]+\.`)

func leaves(v any, path string, found map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if path == "storage.tags" {
			found[path] = true
			return
		}
		for name, below := range v {
			at := ofTenant.ReplaceAllString(strings.TrimPrefix(path+"."+name, "."), "tenants.*.")
			if at == "tenants.*.storage" {
				found[at] = true
				leaves(below, "storage", found)
				continue
			}
			leaves(below, at, found)
		}
	case []any:
		if len(v) == 0 {
			found[path] = true
		}
		for _, e := range v {
			leaves(e, path, found)
		}
	default:
		found[path] = true
	}
}

// TestEveryKeyMatters fails for a key without a test, and for a test that is
// not there or never mentions the key.
func TestEveryKeyMatters(t *testing.T) {
	t.Parallel()
	found := shownKeys(t, withSecrets)
	maps.Copy(found, shownKeys(t, withFiles))
	for key := range found {
		if mattersIn[key] == "" {
			t.Errorf("%s has no test in which it matters", key)
		}
	}
	tests := testFiles(t)
	for _, key := range slices.Sorted(maps.Keys(mattersIn)) {
		where := mattersIn[key]
		name := key[strings.LastIndexByte(key, '.')+1:]
		switch text := tests[where]; {
		case !found[key]:
			t.Errorf("%s is no key that is shown", key)
		case text == "":
			t.Errorf("%s: there is no %s", key, where)
		case where != notYet && !regexp.MustCompile(`\b`+name+`\b`).MatchString(text):
			t.Errorf("%s: the file of %s never mentions it", key, where)
		}
	}
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\) \{`)

// testFiles are the files of all tests and scripts, by the names of those.
func testFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	read := func(pattern string, each func(name, text string)) {
		files, err := filepath.Glob(filepath.Join(sources, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			each(filepath.Base(f), string(text))
		}
	}
	read("*_test.go", func(file, text string) {
		if file == "settings_walk_test.go" {
			return // it mentions everything
		}
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			out[m[1]] = text
		}
	})
	read("../../cmd/archiver/testdata/script/*.txtar", func(file, text string) { out[file] = text })
	read("../../CHANGELOG.md", func(_, text string) {
		if strings.Contains(text, notYet) {
			out[notYet] = text
		}
	})
	return out
}
