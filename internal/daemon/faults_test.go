package daemon_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"archiver/internal/daemon"
	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

const (
	mib  = 1 << 20
	part = 5 * mib // what the harness configures
)

// quiet is a vendor whose store says no CRC-64: taking one costs much under the
// race detector.
var quiet = vendorsim.Options{NoCRC64: true}

// fate is a recording of a test and what has to become of it.
type fate struct {
	id     string
	sizes  []int64
	files  []vendorsim.File  // instead of MP4 files of those sizes
	faults []vendorsim.Fault // of this recording; Subject is filled in
	reason state.Reason      // it ends quarantined for this; "" is archived
	marks  string            // of its first file
	calls  int               // how often its first file is asked for; 0 is not looked at
	check  func(t *testing.T, w *world, r state.Recording)
}

// add makes the recording known and sets its faults up.
func (w *world) add(f fate) {
	w.t.Helper()
	if f.files == nil {
		w.recording(f.id, f.sizes...)
	} else if err := w.vendor.AddRecording(vendorsim.Recording{ID: f.id, Tenant: "acme", ConferenceKey: "1866", EntID: 52, Files: f.files}); err != nil {
		w.t.Fatal(err)
	}
	for _, x := range f.faults {
		x.Subject = f.id
		w.vendor.Inject(x)
	}
}

// meets checks one fate.
func (w *world) meets(t *testing.T, d *daemon.Daemon, f fate) {
	t.Helper()
	r := w.get(d, f.id)
	want := state.Archived
	if f.reason != "" {
		want = state.Quarantined
	}
	if r.Status != want || r.Reason != f.reason {
		t.Errorf("%s is %s (%s %s), want %s %s", f.id, r.Status, r.Reason, r.Detail, want, f.reason)
	}
	if len(r.Files) == 0 {
		t.Fatalf("%s has no files", f.id)
	}
	if got := r.Files[0].Marks.String(); got != f.marks {
		t.Errorf("%s is marked %q, want %q", f.id, got, f.marks)
	}
	if got := len(w.downloads(f.id)); f.calls > 0 && got != f.calls {
		t.Errorf("%s was asked for %d times, want %d", f.id, got, f.calls)
	}
	if f.check != nil {
		f.check(t, w, r)
	}
}

// endure runs all fates side by side in one archiver, so that each also shows
// that it stops none of the others, and holds the world against them.
func (w *world) endure(fates []fate) *daemon.Daemon {
	w.t.Helper()
	var ids, archived []string
	for _, f := range fates {
		w.add(f)
		ids = append(ids, f.id)
		if f.reason == "" {
			archived = append(archived, f.id)
		}
	}
	d := w.open()
	if sum := w.backfill(d, ids...); sum.Stuck {
		w.t.Errorf("stuck: %+v", sum)
	}
	for _, f := range fates {
		w.t.Run(f.id, func(t *testing.T) { w.meets(t, d, f) })
	}
	w.archived(d, archived...)
	w.keptSource()
	return d
}

// keptSource checks that nothing was asked to be deleted.
func (w *world) keptSource() {
	w.t.Helper()
	if n := w.vendor.Counts()["delRecordFile"]; n != 0 {
		w.t.Errorf("delRecordFile was called %d times", n)
	}
}

// downloads returns the requests for the files of a recording.
func (w *world) downloads(id string) []vendorsim.Call {
	var out []vendorsim.Call
	for _, c := range w.vendor.CallsOf(vendorsim.Download) {
		if c.RecordID == id {
			out = append(out, c)
		}
	}
	return out
}

// fetched returns how many bytes of a recording's files were sent.
func (w *world) fetched(id string) int64 {
	var n int64
	for _, c := range w.downloads(id) {
		n += c.Bytes
	}
	return n
}

// puts returns how many successful requests wrote the bytes of objects whose
// path contains part: whole ones, parts and completions, without manifests.
func (w *world) puts(part string) int {
	n := 0
	for _, e := range w.proxy.Log() {
		write := e.Method == "PUT" || e.Method == "POST"
		if write && e.UpstreamStatus == 200 && strings.Contains(e.Path, part) &&
			!strings.Contains(e.Path, "/manifests/") && !strings.Contains(e.Path, "/.archiver-probe/") {
			n++
		}
	}
	return n
}

