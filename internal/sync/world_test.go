package sync_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/robfig/cron/v3"
	"go.uber.org/zap/zaptest"

	"archiver/internal/bucket"
	"archiver/internal/download"
	"archiver/internal/meetingapi"
	"archiver/internal/objectkey"
	"archiver/internal/poller"
	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
	archivesync "archiver/internal/sync"
)

// store is the S3 server of this test process; every world has its bucket.
var store *s3server.Server

func TestMain(m *testing.M) {
	code := func() int {
		dir, err := os.MkdirTemp("", "archiver-sync-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if store, err = s3server.Start(context.Background(), s3server.Options{Dir: dir}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = store.Close() }()
		return m.Run()
	}()
	os.Exit(code) //nolint:forbidigo // TestMain
}

const part = 5 << 20 // bytes, S3's least

// world is a syncer between a simulated vendor and a real S3 server.
type world struct {
	*archivesync.Syncer
	t       *testing.T
	store   *watched
	vendor  *vendorsim.Server
	proxy   *faultproxy.Proxy
	bucket  string
	dest    state.Destination
	poller  *poller.Poller
	told    *told
	deletes atomic.Bool          // delete_source.enabled
	options *archivesync.Options // as the syncer was built, to build another
}

// watched tells of stored warrants, counts updates, and refuses them on demand.
type watched struct {
	*bolt.Store
	warranted func()
	updates   atomic.Int64
	refuse    atomic.Pointer[error] // of every update, nil: none
	refused   atomic.Int64
}

func (w *watched) Update(ctx context.Context, k state.Key, decide state.Decide) (state.Recording, error) {
	if err := w.refuse.Load(); err != nil {
		w.refused.Add(1)
		return state.Recording{}, *err
	}
	w.updates.Add(1)
	return w.Store.Update(ctx, k, decide)
}

func (w *watched) StoreWarrant(ctx context.Context, warrant state.Warrant, perHour int, permit func() error) (state.Recording, error) {
	r, err := w.Store.StoreWarrant(ctx, warrant, perHour, permit)
	if err == nil && w.warranted != nil {
		w.warranted()
	}
	return r, err
}

var serial atomic.Int64

func newWorld(t *testing.T) *world {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", serial.Add(1))
	if _, err := store.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	access, secret := store.Keys()
	return newWorldAt(t, store.Endpoint(), name, access, secret)
}

// newWorldAt is newWorld with a bucket of another server.
func newWorldAt(t *testing.T, endpoint, name, access, secret string) *world {
	t.Helper()
	w := &world{t: t, bucket: name, told: &told{}}
	w.vendor = vendorsim.New(vendorsim.Options{Tenants: map[string]string{"acme": "key"}})
	if err := w.vendor.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.vendor.Close() })
	var err error
	w.proxy, err = faultproxy.Start(t.Context(), faultproxy.Options{Upstream: endpoint, AccessKey: access, SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.proxy.Close() })
	st, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), bolt.Options{Clock: time.Now, Logger: zaptest.NewLogger(t), Horizon: 30 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w.store = &watched{Store: st}
	w.build(access, secret)
	return w
}

func (w *world) build(access, secret string) {
	w.t.Helper()
	fail := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	vendor, err := meetingapi.New(meetingapi.Options{
		BaseURL: w.vendor.APIURL(), Auth: func() (string, error) { return "key", nil }, Rate: 10_000,
	})
	fail(err)
	w.t.Cleanup(vendor.Close)
	source, err := download.New(download.Options{AllowLoopback: true})
	fail(err)
	w.t.Cleanup(source.Close)
	b, err := bucket.New(w.t.Context(), bucket.Options{
		Endpoint: w.proxy.Endpoint(), Region: s3server.Region, Bucket: w.bucket, PathStyle: true,
		Credentials: func() (string, string, error) { return access, secret, nil },
	})
	fail(err)
	w.t.Cleanup(b.Close)
	w.dest = state.Destination{Endpoint: b.Endpoint(), Bucket: b.Name()}
	links := archivesync.NewLinks(time.Now, w.told.LinkRefreshed)
	log := zaptest.NewLogger(w.t)
	w.options = &archivesync.Options{
		Store: w.store, Links: links, Destinations: map[state.Destination]archivesync.Destination{w.dest: b},
		Tenants: []archivesync.Tenant{{
			Name: "acme", Vendor: vendor, Source: source, Dest: w.dest, Bucket: b,
			ManifestKey: func(r state.Recording) string { return "manifests/" + r.RecordID },
			Delete: func() archivesync.DeletePolicy {
				return archivesync.DeletePolicy{Enabled: w.deletes.Load(), Require: state.LevelFullObject, MaxPerHour: 100}
			},
		}},
		Concurrency: 2, Streams: 2, PartSize: part, Memory: 8 * part, MaxAttempts: 5, MaxFileSize: 1 << 40,
		Suspended: func(string) bool { return false }, Clock: time.Now, Logger: log, Observer: w.told,
		Backoff: 10 * time.Millisecond, Tick: 10 * time.Millisecond,
	}
	w.Syncer, err = archivesync.New(*w.options)
	fail(err)
	key, err := objectkey.Parse("{record_id}/{filename}")
	fail(err)
	every, err := cron.ParseStandard("@every 1s")
	fail(err)
	w.poller, err = poller.New(poller.Options{
		Store: w.store, Schedule: every, Concurrency: 2, MaxInterval: time.Hour, Logger: log, Links: links,
		Tenants: []poller.Tenant{{Name: "acme", Vendor: vendor, Dest: w.dest, Key: key}},
	})
	fail(err)
	links.SetAsk(func(ctx context.Context, k state.Key) error {
		_, err := w.poller.Ask(ctx, k)
		return err
	})
}

