package daemon_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/state"
)

// The calls that write an object, as rules see them.
var (
	isPut      = faultproxy.Rule{Method: "PUT", NoQuery: []string{"partNumber"}}
	isPart     = faultproxy.Rule{Method: "PUT", Query: []string{"partNumber"}}
	isCreate   = faultproxy.Rule{Method: "POST", Query: []string{"uploads"}}
	isComplete = faultproxy.Rule{Method: "POST", Query: []string{"uploadId"}}
)

// broken makes the proxy misbehave in calls for the objects of one recording.
func (w *world) broken(id string, call faultproxy.Rule, after, times int, do faultproxy.Action) {
	call.Path, call.After, call.Times, call.Do = regexp.MustCompile("/"+id+"/"), after, times, do
	w.proxy.Inject(call)
}

// everywhere makes the proxy misbehave in all calls of a kind.
func (w *world) everywhere(call faultproxy.Rule, do faultproxy.Action) (remove func()) {
	call.Do = do
	return w.proxy.Inject(call)
}

// TestBucketFaults breaks each call that writes, in every way.
func TestBucketFaults(t *testing.T) {
	t.Parallel()
	sink, logs := watched()
	w := newWorld(t, worldOptions{vendor: quiet, sink: sink, transfer: "  concurrency: 16\n"})
	small, large := []int64{mib}, []int64{6 * mib}
	var fates []fate
	hurt := func(id string, sizes []int64, call faultproxy.Rule, after, times int, do faultproxy.Action) {
		w.broken(id, call, after, times, do)
		fates = append(fates, fate{id: id, sizes: sizes})
	}
	reply := func(status int, code string) faultproxy.Reply { return faultproxy.Reply{Status: status, Code: code} }
	hurt("put-lost", small, isPut, 0, 1, faultproxy.DropReply{})
	hurt("put-lost-thrice", small, isPut, 0, 3, faultproxy.DropReply{})
	hurt("put-dropped", small, isPut, 0, 5, faultproxy.DropBefore{})
	hurt("put-503", small, isPut, 0, 5, reply(503, "SlowDown"))
	hurt("put-409", small, isPut, 0, 1, reply(409, "ConditionalRequestConflict"))
	hurt("put-412", small, isPut, 0, 1, reply(412, "PreconditionFailed"))
	hurt("put-flipped", small, isPut, 0, 2, faultproxy.Corrupt{At: 1000})
	hurt("create-lost", large, isCreate, 0, 1, faultproxy.DropReply{})
	hurt("create-lost-twice", large, isCreate, 0, 2, faultproxy.DropReply{})
	hurt("create-dropped", large, isCreate, 0, 2, faultproxy.DropBefore{})
	hurt("create-500", large, isCreate, 0, 2, reply(500, "InternalError"))
	hurt("part-lost", large, isPart, 1, 1, faultproxy.DropReply{})
	hurt("part-dropped", large, isPart, 0, 5, faultproxy.DropBefore{})
	hurt("part-503", large, isPart, 0, 7, reply(503, "SlowDown"))
	hurt("part-later", large, isPart, 0, 1, faultproxy.Reply{Status: 503, Code: "SlowDown", RetryAfter: time.Second})
	hurt("part-flipped", large, isPart, 1, 2, faultproxy.Corrupt{At: 1000})
	hurt("complete-lost", large, isComplete, 0, 1, faultproxy.DropReply{})
	hurt("complete-dropped", large, isComplete, 0, 1, faultproxy.DropBefore{})
	hurt("complete-200-error", large, isComplete, 0, 1, faultproxy.CompleteError{Code: "InternalError"})
	hurt("complete-409", large, isComplete, 0, 1, reply(409, "ConditionalRequestConflict"))
	hurt("complete-412", large, isComplete, 0, 1, reply(412, "PreconditionFailed"))
	hurt("complete-503", large, isComplete, 0, 2, reply(503, "SlowDown"))
	hurt("complete-lost-head", large, isComplete, 0, 1, faultproxy.DropReply{})
	w.broken("complete-lost-head", faultproxy.Rule{Method: "HEAD"}, 1, 4, reply(500, "InternalError"))
	hurt("head-503", small, faultproxy.Rule{Method: "HEAD"}, 0, 4, reply(503, "SlowDown"))

	// The parts are refused as a whole: all of them are sent anew.
	hurt("complete-refused", large, isComplete, 0, 1, reply(400, "InvalidPart"))
	fates[len(fates)-1].check = func(t *testing.T, w *world, r state.Recording) {
		t.Helper()
		if n := len(w.downloads(r.RecordID)); n != 2 {
			t.Errorf("it was fetched %d times, want 2", n)
		}
	}
	w.endure(fates)
	w.keptSecrets(logs)
}

