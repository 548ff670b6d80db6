package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"archiver/internal/apitype"
	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// trial is a world in which everything is archived first, with deletion off;
// then one fact is changed and deletion is turned on. Its clocks, ours, the
// vendor's and the bucket's, can be moved one by one or together.
type trial struct {
	*world
	d   *daemon.Daemon
	cfg *config.Config

	vendorAhead atomic.Int64 // of the vendor's clock, in nanoseconds
	rate        string       // api_rate of the daemons started from now on, "" as many as they like
	onCall      atomic.Pointer[func(vendorsim.Call)]
	undate      func() // removes the rule that moves the bucket's Date
}

func newTrial(t *testing.T, o worldOptions) *trial {
	t.Helper()
	tr := &trial{undate: func() {}}
	o.vendor.Clock = func() time.Time { return time.Now().Add(time.Duration(tr.vendorAhead.Load())) }
	o.vendor.OnCall = func(c vendorsim.Call) {
		if f := tr.onCall.Load(); f != nil {
			(*f)(c)
		}
	}
	tr.world = newWorld(t, o)
	return tr
}

// advanceAll moves all clocks.
func (tr *trial) advanceAll(d time.Duration) {
	tr.advance(d)
	tr.vendorAhead.Add(int64(d))
	tr.dateBucket(tr.now(), "")
}

// dateBucket makes the bucket's answers about paths that contain part carry
// this Date.
func (tr *trial) dateBucket(at time.Time, part string) {
	tr.undate()
	tr.undate = tr.proxy.Inject(faultproxy.Rule{
		Path: regexp.MustCompile(regexp.QuoteMeta(part)),
		Do:   faultproxy.SetHeader{Name: "Date", Value: at.UTC().Format(http.TimeFormat)},
	})
}

// start opens the daemon with these lines of the tenant's configuration.
func (tr *trial) start(tenant ...string) {
	tr.t.Helper()
	if tr.d != nil {
		if err := tr.d.Close(); err != nil {
			tr.t.Fatal(err)
		}
	}
	tr.extra.tenant = ""
	for _, l := range tenant {
		tr.extra.tenant += "    " + l + "\n"
	}
	path := tr.configFile()
	if tr.rate != "" {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, bytes.Replace(b, []byte("api_rate: 10000"), []byte("api_rate: "+tr.rate), 1), 0o600)
		}
		if err != nil {
			tr.t.Fatal(err)
		}
	}
	var err error
	if tr.cfg, err = config.Load(path, os.LookupEnv); err != nil {
		tr.t.Fatal(err)
	}
	tr.d, err = daemon.Open(tr.t.Context(), tr.cfg, daemon.Options{
		Logger: zaptest.NewLogger(tr.t, zaptest.Level(zapcore.WarnLevel)), Clock: tr.now, Backoff: 20 * time.Millisecond, Tick: 20 * time.Millisecond,
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	d := tr.d
	tr.t.Cleanup(func() { _ = d.Close() })
}

// enable opens the daemon with deletion on, and no grace unless said.
func (tr *trial) enable(lines ...string) {
	tr.t.Helper()
	all := []string{"delete_source:", "  enabled: true"}
	if !strings.Contains(strings.Join(lines, ""), "after:") {
		all = append(all, "  after: 0s")
	}
	for _, l := range lines {
		all = append(all, "  "+l)
	}
	tr.start(all...)
}

// archive archives with deletion off, and shows that nothing was deleted.
func (tr *trial) archive(ids ...string) {
	tr.t.Helper()
	tr.start()
	sum := tr.backfill(tr.d, ids...)
	if sum.Stuck || sum.Recordings[state.Quarantined] > 0 {
		tr.t.Fatalf("not archived: %+v", sum)
	}
	for _, id := range ids {
		if r := tr.rec(id); r.Status != state.Archived {
			tr.t.Fatalf("%s is %s, not archived", id, r.Status)
		}
	}
	if n := tr.deletions(""); n != 0 {
		tr.t.Fatalf("delRecordFile was called %d times with deletion off", n)
	}
}

// run runs the daemon while f does something.
func (tr *trial) run(f func()) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), time.Minute)
	defer cancel()
	take, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := tr.d.Run(take, ctx); err != nil {
			tr.t.Errorf("run: %v", err)
		}
	})
	f()
	stop()
	wg.Wait()
}

// until runs the daemon until something is true.
func (tr *trial) until(what string, is func() bool) {
	tr.t.Helper()
	tr.run(func() { tr.wait(what, is) })
}

func (tr *trial) wait(what string, is func() bool) {
	tr.t.Helper()
	enough := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-enough:
			tr.t.Errorf("it never came to this: %s", what)
			return
		case <-tick.C:
		}
	}
}

// idle runs the daemon for some twenty looks at what is due.
func (tr *trial) idle() {
	tr.t.Helper()
	tr.run(func() { <-time.After(400 * time.Millisecond) })
}

func (tr *trial) rec(id string) state.Recording {
	tr.t.Helper()
	return tr.get(tr.d, id)
}

func (tr *trial) is(id string, s state.Status) func() bool {
	return func() bool { return tr.rec(id).Status == s }
}

// untilDeleted runs until these are source_deleted and their manifests say so.
func (tr *trial) untilDeleted(ids ...string) {
	tr.t.Helper()
	tr.until(strings.Join(ids, ", ")+" deleted at the source", func() bool {
		for _, id := range ids {
			if !tr.deleted(id) {
				return false
			}
		}
		return true
	})
}

