package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/samples"
	"archiver/internal/sandbox/vendorsim"
)

// errUsage is wrapped by mistakes in how the demo was called.
var errUsage = errors.New("wrong usage")

const (
	bucketName = "recordings"
	// settle is poll.settle: recordings whose meeting just ended count as
	// complete so soon.
	settle = 2 * time.Second
	// prepared is how long the vendor takes from a meeting's end until its
	// recording can be had.
	prepared = 3 * time.Second
)

// world is everything that the demo consists of. Close it, whatever happened.
type world struct {
	dir      string // absolute
	temp     bool   // dir is removed at Close
	stories  []story
	tell     *narrator
	vendor   *vendorsim.Server
	store    *s3server.Server
	proxy    *faultproxy.Proxy
	archiver *daemon.Daemon
	closers  []func() error // in the order of opening

	pages        map[string]bool // recordings in whose place a web page is sent
	bucketFaults int             // how many the proxy is going to show
	shown        map[int]bool    // entries of the proxy's log that were told of
	example      string          // key of an object, once the bucket was read back
	checked      bool            // the check came to its end

	mu      sync.Mutex           // guards what follows
	readyAt map[string]time.Time // when the recordings of ended meetings can be had
	asked   map[string]string    // what was last said of a meeting's recording
}

// build sets everything up, in dir ("" is a temporary directory), and makes no
// call to the vendor yet. What it prints goes to out.
func build(ctx context.Context, dir string, stories []story, out io.Writer) (*world, error) {
	w := &world{
		stories: stories, tell: newNarrator(out, time.Now()), pages: map[string]bool{}, shown: map[int]bool{},
		readyAt: map[string]time.Time{}, asked: map[string]string{},
	}
	if err := w.open(ctx, dir); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *world) open(ctx context.Context, dir string) error {
	if err := w.makeDir(dir); err != nil {
		return err
	}
	recorded, err := recordings()
	if err != nil {
		return err
	}
	w.vendor = vendorsim.New(vendorsim.Options{
		Tenants:    map[string]string{acme: authOf(acme), globex: authOf(globex)},
		ReadyDelay: prepared, NewContent: recorded, OnCall: w.called,
	})
	if err := w.vendor.Start(""); err != nil { //nolint:contextcheck // it takes none: Close ends it
		return err
	}
	w.closers = append(w.closers, w.vendor.Close)
	w.store, err = s3server.Start(ctx, s3server.Options{Dir: filepath.Join(w.dir, "s3"), Buckets: []string{bucketName}})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.store.Close)
	access, secret := w.store.Keys()
	w.proxy, err = faultproxy.Start(ctx, faultproxy.Options{Upstream: w.store.Endpoint(), AccessKey: access, SecretKey: secret})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.proxy.Close)
	if err := w.stage(w.stories); err != nil {
		return err
	}
	return w.openArchiver(ctx)
}

// makeDir makes or takes the working directory. One that has something in it
// is refused: an earlier demo's state speaks of a vendor that is no more.
func (w *world) makeDir(dir string) error {
	var err error
	if dir == "" {
		w.temp = true
		w.dir, err = os.MkdirTemp("", "archiver-demo-")
		return err
	}
	if w.dir, err = filepath.Abs(dir); err != nil { // the S3 server changes the working directory
		return err
	}
	if err = os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%w: %s is not empty; name a new directory", errUsage, w.dir)
	}
	return err
}

// recordings returns what makes the recordings of meetings that end while the
// demo runs: one sample after the other.
func recordings() (func(recordID string) content.Content, error) {
	all := make([]content.Content, 0, len(samples.Names()))
	for _, name := range samples.Names() {
		c, err := sample(name)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	n := 0 // guarded by the vendor, who calls it under its own lock
	return func(string) content.Content {
		n++
		return all[n%len(all)]
	}, nil
}

// openArchiver writes a configuration file, as an operator would, and builds
// the archiver from it.
func (w *world) openArchiver(ctx context.Context) error {
	path := filepath.Join(w.dir, "archiver.yaml")
	for _, t := range []string{acme, globex} {
		if err := os.WriteFile(w.idsFile(t), []byte("# one recordId a line; read again when it changes\n"), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, []byte(w.configuration()), 0o600); err != nil {
		return err
	}
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(w.dir, "archiver.log"))
	if err != nil {
		return err
	}
	w.closers = append(w.closers, f.Close)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(f), zap.InfoLevel))
	for _, p := range cfg.Warnings {
		log.Warn("configuration", zap.Stringer("warning", p))
	}
	w.archiver, err = daemon.Open(ctx, cfg, daemon.Options{
		Logger: log, UserAgent: "archiver-demo", Backoff: 500 * time.Millisecond, Tick: 200 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.archiver.Close)
	return nil
}

func (w *world) idsFile(tenant string) string { return filepath.Join(w.dir, tenant+"-ids.txt") }

// authOf is a tenant's auth key at the simulated vendor.
func authOf(tenant string) string { return "the-auth-key-of-" + tenant }

// deletes says whether a tenant's sources are deleted once they are archived.
func deletes(tenant string) bool { return tenant == acme }

// configuration is the archiver's configuration file.
func (w *world) configuration() string {
	var b strings.Builder
	b.WriteString("# Written by the demo: what an operator would write, with shorter waits.\ntenants:\n")
	for _, t := range []string{acme, globex} {
		fmt.Fprintf(&b, "  %s:\n    api_url: %s\n    auth: %s\n    allow_loopback: true\n    api_rate: 50\n", t, w.vendor.APIURL(), authOf(t))
		fmt.Fprintf(&b, "    record_ids_file: %q\n    record_ids:\n", w.idsFile(t))
		for _, s := range w.stories {
			if s.tenant == t && !s.untold {
				fmt.Fprintf(&b, "      - %q\n", s.id)
			}
		}
		if !strings.HasSuffix(b.String(), "\"\n") { // no recording was told of
			b.WriteString("      []\n")
		}
		if deletes(t) {
			b.WriteString("    delete_source:\n      enabled: true\n      after: 1s\n")
		}
	}
	access, secret := w.store.Keys()
	fmt.Fprintf(&b, `storage:
  endpoint: %s
  bucket: %s
  path_style: true
  access_key_id: %s
  secret_access_key: %s
state:
  path: %q
poll:
  schedule: "@every 1s"
  settle: %s
  recheck: [1s]
transfer:
  part_size: 5MiB
  memory: 40MiB
  max_attempts: 4
  stall_timeout: 5s
http:
  listen: ""
shutdown_grace: 10s
log: {level: info, format: json}
`, w.proxy.Endpoint(), bucketName, access, secret, filepath.Join(w.dir, "state.db"), settle)
	return b.String()
}

// Close stops and releases everything, last opened first, and removes a
// temporary directory.
func (w *world) Close() error {
	var errs []error
	for _, closing := range slices.Backward(w.closers) {
		errs = append(errs, closing())
	}
	w.closers = nil
	if w.temp && w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}
