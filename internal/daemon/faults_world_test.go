package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// TestVendorFaults breaks calls of the vendor's API.
func TestVendorFaults(t *testing.T) {
	t.Parallel()
	sink, logs := watched()
	w := newWorld(t, worldOptions{vendor: quiet, sink: sink, transfer: "  concurrency: 16\n"})
	small := []int64{mib}
	w.endure([]fate{
		{id: "fine", sizes: small},
		{id: "500", sizes: small, faults: []vendorsim.Fault{listing(0, 2, vendorsim.Status{Code: 500})}},
		{id: "envelope500", sizes: small, faults: []vendorsim.Fault{listing(0, 2, vendorsim.Envelope{Code: "500"})}},
		{id: "429", sizes: small, faults: []vendorsim.Fault{listing(0, 1, vendorsim.Status{Code: 429, RetryAfter: time.Second})}},
		{id: "html", sizes: small, faults: []vendorsim.Fault{listing(0, 1, vendorsim.HTML{})}},
		{id: "reset", sizes: small, faults: []vendorsim.Fault{listing(0, 1, vendorsim.Reset{})}},
		{id: "lost", sizes: small, faults: []vendorsim.Fault{listing(0, 1, vendorsim.Reset{AfterEffect: true})}},
		{id: "cut", sizes: small, faults: []vendorsim.Fault{listing(0, 1, vendorsim.Truncate{At: 100})}},
		{id: "commas", sizes: small, faults: []vendorsim.Fault{listing(0, 0, vendorsim.Style{TrailingCommas: true, NumericCode: true})}},
		{id: "members", sizes: small, faults: []vendorsim.Fault{listing(0, 0, vendorsim.ExtraMembers())}},
		// The link has expired, and the vendor's API fails when a fresh one is asked for.
		{id: "refresh-fails", sizes: []int64{7 * mib}, check: ranges(7 * mib), faults: []vendorsim.Fault{
			download(0, 1, vendorsim.Truncate{At: 6 * mib}), download(1, 1, vendorsim.Status{Code: 403}),
			listing(1, 2, vendorsim.Status{Code: 500}),
		}},
	})
	w.keptSecrets(logs)
}

// TestShortLinks lets links live for less than any margin, and one expire
// while the file is read.
func TestShortLinks(t *testing.T) {
	t.Parallel()
	var w *world
	var expire sync.Once
	w = newWorld(t, worldOptions{vendor: vendorsim.Options{NoCRC64: true, LinkTTL: 30 * time.Second, OnCall: func(c vendorsim.Call) {
		if c.Name == vendorsim.Download && c.RecordID == "one" {
			expire.Do(func() { w.advance(5 * time.Minute) }) // for us it has expired
		}
	}}})
	w.endure([]fate{{id: "one", sizes: []int64{7 * mib}, check: ranges(7 * mib), faults: []vendorsim.Fault{
		download(0, 1, vendorsim.Truncate{At: 6 * mib}),
	}}})
	if n := len(w.vendor.CallsOf("getRecords")); n < 3 {
		t.Errorf("the vendor was asked %d times for links that do not last", n)
	}
}

// TestSourceChanges replaces the file at the vendor while it is read: it is
// read again from the start, and never are two versions spliced.
func TestSourceChanges(t *testing.T) {
	t.Parallel()
	var w *world
	var change sync.Map
	w = newWorld(t, worldOptions{transfer: "  concurrency: 16\n", vendor: vendorsim.Options{NoCRC64: true, OnCall: func(c vendorsim.Call) {
		if c.Name != vendorsim.Download || !strings.HasPrefix(c.RecordID, "changes") {
			return
		}
		if _, done := change.LoadOrStore(c.RecordID, true); !done {
			w.vendor.ReplaceContent(c.RecordID, 0, content.Changed(movie(w.t, c.RecordID, 0, 7*mib), 4096))
		}
	}}})
	cut := download(0, 1, vendorsim.Truncate{At: 6 * mib})
	w.endure([]fate{
		{id: "changes", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{cut}},
		{id: "changes-modified", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{cut, download(0, 0, vendorsim.Validators{NoETag: true})}},
		{id: "changes-no-validators", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{
			cut, download(0, 0, vendorsim.Validators{NoETag: true, NoLastModified: true}),
		}},
		{id: "changes-no-ranges", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{cut, download(0, 0, vendorsim.NoRanges{})}},
	})
}

// TestTooLarge gives up what is larger than max_file_size.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet, transfer: "  max_file_size: 6MiB\n"})
	w.endure([]fate{
		{id: "declared", sizes: []int64{6*mib + 1}, reason: state.DownloadFailed, check: func(t *testing.T, w *world, r state.Recording) {
			t.Helper()
			if !strings.Contains(r.Detail, "max_file_size") || r.Files[0].Attempts > 1 {
				t.Errorf("%s after %d attempts", r.Detail, r.Files[0].Attempts)
			}
		}},
		{id: "undeclared", sizes: []int64{6*mib + 1}, reason: state.DownloadFailed, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.NoLength{}), listing(0, 0, vendorsim.WithoutMembers("fileSize")),
		}},
		{id: "largest", sizes: []int64{6 * mib}},
	})
}