// TestPutRefusedForever quarantines what cannot be written and leaves no
// upload behind.
func TestPutRefusedForever(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.broken("small", isPut, 0, 0, faultproxy.Corrupt{At: 1000})
	w.broken("large", isPart, 0, 0, faultproxy.Corrupt{At: 1000})
	w.broken("refused", isComplete, 0, 0, faultproxy.Reply{Status: 400, Code: "InvalidPart"})
	w.endure([]fate{
		{id: "small", sizes: []int64{mib}, reason: state.UploadFailed},
		{id: "large", sizes: []int64{6 * mib}, reason: state.UploadFailed},
		{id: "refused", sizes: []int64{6 * mib}, reason: state.UploadFailed, calls: 4},
		{id: "fine", sizes: []int64{6 * mib}},
	})
}

// TestUploadVanishes aborts uploads behind the archiver's back.
func TestUploadVanishes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		call  faultproxy.Rule
		after int
	}{
		"before a part": {isPart, 2}, "before completion": {isComplete, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{vendor: quiet})
			w.recording("one", 11*mib)
			gone := make(chan struct{})
			w.broken("one", c.call, c.after, 1, faultproxy.Hold{Until: gone})
			d := w.open()
			end := w.begin(d, 20*time.Second, key("one"))
			until(t, "the call is held", func() bool {
				n := 0
				for _, e := range w.proxy.Log() {
					part := strings.Contains(e.RawQuery, "partNumber=")
					if strings.Contains(e.Path, "/one/") && e.Method == c.call.Method && strings.Contains(e.RawQuery, "uploadId=") && part == (c.after == 2) {
						n++
					}
				}
				return n > c.after && len(w.uploads()) == 1
			})
			for _, u := range w.uploads() {
				_, err := store.Client().AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{
					Bucket: aws.String(w.bucket), Key: u.Key, UploadId: u.UploadId,
				})
				if err != nil {
					t.Error(err)
				}
			}
			close(gone)
			end()
			w.archived(d, "one")
		})
	}
}

// TestBucketOutage lets a bucket refuse everything for a while.
func TestBucketOutage(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]faultproxy.Action{
		"403":          faultproxy.Reply{Status: 403, Code: "AccessDenied", ReadBody: true},
		"NoSuchBucket": faultproxy.Reply{Status: 404, Code: "NoSuchBucket", ReadBody: true},
		"quota":        faultproxy.Reply{Status: 507, Code: "QuotaExceeded", ReadBody: true},
		"silence":      faultproxy.DropBefore{},
	} {
		for _, when := range []string{"from the start", "after the first part", "after storing"} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				sink, logs := watched()
				o := worldOptions{vendor: quiet, sink: sink}
				if when == "after storing" {
					o.storage = "  verify: readback\n"
				}
				w := newWorld(t, o)
				w.recording("one", 6*mib)
				w.recording("two", mib)
				begin := make(chan struct{})
				switch when {
				case "after the first part":
					w.broken("one", isPart, 1, 1, faultproxy.Hold{Until: begin})
				case "after storing":
					w.broken("one", faultproxy.Rule{Method: "GET"}, 0, 1, faultproxy.Hold{Until: begin})
					w.broken("one", faultproxy.Rule{Method: "GET"}, 0, 1, faultproxy.Truncate{At: mib})
				}
				if when == "from the start" {
					close(begin)
				}
				// A quota keeps nobody from reading.
				refuse := func() (remove func()) {
					if name != "quota" {
						return w.everywhere(faultproxy.Rule{}, do)
					}
					put, post := w.everywhere(faultproxy.Rule{Method: "PUT"}, do), w.everywhere(faultproxy.Rule{Method: "POST"}, do)
					return func() { put(); post() }
				}
				var remove func()
				if when == "from the start" {
					remove = refuse()
				}
				d := w.open()
				end := w.begin(d, 20*time.Second, key("one"), key("two"))
				if remove == nil {
					until(t, "a call is held", func() bool {
						for _, e := range w.proxy.Log() {
							if strings.Contains(e.Path, "/one/") && !e.Forwarded {
								return true
							}
						}
						return false
					})
					remove = refuse()
					close(begin)
				}
				if name != "quota" || when != "after storing" { // a proof writes nothing
					until(t, "it is said loudly", func() bool {
						return logs.FilterMessage("bucket refuses us, its transfers pause; nothing is discarded").Len() > 0
					})
					until(t, "a few tries have failed", func() bool { return len(w.refusals()) > 3 })
				}
				for _, id := range []string{"one", "two"} {
					if r, err := d.Store().Get(t.Context(), key(id)); err == nil && r.Status == state.Quarantined {
						t.Errorf("%s is quarantined: %s", id, r.Detail)
					}
				}
				remove()
				sum := end()
				if len(sum.Attention) > 0 {
					t.Errorf("%+v", sum.Attention)
				}
				w.archived(d, "one", "two")
				if n := len(w.downloads("one")); when == "after storing" && n != 1 {
					t.Errorf("it was fetched %d times", n)
				}
			})
		}
	}
}

