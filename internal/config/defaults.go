package config

import (
	"time"

	"archiver/internal/objectkey"
	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/robfig/cron/v3"
	// The zones are built in, so that timezone works in an image without any.
	_ "time/tzdata"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// Limits of S3 ("Amazon S3 multipart upload limits" in its user guide).
const (
	minPart  = 5 * mib
	maxPart  = 5 * gib
	maxParts = 10000
)

// defaults is the configuration that an empty file would mean, if tenants and
// a bucket weren't required. These are all the defaults there are, except a
// tenant's own in newTenant.
func defaults() *Config {
	const schedule = "@every 1m"
	c := &Config{
		Tenants: map[string]*Tenant{},
		Storage: Storage{
			Region:      "us-east-1",
			Key:         fixed(objectkey.Parse("{tenant}/{start:%Y/%m/%d}/{conference_key}/{record_id}/{filename}")),
			ManifestKey: fixed(objectkey.ParseManifest("manifests/{tenant}/{record_id}.json")),
			Location:    time.UTC,
			Tags:        map[string]string{},
			Verify:      VerifyAuto,
		},
		State: State{Path: "/var/lib/archiver/state.db"},
		Poll: Poll{
			ScheduleSpec: schedule,
			Schedule:     cron.Every(time.Minute),
			Location:     time.UTC,
			Concurrency:  4,
			Settle:       10 * time.Minute,
			MaxInterval:  6 * time.Hour,
			Recheck:      []time.Duration{time.Hour, 24 * time.Hour, 72 * time.Hour},
			GiveUpAfter:  30 * day,
		},
		Transfer: Transfer{
			Concurrency:  4,
			Streams:      4,
			PartSize:     8 * mib,
			Memory:       autoMemory(memlimit.FromCgroup),
			MaxFileSize:  tib,
			MaxAttempts:  10,
			StallTimeout: time.Minute,
		},
		HTTP:          HTTP{Listen: "127.0.0.1:8720", AllowedHosts: []string{}},
		Notify:        Notify{Webhooks: []Webhook{}},
		ShutdownGrace: 30 * time.Second,
		Log:           Log{Level: "info", Format: "auto"},
	}
	return c
}

// newTenant is a tenant that says nothing but its name.
func newTenant(name string, storage Storage) *Tenant {
	return &Tenant{
		Name:          name,
		Location:      time.UTC,
		RecordIDs:     []string{},
		APIRate:       5,
		DownloadHosts: []string{},
		Storage:       storage,
		Delete:        Delete{After: 7 * day, Require: RequireFullObject, MaxPerHour: 100},
	}
}

// fixed drops the error of a template that stands in this file: a test parses
// them.
func fixed(t *objectkey.Template, _ error) *objectkey.Template { return t }

// autoMemory is what "auto" means: 128 MiB, or 40 % of what the control group
// allows the process if that is less. Where there is no control group, or its
// limit can't be read, nothing is known that would speak against 128 MiB.
func autoMemory(cgroup func() (uint64, error)) int64 {
	const most = 128 * mib
	limit, err := cgroup()
	if err != nil || limit >= uint64(most)*5/2 {
		return most
	}
	return int64(limit) * 2 / 5
}
