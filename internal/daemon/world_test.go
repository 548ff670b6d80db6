package daemon_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// store is the S3 server of this test process; every test has a bucket of its
// own in it.
var store *s3server.Server

func TestMain(m *testing.M) {
	if done := childMain(); done {
		return
	}
	code := func() int {
		dir, err := os.MkdirTemp("", "archiver-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		store, err = s3server.Start(context.Background(), s3server.Options{Dir: dir})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = store.Close() }()
		// Worlds wait far more than they compute.
		if err := flag.Set("test.parallel", "6"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}()
	os.Exit(code) //nolint:forbidigo // TestMain
}

const authKey = "the-tenants-auth-key"

// world is one vendor, one bucket behind a fault proxy, and a configuration.
type world struct {
	t      *testing.T
	vendor *vendorsim.Server
	proxy  *faultproxy.Proxy
	bucket string
	dir    string
	ahead  atomic.Int64 // our clock, in nanoseconds ahead of the real one
	extra  worldOptions
}

// worldOptions vary a world.
type worldOptions struct {
	vendor   vendorsim.Options
	cos      bool
	tenant   string // YAML lines of tenants.acme, indented by 4
	storage  string // of storage, indented by 2
	other    string // top-level YAML
	part     string // transfer.part_size; "" is 5MiB
	transfer string // of transfer, indented by 2
	rate     string // tenants.acme.api_rate; "" is 10000
	sink     zapcore.Core

	tenantIDs []string // tenants.acme.record_ids
}

var bucketSerial atomic.Int64

func newWorld(t *testing.T, o worldOptions) *world {
	t.Helper()
	if o.vendor.Tenants == nil {
		o.vendor.Tenants = map[string]string{"acme": authKey}
	}
	w := &world{t: t, vendor: vendorsim.New(o.vendor), dir: t.TempDir(), extra: o}
	if err := w.vendor.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.vendor.Close() })
	w.bucket = fmt.Sprintf("bucket-%d", bucketSerial.Add(1))
	_, err := store.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(w.bucket)})
	if err != nil {
		t.Fatal(err)
	}
	access, secret := store.Keys()
	w.proxy, err = faultproxy.Start(t.Context(), faultproxy.Options{Upstream: store.Endpoint(), AccessKey: access, SecretKey: secret, COS: o.cos})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.proxy.Close() })
	return w
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// advance moves our clock, and no other's.
func (w *world) advance(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *world) configFile() string {
	access, secret := store.Keys()
	part := w.extra.part
	if part == "" {
		part = "5MiB"
	}
	text := fmt.Sprintf(`tenants:
  acme:
    api_url: %s
    auth: %s
    api_rate: %s
    allow_loopback: true
%s%sstorage:
  endpoint: %s
  bucket: %s
  path_style: true
  access_key_id: %s
  secret_access_key: %s
%sstate:
  path: %s
poll:
  schedule: "@every 1s"
  settle: 1s
transfer:
  part_size: %s
  memory: 40MiB
  max_attempts: 4
  stall_timeout: 5s
%sshutdown_grace: 10s
%s`, w.vendor.APIURL(), authKey, cmp.Or(w.extra.rate, "10000"), w.extra.tenant, idsLine(w.extra.tenantIDs), w.proxy.Endpoint(), w.bucket, access, secret, w.extra.storage,
		filepath.Join(w.dir, "state.db"), part, w.extra.transfer, w.extra.other)
	path := filepath.Join(w.dir, "archiver.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// open builds the daemon on this world.
func (w *world) open() *daemon.Daemon {
	w.t.Helper()
	cfg, err := config.Load(w.configFile(), os.LookupEnv)
	if err != nil {
		w.t.Fatal(err)
	}
	log := zaptest.NewLogger(w.t, zaptest.Level(zapcore.InfoLevel))
	if w.extra.sink != nil {
		log = zap.New(zapcore.NewTee(log.Core(), w.extra.sink))
	}
	d, err := daemon.Open(w.t.Context(), cfg, daemon.Options{
		Logger: log, Clock: w.now, Backoff: 20 * time.Millisecond, Tick: 20 * time.Millisecond,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = d.Close() })
	return d
}

func key(id string) state.Key { return state.Key{Tenant: "acme", RecordID: id} }

// backfill runs the daemon until the recordings are done. The limit is there for
// what hangs: on a busy machine under -race a few hundred MiB take a minute.
func (w *world) backfill(d *daemon.Daemon, ids ...string) daemon.Summary {
	w.t.Helper()
	keys := make([]state.Key, 0, len(ids))
	for _, id := range ids {
		keys = append(keys, key(id))
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	sum, err := d.Backfill(ctx, ctx, keys, 20*time.Second)
	if err != nil {
		w.t.Fatalf("backfill: %v; %+v", err, sum)
	}
	return sum
}

// begun is when the recordings of tests begin: long settled.
var begun = time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)

// recording adds a recording of MP4 files of these sizes.
func (w *world) recording(id string, sizes ...int64) {
	w.t.Helper()
	r := vendorsim.Recording{ID: id, Tenant: "acme", ConferenceKey: "1866", EntID: 52}
	for i, n := range sizes {
		start := begun.Add(time.Duration(i) * time.Hour)
		r.Files = append(r.Files, vendorsim.File{Start: start, Stop: start.Add(14 * time.Second), Content: movie(w.t, id, i, n)})
	}
	if err := w.vendor.AddRecording(r); err != nil {
		w.t.Fatal(err)
	}
}

func movie(t *testing.T, id string, i int, size int64) content.Content {
	t.Helper()
	seed := uint64(i + 1)
	for _, c := range id {
		seed = seed*31 + uint64(c)
	}
	c, err := content.MP4(seed, size, content.Faststart)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) get(d *daemon.Daemon, id string) state.Recording {
	w.t.Helper()
	r, err := d.Store().Get(w.t.Context(), key(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// contents is what the bucket really holds, manifests apart.
func (w *world) contents() (objects, manifests []s3server.Object, uploads []s3server.Upload) {
	w.t.Helper()
	c, err := s3server.Truth(w.t.Context(), store.Client(), w.bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range c.Objects {
		if strings.HasPrefix(o.Key, "manifests/") {
			manifests = append(manifests, o)
		} else {
			objects = append(objects, o)
		}
	}
	return objects, manifests, c.Uploads
}

// archived checks that these recordings, and nothing else, lie in the bucket:
// the right bytes, one object a file, a manifest each, no upload left open,
// and that the state has no complaint.
func (w *world) archived(d *daemon.Daemon, ids ...string) {
	w.t.Helper()
	objects, manifests, uploads := w.contents()
	if len(uploads) > 0 {
		w.t.Errorf("uploads left open: %+v", uploads)
	}
	if len(manifests) != len(ids) {
		w.t.Errorf("%d manifests, want %d", len(manifests), len(ids))
	}
	byKey := map[string]s3server.Object{}
	for _, o := range objects {
		byKey[o.Key] = o
	}
	n := 0
	for _, id := range ids {
		truth, ok := w.vendor.Recording(id)
		if !ok {
			w.t.Fatalf("the vendor never had %s", id)
		}
		r := w.get(d, id)
		if r.Status != state.Archived && r.Status != state.SourceDeleted {
			w.t.Errorf("%s is %s (%s %s)", id, r.Status, r.Reason, r.Detail)
		}
		if len(r.Files) != len(truth.Files) {
			w.t.Errorf("%s has %d files, the vendor has %d", id, len(r.Files), len(truth.Files))
		}
		for _, ft := range truth.Files {
			n++
			i := slices.IndexFunc(r.Files, func(f state.File) bool { return f.Filename == ft.Name && f.StartTime.Equal(ft.Start) })
			if i < 0 {
				w.t.Errorf("%s: %s is not in the state", id, ft.Name)
				continue
			}
			f := r.Files[i]
			want, err := ft.SHA256()
			if err != nil {
				w.t.Fatal(err)
			}
			o := byKey[f.Key]
			if o.SHA256 != want || f.Sums.SHA256 != want || f.Phase != state.Verified {
				w.t.Errorf("%s: %s is %s with SHA-256 %s here and %s in the bucket, want %s", id, f.Key, f.Phase, f.Sums.SHA256, o.SHA256, want)
			}
		}
	}
	if len(objects) != n {
		w.t.Errorf("%d objects, want %d: %+v", len(objects), n, objects)
	}
	w.sound(d)
}

// sound lets the state check itself.
func (w *world) sound(d *daemon.Daemon) {
	w.t.Helper()
	err := d.Store().Check(w.t.Context(), func(p string) { w.t.Errorf("state: %s", p) })
	if err != nil {
		w.t.Error(err)
	}
}
