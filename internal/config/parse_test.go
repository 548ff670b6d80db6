package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// minimal is a right configuration to which tests add lines.
const minimal = "tenants:\n  acme: {api_url: 'https://x.example.com', auth: k}\nstorage: {bucket: bucket}\n"

// locations returns "line:column key" of every problem.
func locations(t *testing.T, text string) []string {
	t.Helper()
	_, err := parse("archiver.yaml", []byte(text), environment)
	invalid, ok := errors.AsType[*Invalid](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	list := []string{}
	if invalid != nil {
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is shown:\n%v", err)
		}
		for _, p := range invalid.Problems {
			list = append(list, strings.TrimPrefix(strings.TrimSuffix(strings.SplitN(p.String(), ": ", 3)[0], ":"), "archiver.yaml:")+" "+p.Key)
		}
	}
	return list
}

func TestLocations(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"nothing wrong", minimal, []string{}},
		{"a mark before the text", "\uFEFF" + minimal + "log: {levels: info}\n", []string{"4:7 log.levels"}},
		{"wide characters before it", minimal + "log: {level: \"录录\", format: x}\n", []string{"4:14 log.level", "4:28 log.format"}},
		{"two sections", minimal + "poll:\n  concurrency: 99\n  settle: x\nhttp:\n    listen: x\n", []string{"5:16 poll.concurrency", "6:11 poll.settle", "8:13 http.listen"}},
		{"an element", minimal + "poll:\n  recheck:\n    - 1h\n    - 2h\n    - 2h\n", []string{"8:7 poll.recheck[2]"}},
		{"all keys twice", minimal + "log:\n  level: info\n  level: warn\n  level: debug\n", []string{"6:3 log.level", "7:3 log.level"}},
		{"a section twice", minimal + "log: {}\nlog: {}\n", []string{"5:1 log"}},
		{"inherited, for two tenants", "tenants:\n  a: {api_url: 'https://x.example.com', auth: k}\n  b: {api_url: 'https://x.example.com', auth: k}\nstorage:\n  bucket: bucket\n  sse_kms_key_id: x\n", []string{"6:19 storage.sse_kms_key_id"}},
		{"commented out", minimal + "poll:\nhttp:\n  # listen: x\nnotify: {webhooks: }\n", []string{}},
		{"quoted numbers", minimal + "poll: {concurrency: \"4\"}\ntransfer: {streams: 4.0, max_attempts: 0x4}\n", []string{"4:21 poll.concurrency", "5:21 transfer.streams", "5:40 transfer.max_attempts"}},
		{"a variable", "tenants:\n  acme: {api_url: 'https://x.example.com', auth: k}\nstorage: {bucket: 'a ${HTTP_TOKEN}'}\npoll: {concurrency: '${CONCURRENCY}', settle: \"${HTTP_TOKEN}\"}\n", []string{"3:19 storage.bucket", "4:47 poll.settle"}},
		{"keys alone", minimal + "log: {level}\nhttp: {1: 2}\n", []string{"4:7 log.level", "5:8 http.1"}},
		{"no list", minimal + "http: {allowed_hosts: a}\npoll: {recheck: 1h}\n", []string{"4:23 http.allowed_hosts", "5:17 poll.recheck"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, locations(t, test.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Values that are at, and just beyond, what is allowed.
func TestLimits(t *testing.T) {
	right := []string{
		"transfer: {part_size: 5MiB}", "transfer: {part_size: 5GiB, memory: 20GiB}", "transfer: {memory: 32MiB}", "transfer: {max_file_size: 1}",
		"poll: {settle: 0s, recheck: []}", "poll: {schedule: '0 3 * * *', timezone: Asia/Shanghai}", "poll: {schedule: '@hourly'}",
		"http: {listen: ''}", "http: {listen: 'localhost:1'}", "http: {listen: '[::1]:0'}", "http: {listen: ':1', token: x}", "http: {allowed_hosts: ['a.b', 'a:80', '::1', '[::1]:80']}",
		"shutdown_grace: 0s", "notify: {heartbeat_url: 'https://x.example.com/?a=b'}",
		"tenants2: {}",
	}
	for _, line := range right[:len(right)-1] {
		if got := locations(t, minimal+line); len(got) > 0 {
			t.Errorf("%s: %v", line, got)
		}
	}
	wrong := []string{
		"transfer: {part_size: 5242879}", "transfer: {part_size: 5GiB, memory: 19GiB}", "transfer: {memory: 32MB}", "transfer: {memory: 19MiB}", "transfer: {max_file_size: 0}",
		"transfer: {max_file_size: 1PiB}", "transfer: {streams: 0}", "transfer: {max_attempts: 0}", "transfer: {stall_timeout: 999ms}",
		"poll: {schedule: '0 0 31 2 *'}", "poll: {schedule: 'TZ=UTC'}", "poll: {schedule: 'CRON_TZ=UTC @hourly'}", "poll: {schedule: ''}", "poll: {timezone: ''}", "poll: {timezone: Local}",
		"poll: {give_up_after: 10m}", "poll: {max_interval: 0s}", "poll: {recheck: [0s]}",
		"http: {listen: ':1'}", "http: {listen: '10.0.0.1:1'}", "http: {listen: '127.0.0.1'}", "http: {listen: '127.0.0.1:65536'}", "http: {allowed_hosts: ['https://a']}", "http: {allowed_hosts: ['a/b']}",
		"state: {path: ''}", "log: {level: INFO}", right[len(right)-1],
	}
	for _, line := range wrong {
		if got := locations(t, minimal+line); len(got) != 1 {
			t.Errorf("%s: %v, want one problem", line, got)
		}
	}
}

func TestTenantLimits(t *testing.T) {
	tenant := func(line string) string {
		return "tenants:\n  acme: {api_url: 'https://x.example.com', auth: k, " + line + "}\nstorage: {bucket: bucket}\n"
	}
	for _, line := range []string{
		"record_ids: ['" + strings.Repeat("录", 64) + "', 'a b/c']", "api_rate: 0.01", "api_rate: 1000", "source_retention: ''", "source_retention: 30d",
		"proxy: 'http://p:1', download_hosts: ['*.example.com', '10.0.0.1', '::1']", "origin: 'https://x'", "delete_source: {after: 0s}",
		"storage: {access_key_id: a, secret_access_key: b}", "storage: {sse: 'aws:kms', sse_kms_key_id: k}", "storage: {object_lock: {mode: compliance, days: 1}}",
		"storage: {tags: {a: 1, b: ''}}", "storage: {endpoint: 'http://10.0.0.1:9000/prefix'}",
	} {
		if got := locations(t, tenant(line)); len(got) > 0 {
			t.Errorf("%s: %v", line, got)
		}
	}
	for _, line := range []string{
		"record_ids: ['" + strings.Repeat("录", 65) + "']", `record_ids: ["a\n"]`, "api_rate: 0", "api_rate: 100001", "api_rate: .nan", "api_rate: .inf", "source_retention: 0s",
		"proxy: 'ftp://p:1', download_hosts: [a]", "proxy: 'http://p/x', download_hosts: [a]", "proxy: environment", "download_hosts: ['https://a']", "download_hosts: ['A.com']", "download_hosts: ['[a']",
		"origin: 'https://" + strings.Repeat("x", 121) + "'", "origin: x", "delete_source: {max_per_hour: 0}", "delete_source: {require: parts}",
		"storage: {access_key_id: a}", "storage: {secret_access_key: b}", "storage: {sse: AES256, sse_kms_key_id: k}", "storage: {object_lock: {days: 1}}",
		"storage: {tags: {'aws:x': 1}}", "storage: {tags: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10, k: 11}}",
		"storage: {endpoint: 'minio:9000'}", "storage: {endpoint: 'http://x/'}", "storage: {endpoint: 'http://x:0'}", "storage: {bucket: ''}", "storage: {verify: never}",
		"ca_file: none.pem", "ca_file: /dev/null", "auth_format: x",
	} {
		if got := locations(t, tenant(line)); len(got) != 1 {
			t.Errorf("%s: %v, want one problem", line, got)
		}
	}
}

func TestTenantsInherit(t *testing.T) {
	c, err := parse("archiver.yaml", []byte(`
tenants:
  b: {api_url: "https://b.example.com", auth: k, storage: {bucket: other, tags: {c: d}, object_lock: {days: 2}, timezone: Asia/Tokyo, access_key_id: "", secret_access_key: ""}}
  a: {api_url: "https://a.example.com", auth: k}
storage: {bucket: bucket, region: r, tags: {a: b}, object_lock: {mode: governance, days: 1}, access_key_id: i, secret_access_key: s}
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, c.TenantNames()); diff != "" {
		t.Error(diff)
	}
	a, b := c.Tenants["a"].Storage, c.Tenants["b"].Storage
	if a.Bucket != "bucket" || a.Tags["a"] != "b" || len(a.Tags) != 1 || a.ObjectLock.Days != 1 || a.AccessKeyID.IsZero() || a.Location != time.UTC {
		t.Errorf("a: %+v", a)
	}
	if b.Bucket != "other" || b.Tags["c"] != "d" || len(b.Tags) != 1 || b.ObjectLock != (ObjectLock{"governance", 2}) || b.Region != "r" || !b.AccessKeyID.IsZero() || b.Location.String() != "Asia/Tokyo" {
		t.Errorf("b: %+v", b)
	}
	if c.Storage.Tags["a"] != "b" || c.Tenants["b"].Name != "b" {
		t.Errorf("the inherited storage changed: %+v", c.Storage)
	}
}

func TestTenantOverridesBothKeysOrNone(t *testing.T) {
	got := locations(t, "tenants:\n  a: {api_url: 'https://x.example.com', auth: k, storage: {access_key_id: x}}\nstorage: {bucket: bucket, access_key_id: i, secret_access_key: s}\n")
	if diff := cmp.Diff([]string{"2:75 tenants.a.storage.access_key_id"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestScheduleIsInItsZone(t *testing.T) {
	c, err := parse("archiver.yaml", []byte(minimal+"poll: {schedule: '0 3 * * *', timezone: Asia/Shanghai}"), environment)
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2024, 1, 1, 19, 0, 0, 0, time.UTC)
	if got := c.Poll.Schedule.Next(time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)); !got.Equal(want) {
		t.Errorf("next is %s, want %s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	warnings := func(line string) []string {
		c, err := parse("archiver.yaml", []byte("tenants:\n  acme: {api_url: 'https://x.example.com', auth: k, "+line+"}\nstorage: {bucket: bucket}\n"), environment)
		if err != nil {
			t.Fatal(err)
		}
		keys := []string{}
		for _, w := range c.Warnings {
			keys = append(keys, strings.TrimPrefix(w.Key, "tenants.acme."))
		}
		return keys
	}
	for line, want := range map[string][]string{
		"delete_source: {enabled: true}":                                                 {},
		"delete_source: {enabled: true, after: 72h}":                                     {},
		"delete_source: {enabled: true, after: 71h}":                                     {"delete_source.after"},
		"delete_source: {after: 1h}":                                                     {},
		"delete_source: {enabled: true, require: readback}":                              {"delete_source.require"},
		"delete_source: {enabled: true}, source_retention: 7d":                           {"delete_source.after"},
		"record_ids_file: /nowhere/at/all":                                               {"record_ids_file"},
		"storage: {verify: readback}, delete_source: {enabled: true, require: readback}": {},
	} {
		if diff := cmp.Diff(want, warnings(line)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

// Lines are shown without secrets even where the file isn't YAML at all.
func TestExcerptsHideSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"auth: hunter2":                         "auth: <secret>",
		"  - secret: hunter2":                   "  - secret: <secret>",
		`{"token": "hunter2"}`:                  `{"token": <secret>`,
		"auth hunter2":                          "auth <secret>",
		"my_password = hunter2":                 "my_password = <secret>",
		"AUTH_TOKEN: hunter2":                   "AUTH_TOKEN: <secret>",
		"auth: ${ACME_AUTH} # from systemd":     "auth: ${ACME_AUTH} # from systemd",
		"auth: ${A} hunter2":                    "auth: <secret>",
		"auth: ''":                              "auth: ''",
		"auth_file: a/b":                        "auth_file: a/b",
		"auth_file: a, token: hunter2":          "auth_file: a, token: <secret>",
		`auth_format: "{api_id}:{api_key}"`:     `auth_format: "{api_id}:{api_key}"`,
		"token: ${A}, secret: hunter2":          "token: <secret>",
		"url: https://u:hunter2@x/?a=hunter2#b": "url: https://<secret>@x/<secret>",
		"url: 'https://x/y'":                    "url: 'https://x/<secret>'",
		"  - {url: https://x}":                  "  - {url: https://x}",
		"api_url: https://u:p@x/y?a=hunter2":    "api_url: https://<secret>@x/y?<secret>",
		"x: mailto@x":                           "x: mailto@x",
		"bucket: recordings":                    "bucket: recordings",
	} {
		if got := newExcerpts(text).line(1); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
	e := newExcerpts("http:\n  token: |\n    hunter2\n\n    hunter2\n  listen: x\nnotify:\n  webhooks:\n    - secret: \"\n        hunter2\"\n      url: x\n")
	want := []string{"http:", "  token: |", "    <secret>", "", "    <secret>", "  listen: x", "notify:", "  webhooks:", `    - secret: <secret>`, "        <secret>", "      url: x"}
	for i, line := range want {
		if got := e.line(i + 1); strings.Contains(got, "hunter2") || i != 1 && got != line {
			t.Errorf("line %d: got %q, want %q", i+1, got, line)
		}
	}
	if e.line(0) != "" || e.line(99) != "" {
		t.Error("lines that don't exist")
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", minimal, "tenants: {}", "a: [", "a: b: c", "\t", "- a", "tenants:\n  a: &x\n    storage: *x\n", "? a\n: b", "a: |\n b", "'", "---\n---\n", "{", "tenants: {? }", "!!map {}",
		minimal + "poll: {recheck: [1h, 2h], schedule: 'TZ=x'}\n", minimal + "transfer: {bandwidth: 'Mon-Fri 08:00,20MiB/s; 18:00,off', memory: ${M}}\n",
		minimal + "notify: {webhooks: [{url: x}, 1, [], {}]}\n", minimal + "storage: {tags: {a: b, a: c}}\n", "storage: {key: \"{\"}", "\xff\xfe", "a: \"\\x\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("archiver.yaml", []byte(text), environment)
		if err == nil {
			shown, err := c.Show()
			if err != nil || len(c.Tenants) == 0 {
				t.Fatalf("%v\n%s", err, shown)
			}
			return
		}
		invalid, ok := errors.AsType[*Invalid](err)
		if !ok || len(invalid.Problems) == 0 || c != nil {
			t.Fatalf("%v, %v", c, err)
		}
		for _, p := range invalid.Problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}
