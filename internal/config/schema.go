package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"archiver/internal/objectkey"
	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/robfig/cron/v3"
)

// fields is the table of the whole file.
func (c *Config) fields() []field {
	return []field{
		c.tenants(),
		group("storage", c.Storage.fields()),
		group("state", []field{path("path", &c.State.Path, notEmpty)}),
		group("poll", c.Poll.fields()),
		group("transfer", c.Transfer.fields()),
		group("http", slices.Concat(
			[]field{text("listen", &c.HTTP.Listen, optional(isListen))},
			secret("token", &c.HTTP.Token, isToken),
			[]field{texts("allowed_hosts", &c.HTTP.AllowedHosts, isHost)},
		)),
		group("notify", slices.Concat(
			[]field{webhooks(&c.Notify.Webhooks)},
			secret("heartbeat_url", &c.Notify.HeartbeatURL, isSecretURL),
		)),
		duration("shutdown_grace", &c.ShutdownGrace, 0),
		group("log", []field{
			choice("level", &c.Log.Level, "debug", "info", "warn", "error"),
			choice("format", &c.Log.Format, "json", "console", "auto"),
		}),
	}
}

// tenants is the field of all tenants. It is read behind storage, which they
// inherit.
func (c *Config) tenants() field {
	return field{
		key: "tenants", late: true,
		read: func(d *decoder, n ast.Node, path string) {
			for _, e := range d.entries(n, path) {
				at := join(path, e.name)
				d.at[at] = e.key.Position
				if err := isTenantName(e.name); err != nil {
					d.problem(at, e.key.Position, "%v", err)
				}
				storage := c.Storage
				storage.Tags = maps.Clone(storage.Tags)
				t := newTenant(e.name, storage)
				c.Tenants[e.name] = t
				d.section(e.value, at, t.fields())
			}
		},
		show: func() (any, bool) {
			all := yaml.MapSlice{}
			for _, name := range c.TenantNames() {
				all = append(all, yaml.MapItem{Key: name, Value: showSection(c.Tenants[name].fields())})
			}
			return all, true
		},
	}
}

func (t *Tenant) fields() []field {
	return slices.Concat(
		[]field{text("api_url", &t.APIURL, isEndpoint)},
		secret("auth", &t.Auth.Header, isHeader),
		secret("api_id", &t.Auth.APIID, isHeader),
		secret("api_key", &t.Auth.APIKey, isHeader),
		[]field{
			text("auth_format", &t.Auth.Format, optional(isAuthFormat)),
			text("origin", &t.Origin, optional(isOrigin)),
			zone("timezone", &t.Location),
			texts("record_ids", &t.RecordIDs, isRecordID),
			path("record_ids_file", &t.RecordIDsFile, noControls),
			decimal("api_rate", &t.APIRate, 100_000),
			retention("source_retention", &t.SourceRetention),
			texts("download_hosts", &t.DownloadHosts, isHostGlob),
			boolean("allow_loopback", &t.AllowLoopback),
			path("ca_file", &t.CAFile, optional(isCAFile)),
			proxy(&t.Proxy),
			group("storage", t.Storage.fields()),
			group("delete_source", []field{
				boolean("enabled", &t.Delete.Enabled),
				duration("after", &t.Delete.After, 0),
				choice("require", &t.Delete.Require, RequireFullObject, RequireReadback),
				number("max_per_hour", &t.Delete.MaxPerHour, 1, 1_000_000),
			}),
		},
	)
}

func (s *Storage) fields() []field {
	return slices.Concat(
		[]field{
			text("endpoint", &s.Endpoint, optional(isEndpoint)),
			text("public_endpoint", &s.PublicEndpoint, optional(isEndpoint)),
			text("region", &s.Region, isWord),
			text("bucket", &s.Bucket, optional(isBucket)),
			boolean("path_style", &s.PathStyle),
			path("ca_file", &s.CAFile, optional(isCAFile)),
			proxy(&s.Proxy),
		},
		secret("access_key_id", &s.AccessKeyID, isHeader),
		secret("secret_access_key", &s.SecretAccessKey, isHeader),
		[]field{
			template("key", &s.Key, objectkey.Parse),
			template("manifest_key", &s.ManifestKey, objectkey.ParseManifest),
			zone("timezone", &s.Location),
			text("storage_class", &s.StorageClass, optional(isWord)),
			choice("sse", &s.SSE, "", "AES256", "aws:kms"),
			text("sse_kms_key_id", &s.SSEKMSKeyID, optional(isWord)),
			group("object_lock", []field{
				choice("mode", &s.ObjectLock.Mode, "", "governance", "compliance"),
				number("days", &s.ObjectLock.Days, 0, maxDays),
			}),
			pairs("tags", &s.Tags, 10, isTagName, isTagText),
			choice("verify", &s.Verify, VerifyAuto, VerifyReadback),
		},
	)
}

