package config

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"archiver/internal/objectkey"
	"github.com/robfig/cron/v3"
)

// maxFile is how large a configuration may be, in bytes. Longer lists of
// recordings belong into record_ids_file.
const maxFile = 1 << 20

// Config is a checked configuration with every default filled in. It is not
// changed after Load.
type Config struct {
	Path          string // as given to Load
	Tenants       map[string]*Tenant
	Storage       Storage // what tenants inherit; its Bucket may be empty if each of them names its own
	State         State
	Poll          Poll
	Transfer      Transfer
	HTTP          HTTP
	Notify        Notify
	ShutdownGrace time.Duration // 0 or more
	Log           Log
	Warnings      []Problem // what works, but is hardly meant

	certificates map[string]string // fingerprints of the ca_files when this was loaded
}

// Tenant is one account at the vendor.
type Tenant struct {
	Name            string // [a-z0-9][a-z0-9_-]{0,62}: it stands in keys, URLs and metrics as it is
	APIURL          string // without a slash at its end
	Auth            Auth
	Origin          string         // at most 128 characters (vendor's getRecords); "": not sent
	Location        *time.Location // zone of the vendor's times
	RecordIDs       []string       // 1 to 64 characters each
	RecordIDsFile   string         // absolute, or ""
	APIRate         float64        // calls per second, more than 0
	SourceRetention time.Duration  // 0: unknown
	DownloadHosts   []string       // lower-case globs as in path.Match; empty: any host
	AllowLoopback   bool
	CAFile          string  // absolute, or ""
	Proxy           string  // "", "environment" or an URL
	Storage         Storage // Config.Storage with this tenant's changes
	Delete          Delete
}

// Delete says when recordings are deleted at the vendor.
type Delete struct {
	Enabled    bool
	After      time.Duration // grace since the last file was verified
	Require    string        // RequireFullObject or RequireReadback
	MaxPerHour int           // 1 or more
}

// What Delete.Require may be.
const (
	RequireFullObject = "full_object" // readback satisfies it too
	RequireReadback   = "readback"
)

// Storage is where a tenant's objects go.
type Storage struct {
	Endpoint        string // http or https URL without a slash at its end; "": AWS
	PublicEndpoint  string // likewise, for links given to people; "": Endpoint
	Region          string
	Bucket          string
	PathStyle       bool
	CAFile          string // absolute, or ""
	Proxy           string // "", "environment" or an URL
	AccessKeyID     Secret // both zero: the AWS SDK's own chain
	SecretAccessKey Secret
	Key             *objectkey.Template
	ManifestKey     *objectkey.Template
	Location        *time.Location // zone of {start:…} and {stop:…} in keys
	StorageClass    string
	SSE             string // "", "AES256" or "aws:kms"
	SSEKMSKeyID     string
	ObjectLock      ObjectLock
	Tags            map[string]string // at most 10
	Verify          string            // VerifyAuto or VerifyReadback
}

// What Storage.Verify may be.
const (
	VerifyAuto     = "auto" // the best that the store proves
	VerifyReadback = "readback"
)

// ObjectLock is the retention that objects are stored with.
type ObjectLock struct {
	Mode string // "", "governance" or "compliance"
	Days int    // 1 or more where Mode is set, else 0
}

// State says where the state is.
type State struct {
	Path string // absolute
}

// Poll says when the vendor is asked.
type Poll struct {
	Schedule     cron.Schedule // in Location
	ScheduleSpec string        // as written
	Location     *time.Location
	Concurrency  int
	Settle       time.Duration   // 0 or more
	MaxInterval  time.Duration   // more than 0
	Recheck      []time.Duration // ascending, each more than 0; may be empty
	GiveUpAfter  time.Duration   // more than Settle
}

// Transfer bounds what moves at once.
type Transfer struct {
	Concurrency  int   // files at once
	Streams      int   // ranges of one file at once
	PartSize     int64 // bytes; 5 MiB to 5 GiB (S3's limits), at most a quarter of Memory
	Memory       int64 // bytes of all part buffers together; "auto" is resolved
	MaxFileSize  int64 // bytes
	Bandwidth    Bandwidth
	MaxAttempts  int
	StallTimeout time.Duration // more than 0
}

// HTTP says where the API and the dashboard listen.
type HTTP struct {
	Listen       string // host:port, or "" for none besides the socket
	Token        Secret // set wherever Listen is not a loopback address
	AllowedHosts []string
}

// Notify says who is told.
type Notify struct {
	Webhooks     []Webhook
	HeartbeatURL Secret // an http or https URL: whoever knows it can ping
}

// Webhook is one receiver of events.
type Webhook struct {
	URL    string
	Secret Secret   // Standard Webhooks: base64 of 24 to 64 bytes, optionally behind "whsec_"
	Events []string // empty: all
}

// Log says how much is logged and how.
type Log struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "json", "console" or "auto"
}

// Load reads and checks the configuration at path. env looks up environment
// variables (os.LookupEnv). Mistakes in the file are an *Invalid with all of
// them; a file that can't be read is the operating system's error.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	text, err := readLimited(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := parse(path, text, env)
	if err != nil {
		return nil, err
	}
	c.certificates = c.fingerprints()
	return c, nil
}

// TenantNames returns the names of all tenants in ascending order.
func (c *Config) TenantNames() []string { return slices.Sorted(maps.Keys(c.Tenants)) }

// readLimited reads a regular file of at most limit bytes: a pipe or a device
// could keep the archiver waiting for ever.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	stat, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !stat.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, nil
}
