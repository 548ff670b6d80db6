package sync_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// streams rebuilds the syncer to use that many. The vendor's store says no
// CRC-64 then: taking one costs much under the race detector.
func (w *world) streams(n int) {
	w.t.Helper()
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.CRCHeader{}})
	w.options.Streams = n
	var err error
	if w.Syncer, err = archivesync.New(*w.options); err != nil {
		w.t.Fatal(err)
	}
}

// bytes has a recording archived whose only file is n bytes that are no media.
func (w *world) bytes(id string, n int64) {
	w.t.Helper()
	at := time.Date(2019, 5, 31, 1, 43, 9, 0, time.UTC)
	err := w.vendor.AddRecording(vendorsim.Recording{ID: id, Tenant: "acme", ConferenceKey: "1866", EntID: 52, Files: []vendorsim.File{{
		Start: at, Stop: at.Add(14 * time.Second), Name: "talk.bin", Content: content.Generate(uint64(n), n),
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Track(w.t.Context(), []state.Key{key(id)}); err != nil {
		w.t.Fatal(err)
	}
	for range 2 { // discovered, then settled
		if _, err := w.poller.Ask(w.t.Context(), key(id)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.until(id+" is archived", func() bool { return w.get(id).Status == state.Archived })
}

// downloads are the requests for a recording's files.
func (w *world) downloads(id string) []vendorsim.Call {
	return slices.DeleteFunc(w.vendor.CallsOf(vendorsim.Download), func(c vendorsim.Call) bool { return c.RecordID != id })
}

// proven checks that the bucket's copy of the only file is the vendor's.
func (w *world) proven(id string) {
	w.t.Helper()
	truth, ok := w.vendor.Recording(id)
	if !ok {
		w.t.Fatalf("the vendor has no %s", id)
	}
	sum, err := truth.Files[0].SHA256()
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.get(id)
	if f := r.Files[0]; f.Sums.SHA256 != sum || f.Level != state.LevelFullObject {
		w.t.Errorf("%s: SHA-256 %s (%s), the vendor has %s", id, f.Sums.SHA256, f.Level, sum)
	}
	uploads, err := store.Client().ListMultipartUploads(w.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(w.bucket)})
	if err != nil || len(uploads.Uploads) != 0 {
		w.t.Errorf("%d uploads are left, %v", len(uploads.Uploads), err)
	}
}

// Every boundary of parts, in one stream and in several: each byte is fetched
// once, and a file that one answer brings has one request.
func TestBoundaries(t *testing.T) {
	t.Parallel()
	for _, streams := range []int{1, 4} {
		t.Run(fmt.Sprint(streams, " streams"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.streams(streams)
			for i, n := range []int64{0, 1, part - 1, part, part + 1, 2 * part, 2*part + 1, 4 * part, 4*part + 1, 9*part - 1, 9 * part} {
				id := fmt.Sprint("r", i)
				w.bytes(id, n)
				w.proven(id)
				var bytes int64
				for j, c := range w.downloads(id) {
					bytes += c.Bytes
					if j > 0 && c.Header.Get("If-Match") == "" {
						t.Errorf("%d bytes: range %s is not pinned", n, c.Range)
					}
				}
				want := 1
				if streams > 1 && n > 4*part {
					want = int((n + part - 1) / part)
				}
				if calls := len(w.downloads(id)); calls != want || bytes != n {
					t.Errorf("%d bytes: %d requests brought %d, want %d", n, calls, bytes, want)
				}
			}
		})
	}
}

// Ranges that fail, in every way, are fetched again; what was not lost is not.
func TestRangeFaults(t *testing.T) {
	t.Parallel()
	const n = 8*part + 12345
	for name, faults := range map[string][]vendorsim.Fault{
		"cut":        {{After: 2, Times: 3, Do: vendorsim.Truncate{At: part / 2}}},
		"reset":      {{After: 1, Times: 3, Do: vendorsim.Reset{}}},
		"503":        {{After: 1, Times: 4, Do: vendorsim.Status{Code: 503}}},
		"expired":    {{After: 3, Times: 2, Do: vendorsim.Status{Code: 403}}},
		"lying":      {{After: 2, Times: 1, Do: vendorsim.Truncate{At: part / 2, Lying: true}}},
		"first lost": {{Times: 1, Do: vendorsim.Truncate{At: part / 2}}},
		"modified":   {{Do: vendorsim.Validators{NoETag: true}}, {After: 2, Times: 1, Do: vendorsim.Truncate{At: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.streams(4)
			for _, f := range faults {
				f.Call = vendorsim.Download
				w.vendor.Inject(f)
			}
			w.archive("r", n)
			w.proven("r")
			if w.told.read > n+4*part {
				t.Errorf("%d bytes were read of %d", w.told.read, n)
			}
		})
	}
}

// A source that stops answering ranges is read in one stream, and so is one
// that never did or cannot be pinned.
func TestNoRanges(t *testing.T) {
	t.Parallel()
	weak := vendorsim.Validators{WeakETag: true, NoLastModified: true}
	for name, c := range map[string]struct {
		fault vendorsim.Fault
		calls int // 0: not looked at
	}{
		"never":  {vendorsim.Fault{Do: vendorsim.NoRanges{}}, 1},
		"later":  {vendorsim.Fault{After: 1, Do: vendorsim.NoRanges{}}, 0},
		"weak":   {vendorsim.Fault{Do: weak}, 2},
		"no tag": {vendorsim.Fault{Do: vendorsim.Validators{NoETag: true, NoLastModified: true}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.streams(4)
			c.fault.Call = vendorsim.Download
			w.vendor.Inject(c.fault)
			w.archive("r", 7*part)
			w.proven("r")
			calls := w.downloads("r")
			if c.calls > 0 && len(calls) != c.calls {
				t.Errorf("%d requests", len(calls))
			}
			if last := calls[len(calls)-1]; c.calls != 1 && last.Range != "" {
				t.Errorf("at last range %s", last.Range)
			}
		})
	}
}

// A part that the bucket refuses is sent again out of its buffer.
func TestPartSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.streams(4)
	w.proxy.Inject(faultproxy.Rule{
		Method: "PUT", Query: []string{"partNumber"}, Path: regexp.MustCompile(`/r/`), After: 2, Times: 5,
		Do: faultproxy.Reply{Status: 503, Code: "SlowDown", ReadBody: true},
	})
	w.archive("r", 8*part)
	w.proven("r")
	if w.told.read != 8*part {
		t.Errorf("%d bytes were read of %d", w.told.read, 8*part)
	}
}

// What is taken up behind a gap is read again, but not sent again.
func TestResumeBehindGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.streams(4)
	release := make(chan struct{})
	w.proxy.Inject(faultproxy.Rule{
		Method: "PUT", Query: []string{"partNumber"}, Path: regexp.MustCompile(`/r/`), After: 2, Times: 1, Do: faultproxy.Hold{Until: release},
	})
	w.recording("r", 8*part)
	take, stop := context.WithCancel(t.Context())
	work, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(take, work) }()
	ref := func() state.FileRef { return state.FileRef{Key: key("r"), FileID: w.get("r").Files[0].ID} }
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		parts, err := w.store.Parts(t.Context(), ref())
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) == 7 {
			tick.Stop()
			break
		}
	}
	stop()
	kill() // as a SIGKILL: the held part is not recorded
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(release)
	sent := func() (n int) {
		for _, e := range w.proxy.Log() {
			if e.Method == "PUT" && strings.Contains(e.RawQuery, "partNumber=") && strings.Contains(e.Path, "/r/") && e.UpstreamStatus == 200 {
				n++
			}
		}
		return n
	}
	before := sent()
	w.streams(4)
	w.until("r is archived", func() bool { return w.get("r").Status == state.Archived })
	w.proven("r")
	if n := sent() - before; n != 1 {
		t.Errorf("%d parts were sent again, want the one that was lost", n)
	}
}

// While their host does not answer, recordings wait and are not charged; when
// it does, all are archived.
func TestDeadHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revive := w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.Reset{}})
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprint("r", i))
		w.recording(ids[i], 4000)
	}
	w.until("all wait for the host", func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return !strings.Contains(w.get(id).Files[0].Error, "does not answer") })
	})
	charged := 0
	for _, id := range ids {
		charged += w.get(id).Files[0].Attempts
	}
	if charged > 3 {
		t.Errorf("%d attempts are charged", charged)
	}
	revive()
	w.until("all are archived", func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return w.get(id).Status != state.Archived })
	})
}