// refusals are the requests that the proxy did not let through.
func (w *world) refusals() []faultproxy.Entry {
	var out []faultproxy.Entry
	for _, e := range w.proxy.Log() {
		if !e.Forwarded && e.Err == "" {
			out = append(out, e)
		}
	}
	return out
}

// TestLostState deletes the state: what lies in the bucket is adopted, nothing
// is uploaded again, and a manifest keeps what only it knows.
func TestLostState(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]worldOptions{
		"full_object": {}, "readback": {storage: "  verify: readback\n"}, "cos": {cos: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			if o.cos {
				w.everywhere(faultproxy.Rule{}, faultproxy.StripChecksums{})
			}
			w.recording("one", mib, 11*mib, part)
			d := w.open()
			w.backfill(d, "one")
			w.archived(d, "one")
			before, manifests, _ := w.contents()
			n := w.puts("")
			if n != 1+1+1+3+1 { // two whole ones; create, three parts, complete
				t.Errorf("%d writes, want 7", n)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(w.dir, "state.db")); err != nil {
				t.Fatal(err)
			}
			d = w.open()
			w.backfill(d, "one")
			w.archived(d, "one")
			after, _, _ := w.contents()
			for i := range before {
				if after[i].ETag != before[i].ETag || !after[i].LastModified.Equal(before[i].LastModified) || after[i].Key != before[i].Key {
					t.Errorf("%s was replaced by %s", before[i].Key, after[i].Key)
				}
			}
			// A PutObject that is refused by If-None-Match is no write.
			if n := w.puts(""); n != 7 {
				t.Errorf("%d writes in all, want 7", n)
			}
			if got := w.object(manifests[0].Key); !strings.Contains(string(got), `"one"`) {
				t.Errorf("the manifest is %s", got)
			}
		})
	}
}

// TestForeignObject finds somebody else's objects at its keys.
func TestForeignObject(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string][]faultproxy.Action{
		"conditions hold":    nil,
		"conditions ignored": {faultproxy.IgnoreConditions{}},
		"nothing is proven":  {faultproxy.IgnoreConditions{}, faultproxy.StripChecksums{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldOptions{vendor: quiet})
			for _, a := range strip {
				w.everywhere(faultproxy.Rule{}, a)
			}
			w.recording("first", mib)
			d := w.open()
			w.backfill(d, "first")
			withID := strings.Contains(w.get(d, "first").Files[0].Key, "~")
			if withID != (strip != nil) {
				t.Logf("key %s", w.get(d, "first").Files[0].Key) // discovered before the probe
			}
			w.recording("small", mib)
			w.recording("large", 11*mib)
			foreign := map[string]string{}
			for _, id := range []string{"small", "large"} {
				k := "acme/2019/05/31/1866/" + id + "/1866_094309.mp4"
				foreign[k] = "somebody else's " + id
				w.plant(k, foreign[k])
			}
			w.backfill(d, "small", "large")
			for _, id := range []string{"small", "large"} {
				f := w.get(d, id).Files[0]
				if want := "acme/2019/05/31/1866/" + id + "/1866_094309~" + f.ID + ".mp4"; f.Key != want || f.Phase != state.Verified {
					t.Errorf("%s lies at %s (%s), want %s", id, f.Key, f.Phase, want)
				}
			}
			for k, want := range foreign {
				if got := w.object(k); string(got) != want {
					t.Errorf("%s was overwritten", k)
				}
				_, err := store.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(w.bucket), Key: aws.String(k)})
				if err != nil {
					t.Fatal(err)
				}
			}
			w.archived(d, "first", "small", "large")
		})
	}
}

// TestOccupiedTwice finds foreign objects at the second key too, where the
// store ignores conditions.
func TestOccupiedTwice(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string]faultproxy.Action{
		"conditions hold": faultproxy.Strip{}, "conditions ignored": faultproxy.IgnoreConditions{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newWorld(t, worldOptions{vendor: quiet})
			a.recording("large", 6*mib)
			a.recording("small", mib)
			da := a.open()
			a.backfill(da, "large", "small")
			w := newWorld(t, worldOptions{vendor: quiet})
			w.everywhere(faultproxy.Rule{}, strip)
			var foreign []string
			for _, id := range []string{"large", "small"} {
				base := "acme/2019/05/31/1866/" + id + "/1866_094309"
				w.recording(id, map[string]int64{"large": 6 * mib, "small": mib}[id])
				foreign = append(foreign, base+".mp4", base+"~"+a.get(da, id).Files[0].ID+".mp4")
			}
			for _, k := range foreign {
				w.plant(k, "foreign "+k)
			}
			d := w.open()
			w.backfill(d, "large", "small")
			for _, k := range foreign {
				if string(w.object(k)) != "foreign "+k {
					t.Errorf("%s was overwritten", k)
				}
				if _, err := store.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(w.bucket), Key: aws.String(k)}); err != nil {
					t.Fatal(err)
				}
			}
			w.archived(d, "large", "small")
		})
	}
}