// TestHosts holds redirects to download_hosts, and loopback to allow_loopback.
func TestHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet, tenant: "    download_hosts: [\"127.0.0.*\"]\n"})
	other := strings.Replace(w.vendor.DownloadURL(), "127.0.0.1", "localhost", 1)
	w.endure([]fate{
		{id: "listed", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 1, vendorsim.Redirect{})}},
		{id: "unlisted", sizes: []int64{mib}, reason: state.DownloadFailed, calls: 1, faults: []vendorsim.Fault{
			download(0, 1, vendorsim.Redirect{Base: other}),
		}},
	})
}

const otherKey = "the-other-tenants-key"

// second adds the tenant beta to the configuration.
func (w *world) second(lines string) {
	w.extra.tenant += fmt.Sprintf("  beta:\n    api_url: %s\n    auth: %s\n    api_rate: 10000\n%s", w.vendor.APIURL(), otherKey, lines)
}

func (w *world) recordingOf(tenant, id string, sizes ...int64) {
	w.t.Helper()
	r := vendorsim.Recording{ID: id, Tenant: tenant, ConferenceKey: "1866", EntID: 52}
	for i, n := range sizes {
		start := begun.Add(time.Duration(i) * time.Hour)
		r.Files = append(r.Files, vendorsim.File{Start: start, Stop: start.Add(14 * time.Second), Content: movie(w.t, id, i, n)})
	}
	if err := w.vendor.AddRecording(r); err != nil {
		w.t.Fatal(err)
	}
}

func twoTenants() vendorsim.Options {
	return vendorsim.Options{NoCRC64: true, Tenants: map[string]string{"acme": authKey, "beta": otherKey}}
}

// TestLoopbackRefused needs a tenant that has not been allowed loopback.
func TestLoopbackRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: twoTenants()})
	w.second("")
	w.recording("one", mib)
	w.recordingOf("beta", "two", mib)
	d := w.open()
	two := state.Key{Tenant: "beta", RecordID: "two"}
	w.run(d, 20*time.Second, key("one"), two)
	r, err := d.Store().Get(t.Context(), two)
	if err != nil || r.Status != state.Quarantined || r.Reason != state.DownloadFailed || !strings.Contains(r.Detail, "loopback") {
		t.Errorf("%s %s %s %v", r.Status, r.Reason, r.Detail, err)
	}
	if n := len(w.downloads("two")); n != 0 {
		t.Errorf("%d requests reached loopback", n)
	}
	w.archived(d, "one")
}

// TestTwoTenants shares a bucket between two tenants, one of which the vendor
// refuses for a while.
func TestTwoTenants(t *testing.T) {
	t.Parallel()
	sink, logs := watched()
	w := newWorld(t, worldOptions{vendor: twoTenants(), sink: sink})
	w.second("    allow_loopback: true\n")
	w.recording("one", mib, 6*mib)
	w.recordingOf("beta", "two", mib, 6*mib)
	remove := w.vendor.Inject(vendorsim.Fault{Call: "getRecords", Subject: "one", Do: vendorsim.Envelope{Code: "403"}})
	d := w.open()
	two := state.Key{Tenant: "beta", RecordID: "two"}
	end := w.begin(d, 30*time.Second, key("one"), two)
	until(t, "the other tenant is archived", func() bool {
		r, err := d.Store().Get(t.Context(), two)
		return err == nil && r.Status == state.Archived
	})
	until(t, "it is said once", func() bool {
		return logs.FilterMessage("tenant suspended: the vendor refuses its key").Len() == 1
	})
	if r := w.get(d, "one"); r.Status != state.Waiting {
		t.Errorf("one is %s", r.Status)
	}
	remove()
	if sum := end(); len(sum.Attention) > 0 {
		t.Errorf("%+v", sum.Attention)
	}
	objects, manifests, uploads := w.contents()
	if len(objects) != 4 || len(manifests) != 2 || len(uploads) != 0 {
		t.Errorf("%d objects, %d manifests, %d uploads", len(objects), len(manifests), len(uploads))
	}
	for _, k := range []state.Key{key("one"), two} {
		r, err := d.Store().Get(t.Context(), k)
		if err != nil || r.Status != state.Archived {
			t.Errorf("%s is %s %v", k, r.Status, err)
		}
		for _, f := range r.Files {
			if !strings.HasPrefix(f.Key, k.Tenant+"/") {
				t.Errorf("%s lies at %s", k, f.Key)
			}
		}
	}
	w.sound(d)
	w.keptSecrets(logs)
	for _, e := range logs.All() {
		if strings.Contains(e.Message+fmt.Sprint(e.ContextMap()), otherKey) {
			t.Errorf("%s tells the other tenant's key", e.Message)
		}
	}
}