func (p *Poll) fields() []field {
	return []field{
		p.schedule(),
		zone("timezone", &p.Location),
		number("concurrency", &p.Concurrency, 1, 64),
		duration("settle", &p.Settle, 0),
		duration("max_interval", &p.MaxInterval, time.Second),
		durations("recheck", &p.Recheck),
		duration("give_up_after", &p.GiveUpAfter, time.Minute),
	}
}

// schedule is the field of a cron expression. It is read behind timezone.
func (p *Poll) schedule() field {
	f := text("schedule", &p.ScheduleSpec)
	readText := f.read
	f.late = true
	f.read = func(d *decoder, n ast.Node, path string) {
		readText(d, n, path)
		if !d.fine(path) {
			return
		}
		schedule, err := parseSchedule(p.ScheduleSpec, p.Location)
		if err != nil {
			d.problem(path, position(n), "%q %v", p.ScheduleSpec, err)
			return
		}
		p.Schedule = schedule
	}
	return f
}

// parseSchedule reads a cron expression as robfig/cron's standard parser
// does: five fields, or a descriptor such as @hourly or "@every 1m".
func parseSchedule(spec string, location *time.Location) (cron.Schedule, error) {
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		return nil, errors.New("names a zone; that belongs into poll.timezone")
	}
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf(`is not a schedule such as "*/5 * * * *" or "@every 1m": %w`, err)
	}
	if s, ok := schedule.(*cron.SpecSchedule); ok {
		s.Location = location
	}
	// the parser takes "0 0 31 2 *", which never comes
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("is a schedule that never comes")
	}
	return schedule, nil
}

func (t *Transfer) fields() []field {
	return []field{
		number("concurrency", &t.Concurrency, 1, 256),
		number("streams", &t.Streams, 1, 64),
		size("part_size", &t.PartSize, minPart, maxPart),
		value("memory", &t.Memory, func(s scalar) (int64, error) {
			if s.text == "auto" {
				return autoMemory(memlimit.FromCgroup), nil
			}
			n, err := between(s, 4*minPart, math.MaxInt64)
			if err != nil {
				err = fmt.Errorf("%w; it may also be auto", err)
			}
			return n, err
		}, func(n int64) any { return formatSize(n) }),
		size("max_file_size", &t.MaxFileSize, 1, maxParts*maxPart),
		value("bandwidth", &t.Bandwidth, func(s scalar) (Bandwidth, error) { return parseBandwidth(s.text) }, func(b Bandwidth) any { return b.String() }),
		number("max_attempts", &t.MaxAttempts, 1, 1000),
		duration("stall_timeout", &t.StallTimeout, time.Second),
	}
}

// proxy is the field of a proxy, into whose URL people put passwords.
func proxy(dst *string) field {
	f := text("proxy", dst, optional(isProxy))
	f.show = func() (any, bool) { return withoutSecrets(*dst), true }
	return f
}

// webhookURL is the field of a webhook's URL. Whoever knows it can post, as
// with those that chats hand out: only the host is shown.
func webhookURL(dst *string) field {
	return field{
		key: "url",
		read: func(d *decoder, n ast.Node, path string) {
			s, ok := d.scalar(n, path)
			if !ok {
				return
			}
			if err := isSecretURL(s.text); err != nil {
				d.problem(path, position(n), "%v", err)
				return
			}
			*dst = s.text
		},
		show: func() (any, bool) { return onlyHost(*dst), true },
	}
}

// onlyHost is an URL of which only the scheme and the host are shown.
func onlyHost(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return hidden
	}
	host := u.Scheme + "://" + u.Host
	if s == host {
		return s
	}
	return host + "/" + hidden
}

// webhooks is the field of the list of webhooks.
func webhooks(dst *[]Webhook) field {
	return field{
		key: "webhooks",
		read: func(d *decoder, n ast.Node, path string) {
			items := d.items(n, path)
			list := make([]Webhook, len(items))
			for i, item := range items {
				at := element(path, i)
				d.section(item, at, list[i].fields())
				if d.fine(at, at+".url") && list[i].URL == "" {
					d.problem(at+".url", nil, "is required")
				}
				if d.fine(at, at+".secret", at+".secret_file") && list[i].Secret.IsZero() {
					d.problem(at+".secret", nil, "is required, or secret_file: what is sent is signed with it")
				}
			}
			*dst = list
		},
		show: func() (any, bool) {
			list := make([]yaml.MapSlice, 0, len(*dst))
			for i := range *dst {
				list = append(list, showSection((*dst)[i].fields()))
			}
			return list, true
		},
	}
}

func (w *Webhook) fields() []field {
	return slices.Concat(
		[]field{webhookURL(&w.URL)},
		secret("secret", &w.Secret, isWebhookSecret),
		[]field{texts("events", &w.Events, isEvent)},
	)
}