// run is backfill with another patience, of recordings of any tenant.
func (w *world) run(d *daemon.Daemon, wait time.Duration, keys ...state.Key) daemon.Summary {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	sum, err := d.Backfill(ctx, ctx, keys, wait)
	if err != nil {
		w.t.Fatalf("backfill: %v; %+v", err, sum)
	}
	return sum
}

// begin is run in the background; end waits for what came of it.
func (w *world) begin(d *daemon.Daemon, wait time.Duration, keys ...state.Key) (end func() daemon.Summary) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	var (
		done sync.WaitGroup
		sum  daemon.Summary
		err  error
	)
	done.Go(func() { sum, err = d.Backfill(ctx, ctx, keys, wait) })
	w.t.Cleanup(func() {
		cancel()
		done.Wait() // before the daemon is closed, however the test ends
	})
	return func() daemon.Summary {
		w.t.Helper()
		done.Wait()
		if err != nil {
			w.t.Fatalf("backfill: %v; %+v", err, sum)
		}
		return sum
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// watched returns a core for worldOptions.sink and what it has seen.
func watched() (zapcore.Core, *observer.ObservedLogs) { return observer.New(zap.DebugLevel) }

// keptSecrets looks for every secret of this world in the logs, the state file
// and all objects.
func (w *world) keptSecrets(logs *observer.ObservedLogs) {
	w.t.Helper()
	_, s3secret := store.Keys()
	secrets := []string{authKey, s3secret}
	for _, c := range w.vendor.CallsOf(vendorsim.Download) {
		if c.RawQuery == "" {
			continue
		}
		raw := strings.TrimPrefix(c.RawQuery, "sign=")
		plain, err := url.PathUnescape(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		secrets = append(secrets, raw, plain, raw[:24])
		if b, err := base64.StdEncoding.DecodeString(plain); err == nil {
			secrets = append(secrets, string(b[20:]))
		}
	}
	if len(secrets) < 3 {
		w.t.Fatal("no download, so nothing to look for")
	}
	places := map[string][]byte{}
	var text bytes.Buffer
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range logs.All() {
		b, err := enc.EncodeEntry(e.Entry, e.Context)
		if err != nil {
			w.t.Fatal(err)
		}
		text.Write(b.Bytes())
	}
	places["the log"] = text.Bytes()
	db, err := os.ReadFile(filepath.Join(w.dir, "state.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	places["the state"] = db
	_, manifests, _ := w.contents()
	for _, m := range manifests {
		places[m.Key] = w.object(m.Key)
	}
	for where, b := range places {
		for _, s := range secrets {
			if i := bytes.Index(b, []byte(s)); i >= 0 {
				w.t.Errorf("%s holds the secret %q: …%s…", where, s, b[max(0, i-100):min(len(b), i+100)])
				break
			}
		}
	}
}

// object reads an object past the proxy.
func (w *world) object(key string) []byte {
	w.t.Helper()
	out, err := store.Client().GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: aws.String(w.bucket), Key: aws.String(key)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// plant puts a foreign object into the bucket, past the proxy.
func (w *world) plant(key, body string) {
	w.t.Helper()
	_, err := store.Client().PutObject(w.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(w.bucket), Key: aws.String(key), Body: strings.NewReader(body),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// file is one file of a recording of tests.
func file(name string, c content.Content) vendorsim.File {
	return vendorsim.File{Start: begun, Stop: begun.Add(14 * time.Second), Name: name, Content: c}
}

// cutMovie is a recording that was cut short: an MP4 without moov.
func cutMovie(t *testing.T, size int64) content.Content {
	t.Helper()
	c, err := content.MP4(7, size, content.NoMoov)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// uploads are the multipart uploads that the bucket has open.
func (w *world) uploads() []types.MultipartUpload {
	w.t.Helper()
	out, err := store.Client().ListMultipartUploads(w.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(w.bucket)})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Uploads
}