// TestSharedKeys lets two tenants' files want the same key.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: twoTenants(), storage: "  key: \"{record_id}/{filename}\"\n"})
	w.second("    allow_loopback: true\n")
	w.recording("one", 6*mib)
	w.recordingOf("beta", "One", mib)
	w.recording("same", mib, mib)
	d := w.open()
	beta := state.Key{Tenant: "beta", RecordID: "One"}
	w.run(d, 20*time.Second, key("one"), beta, key("same"))
	objects, _, _ := w.contents()
	if len(objects) != 4 {
		t.Errorf("%d objects, want 4: %v", len(objects), objects)
	}
	w.sound(d)
}

// TestAdopted follows the document's sample, whose items carry recordIds that
// were not asked for; the one that only names others is redirected.
func TestAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("first", mib)
	w.recording("second", 6*mib)
	if err := w.vendor.AddRecording(vendorsim.Recording{ID: "asked", Tenant: "acme", ConferenceKey: "1866", Also: []string{"first", "second"}}); err != nil {
		t.Fatal(err)
	}
	d := w.open()
	sum := w.backfill(d, "asked")
	if r := w.get(d, "asked"); r.Status != state.Redirected || len(sum.Attention) > 0 {
		t.Errorf("asked is %s; %+v", r.Status, sum)
	}
	w.archived(d, "first", "second")
	if r := w.get(d, "first"); r.AdoptedFrom != "asked" {
		t.Errorf("adopted from %q", r.AdoptedFrom)
	}
}

// TestCarried archives items under ids that have no listing of their own.
func TestCarried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	f := file("a.mp4", movie(t, "x", 0, 7*mib))
	f.CarriedID = "carried"
	err := w.vendor.AddRecording(vendorsim.Recording{ID: "asked", Tenant: "acme", ConferenceKey: "1866", Files: []vendorsim.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Times: 1, Do: vendorsim.Truncate{At: 6 * mib}})
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, After: 1, Times: 1, Do: vendorsim.Status{Code: 403}})
	d := w.open()
	w.backfill(d, "asked")
	if r := w.get(d, "asked"); r.Status != state.Redirected {
		t.Errorf("asked is %s", r.Status)
	}
	if r := w.get(d, "carried"); r.Status != state.Archived || len(r.Files) != 1 {
		t.Errorf("carried is %s with %d files: %s", r.Status, len(r.Files), r.Files[0].Error)
	}
	w.sound(d)
}

// TestLateFile lists another file after the recording was archived.
func TestLateFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("one", mib)
	d := w.open()
	w.backfill(d, "one")
	w.archived(d, "one")
	late := begun.Add(2 * time.Hour)
	if err := w.vendor.AddFile("one", vendorsim.File{Start: late, Stop: late.Add(time.Minute), Content: movie(t, "late", 3, 6*mib)}); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour) // past the first recheck
	w.backfill(d, "one")
	w.backfill(d, "one")
	w.archived(d, "one")
	_, manifests, _ := w.contents()
	if got := string(w.object(manifests[0].Key)); strings.Count(got, `"file_id"`) != 2 {
		t.Errorf("the manifest lacks a file: %s", got)
	}
	moved := false
	events, err := d.Store().EventsOf(t.Context(), key("one"), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		moved = moved || e.From == string(state.Archived) && e.To == string(state.Archiving)
	}
	if !moved {
		t.Error("it never went back to archiving")
	}
}

// TestNeverReady keeps what has no file waiting, and lets the others go on.
func TestNeverReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("fine", mib)
	w.recording("none")
	f := file("a.mp4", movie(t, "later", 0, mib))
	f.ReadyAt = time.Now().Add(time.Hour)
	err := w.vendor.AddRecording(vendorsim.Recording{ID: "unfinished", Tenant: "acme", ConferenceKey: "1866", Files: []vendorsim.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	d := w.open()
	sum := w.run(d, 2*time.Second, key("fine"), key("none"), key("unfinished"))
	if sum.Stuck || len(sum.Attention) != 2 || sum.Recordings[state.Waiting] != 2 {
		t.Errorf("%+v", sum)
	}
	w.archived(d, "fine")
}

// TestManifestSurvivesLostState keeps files in the manifest that the vendor no
// longer lists when the state is lost.
func TestManifestSurvivesLostState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("one", mib, 2*mib)
	d := w.open()
	w.backfill(d, "one")
	w.archived(d, "one")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	w.vendor.RemoveFile("one", 0)
	d = w.open()
	w.backfill(d, "one")
	if r := w.get(d, "one"); r.Status != state.Archived || len(r.Files) != 1 {
		t.Errorf("one is %s with %d files", r.Status, len(r.Files))
	}
	objects, manifests, _ := w.contents()
	if got := string(w.object(manifests[0].Key)); len(objects) != 2 || strings.Count(got, `"file_id"`) != 2 {
		t.Errorf("%d objects, and the manifest is %s", len(objects), got)
	}
	// The next write, for a late file, keeps it too.
	if err := w.vendor.AddFile("one", file("late.mp4", movie(t, "one", 2, mib))); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	w.backfill(d, "one")
	if got := string(w.object(manifests[0].Key)); strings.Count(got, `"file_id"`) != 3 {
		t.Errorf("after a late file the manifest is %s", got)
	}
	w.sound(d)
}