// deleted says that it is source_deleted and its manifest says so.
func (tr *trial) deleted(id string) bool {
	r := tr.rec(id)
	return r.Status == state.SourceDeleted && !r.Manifest.Due
}

// refused runs until a try at the deletion of id ended with that reason.
func (tr *trial) refused(id, why string) {
	tr.t.Helper()
	tr.until(id+" refused: "+why, func() bool { return strings.Contains(tr.rec(id).Deletion.Error, why) })
}

// deletions counts the calls of delRecordFile for id, "" for all.
func (tr *trial) deletions(id string) int {
	n := 0
	for _, c := range tr.vendor.CallsOf("delRecordFile") {
		if id == "" || c.RecordID == id {
			n++
		}
	}
	return n
}

func (tr *trial) called(id string, want int) {
	tr.t.Helper()
	if n := tr.deletions(id); n != want {
		tr.t.Errorf("delRecordFile(%s) was called %d times, want %d; it is %s: %s", id, n, want, tr.rec(id).Status, tr.rec(id).Deletion.Error)
	}
}

// events counts the events of a type.
func (tr *trial) events(id string, typ state.EventType) int {
	tr.t.Helper()
	all, err := tr.d.Store().EventsOf(tr.t.Context(), key(id), 1000)
	if err != nil {
		tr.t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if e.Type == typ {
			n++
		}
	}
	return n
}

func (tr *trial) update(id string, c ...state.Change) {
	tr.t.Helper()
	if _, err := tr.d.Store().Update(tr.t.Context(), key(id), state.Do(c...)); err != nil {
		tr.t.Fatal(err)
	}
}

// proven checks what must be true of a recording that was deleted at the
// source: its warrant, its manifest and the state.
func (tr *trial) proven(id string) state.Warrant {
	tr.t.Helper()
	r := tr.rec(id)
	if r.Status != state.SourceDeleted {
		tr.t.Errorf("%s is %s: %s", id, r.Status, r.Deletion.Error)
		return state.Warrant{}
	}
	w, err := tr.d.Store().Warrant(tr.t.Context(), "acme", r.Deletion.WarrantID)
	if err != nil {
		tr.t.Errorf("%s: %v", id, err)
		return w
	}
	if w.At.IsZero() || w.ListedAt.IsZero() || w.Clocks.Ours.IsZero() || w.Clocks.Vendor.IsZero() || w.Clocks.Bucket.IsZero() {
		tr.t.Errorf("%s: the warrant lacks a time: %+v", id, w)
	}
	for _, e := range w.Evidence {
		if e.RecordID == "" {
			tr.t.Errorf("%s: evidence of nobody: %+v", id, e)
			continue
		}
		owner := tr.rec(e.RecordID)
		f, ok := owner.File(e.FileID)
		if !ok || e.Sums != f.Sums || e.Sums.SHA256 == "" || e.Key != f.Key || e.Size != f.Size || e.Object.ETag == "" || e.Dest.Bucket == "" || e.Source.Length >= 0 && e.Source.Length != f.Size ||
			e.Level != state.LevelFullObject && e.Level != state.LevelReadback {
			tr.t.Errorf("%s: poor evidence %+v of %+v", id, e, f)
		}
		if !e.SourceReread && e.Source.ETag == "" && e.Source.LastModified == "" {
			tr.t.Errorf("%s: the evidence has no validator of the source and did not read it: %+v", id, e)
		}
	}
	if len(w.Evidence) == 0 {
		tr.t.Errorf("%s: a warrant without evidence", id)
	}
	if m := tr.manifest(id); m.SourceDeletedAt == nil || m.SourceDeletedAt.IsZero() {
		tr.t.Errorf("%s: its manifest has no source_deleted_at", id)
	}
	return w
}

func (tr *trial) manifest(id string) apitype.Manifest {
	tr.t.Helper()
	var m apitype.Manifest
	out, err := store.Client().GetObject(tr.t.Context(), &s3.GetObjectInput{Bucket: &tr.bucket, Key: aws.String("manifests/acme/" + id + ".json")})
	if err != nil {
		tr.t.Error(err)
		return m
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		tr.t.Error(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		tr.t.Error(err)
	}
	return m
}

// heads matches the question that a warrant puts to the bucket about id.
func heads(id string, do faultproxy.Action) faultproxy.Rule {
	return faultproxy.Rule{Method: http.MethodHead, Path: regexp.MustCompile("/" + regexp.QuoteMeta(id) + "/"), Do: do}
}

// listed is a fault of getRecords about id.
func listed(id string, do vendorsim.Action) vendorsim.Fault {
	return vendorsim.Fault{Call: "getRecords", Subject: id, Do: do}
}

// pair adds a recording whose listing names another one, id-s, as well.
func (tr *trial) pair(id string) {
	tr.t.Helper()
	tr.recording(id+"-s", 3000)
	tr.add(vendorsim.Recording{ID: id, Also: []string{id + "-s"}}, 4000)
}

// add adds a recording with files of these sizes.
func (tr *trial) add(r vendorsim.Recording, sizes ...int64) {
	tr.t.Helper()
	r.Tenant, r.ConferenceKey, r.EntID = "acme", "1866", 52
	for i, n := range sizes {
		start := begun.Add(time.Duration(i) * time.Hour)
		r.Files = append(r.Files, vendorsim.File{Start: start, Stop: start.Add(14 * time.Second), Content: movie(tr.t, r.ID, i, n)})
	}
	if err := tr.vendor.AddRecording(r); err != nil {
		tr.t.Fatal(err)
	}
}