func key(id string) state.Key { return state.Key{Tenant: "acme", RecordID: id} }

// until runs the syncer until something is so, at most five minutes.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	take, stop := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(take, w.t.Context()) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-take.Done():
			w.t.Errorf("it never came to this: %s", what)
			stop()
		case <-tick.C:
			continue
		}
		break
	}
	stop()
	if err := <-ended; err != nil {
		w.t.Error(err)
	}
}

// archive has a recording with files of these sizes archived.
func (w *world) archive(id string, sizes ...int64) state.Recording {
	w.t.Helper()
	w.recording(id, sizes...)
	w.until(id+" is archived", func() bool { return w.get(id).Status == state.Archived })
	return w.get(id)
}

// recording makes a recording known to the vendor and polls it.
func (w *world) recording(id string, sizes ...int64) {
	w.t.Helper()
	r := vendorsim.Recording{ID: id, Tenant: "acme", ConferenceKey: "1866", EntID: 52}
	for i, n := range sizes {
		at := time.Date(2019, 5, 31, 1+i, 43, 9, 0, time.UTC)
		c, err := content.MP4(uint64(i)+uint64(len(id))<<8, n, content.Faststart)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Files = append(r.Files, vendorsim.File{Start: at, Stop: at.Add(14 * time.Second), Content: c})
	}
	if err := w.vendor.AddRecording(r); err != nil {
		w.t.Fatal(err)
	}
	w.poll(id)
}

// poll tracks a recording and asks for it until it is settled.
func (w *world) poll(id string) {
	w.t.Helper()
	if _, err := w.store.Track(w.t.Context(), []state.Key{key(id)}); err != nil {
		w.t.Fatal(err)
	}
	for range 2 { // discovered, then settled
		if _, err := w.poller.Ask(w.t.Context(), key(id)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) get(id string) state.Recording {
	w.t.Helper()
	r, err := w.store.Get(context.WithoutCancel(w.t.Context()), key(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) update(id string, changes ...state.Change) {
	w.t.Helper()
	if _, err := w.store.Update(w.t.Context(), key(id), state.Do(changes...)); err != nil {
		w.t.Fatal(err)
	}
}

// told keeps what an observer is told.
type told struct {
	mu       sync.Mutex
	read     int64
	took     int64
	stored   map[int64]int  // by size
	retried  map[string]int // by side
	links    map[string]int // by reason
	verified map[string]int // by level and result
	heard    func()         // of SourceRead and BucketTook, may be nil
}

func add[K comparable](m *map[K]int, k K) {
	if *m == nil {
		*m = map[K]int{}
	}
	(*m)[k]++
}

func (o *told) SourceRead(_ string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read += int64(n)
	if o.heard != nil {
		o.heard()
	}
}

func (o *told) BucketTook(_ string, n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.took += n
	if o.heard != nil {
		o.heard()
	}
}

func (o *told) FileStored(_ string, size int64, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if took > 0 {
		add(&o.stored, size)
	}
}

func (o *told) Retried(_, side string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	add(&o.retried, side)
}

func (o *told) LinkRefreshed(_, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	add(&o.links, reason)
}

func (o *told) Verification(_ string, level state.Level, result string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	add(&o.verified, string(level)+" "+result)
}
