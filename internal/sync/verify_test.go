package sync_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// outcome is what a Verified comes down to.
type outcome struct {
	Result   string
	Level    state.Level
	Readback bool
}

func (w *world) verify(id string, deep bool, want ...outcome) []archivesync.Verified {
	w.t.Helper()
	got, err := w.Verify(w.t.Context(), key(id), deep)
	if err != nil {
		w.t.Fatal(err)
	}
	var short []outcome
	for _, v := range got {
		short = append(short, outcome{v.Result, v.Level, v.Readback})
		if (v.Err == nil) != (v.Result == archivesync.ResultOK) {
			w.t.Errorf("%s with error %v", v.Result, v.Err)
		}
	}
	if diff := cmp.Diff(want, short); diff != "" {
		w.t.Errorf("verify %s: %s", id, diff)
	}
	return got
}

// overwrite puts other bytes of the same length where a file lies.
func (w *world) overwrite(f state.File) {
	w.t.Helper()
	_, err := store.Client().PutObject(w.t.Context(), &s3.PutObjectInput{
		Bucket: &w.bucket, Key: aws.String(f.Key), Body: strings.NewReader(strings.Repeat("x", int(f.Size))),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(f state.File) {
	w.t.Helper()
	if _, err := store.Client().DeleteObject(w.t.Context(), &s3.DeleteObjectInput{Bucket: &w.bucket, Key: aws.String(f.Key)}); err != nil {
		w.t.Fatal(err)
	}
}

var (
	ok       = outcome{archivesync.ResultOK, state.LevelFullObject, false}
	okDeep   = outcome{archivesync.ResultOK, state.LevelFullObject, true}
	mismatch = outcome{Result: archivesync.ResultMismatch}
	unknown  = outcome{Result: archivesync.ResultFailed}
)

// What lies there is proven, and a read-back is remembered.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.archive("r", 2*part+5, 4000)
	w.verify("r", false, ok, ok)
	if diff := cmp.Diff(before, w.get("r")); diff != "" {
		t.Errorf("a proof that brings nothing new changed the state: %s", diff)
	}
	w.verify("r", true, okDeep, okDeep)
	r := w.get("r")
	for _, f := range r.Files {
		if f.ReadbackAt.IsZero() {
			t.Errorf("the read-back of %s is not remembered", f.ID)
		}
	}
	if r.Status != state.Archived || r.Manifest.Due {
		t.Errorf("it is %s, its manifest due: %v", r.Status, r.Manifest.Due)
	}
	if diff := cmp.Diff(map[string]int{"full_object ok": 6}, w.told.verified); diff != "" {
		t.Error(diff)
	}
}

// A store repeats the checksum that it was given, also of bytes that have
// rotted: once that was seen, the object is not taken for the file again.
func TestVerifyFindsRot(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{4000, 12 << 20} { // one PutObject; parts
		w := newWorld(t)
		r := w.archive("r", size)
		key := r.Files[0].Key
		f, err := os.OpenFile(filepath.Join(store.DataDir(), w.bucket, key), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("rotten"), size/2); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		w.verify("r", false, ok) // nobody can see it without reading
		w.verify("r", true, mismatch)
		w.update("r", state.Retry{})
		w.until("it is archived again", func() bool { return w.get("r").Status == state.Archived })
		again := w.get("r").Files[0]
		if again.Key == key || again.Spoiled {
			t.Errorf("%d bytes: the rotten object was taken for the file again: %+v", size, again)
		}
		w.verify("r", true, okDeep)
	}
}

// A wrong object is said aloud, left alone, and fetched anew beside itself.
func TestVerifyFindsAnotherObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.archive("r", 4000, 5000)
	w.overwrite(r.Files[0])
	w.verify("r", false, mismatch, ok)
	r = w.get("r")
	if r.Status != state.Quarantined || r.Reason != state.VerifyFailed || r.Files[0].Phase != state.FileQuarantined || r.Files[1].Phase != state.Verified {
		t.Errorf("it is %s (%s): %+v", r.Status, r.Reason, r.Files)
	}
	key := r.Files[0].Key
	w.update("r", state.Retry{})
	w.until("it is archived again", func() bool { return w.get("r").Status == state.Archived })
	again := w.get("r").Files[0]
	if again.Key == key || again.Phase != state.Verified {
		t.Errorf("it lies at %s and is %s", again.Key, again.Phase)
	}
	w.verify("r", true, okDeep, okDeep)
	there, err := store.Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &w.bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(there.Body); err != nil || strings.Trim(string(b), "x") != "" {
		t.Errorf("the wrong object was changed: %v", err)
	}
}

// Only a deep look reads; a bucket that breaks off in it has proven nothing,
// and is blamed for nothing.
func TestVerifyDeepReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive("r", 4000)
	w.proxy.Inject(faultproxy.Rule{Method: "GET", Path: regexp.MustCompile(`/r/`), Do: faultproxy.Truncate{At: 100}})
	w.verify("r", false, ok)
	w.verify("r", true, unknown)
	if s := w.get("r").Status; s != state.Archived {
		t.Errorf("because the bucket broke off it is %s", s)
	}
}

// A missing object is a mismatch; a bucket that is not there is none.
func TestVerifyMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.archive("r", 4000)
	w.remove(r.Files[0])
	remove := w.proxy.Inject(faultproxy.Rule{Path: regexp.MustCompile(`^/[^/]*/?$`), Do: faultproxy.Reply{Status: 404, Code: "NoSuchBucket"}})
	w.verify("r", false, unknown)
	if s := w.get("r").Status; s != state.Archived {
		t.Errorf("because its bucket is not there it is %s", s)
	}
	remove()
	w.verify("r", false, mismatch)
	if s := w.get("r").Status; s != state.Quarantined {
		t.Errorf("it is %s", s)
	}
	w.verify("r", false, mismatch) // told again, though it is set aside // nothing of it is archived now
	if _, err := w.Verify(t.Context(), key("nobody"), false); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("an unknown recording: %v", err)
	}
}

// Once the source is gone nothing is quarantined: nobody could fetch it anew.
func TestVerifyAfterDeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deletes.Store(true)
	w.recording("r", 4000)
	w.until("its source is deleted", func() bool { return w.get("r").Status == state.SourceDeleted })
	w.verify("r", true, okDeep)
	w.overwrite(w.get("r").Files[0])
	w.verify("r", false, mismatch)
	if r := w.get("r"); r.Status != state.SourceDeleted || r.Files[0].Phase != state.Verified {
		t.Errorf("it is %s, its file %s", r.Status, r.Files[0].Phase)
	}
}

// A superseded file lies in the bucket too; one that is wrong is no reason to
// fetch anything.
func TestVerifySuperseded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.archive("r", 4000).Files[0]
	w.update("r", state.Supersede{FileID: f.ID})
	w.verify("r", false, ok)
	w.overwrite(f)
	w.verify("r", false, mismatch)
	if r := w.get("r"); r.Files[0].Phase != state.Verified {
		t.Errorf("the superseded file is %s", r.Files[0].Phase)
	}
}

// A bucket that no longer proves what it did is read, and the level that was
// reached stays: a person has to look before the source is deleted.
func TestVerifyWithoutChecksums(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive("r", 2*part+5)
	w.proxy.Inject(faultproxy.Rule{Method: "HEAD", Do: faultproxy.StripChecksums{}})
	w.verify("r", false, outcome{archivesync.ResultOK, state.LevelReadback, true})
	if f := w.get("r").Files[0]; f.Level != state.LevelFullObject || !f.ReadbackAt.IsZero() {
		t.Errorf("it is %s now, read back at %s", f.Level, f.ReadbackAt)
	}
}

// Where only the parts were proven, that counts for that very object alone.
func TestVerifyParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive("r", 2*part+5)
	w.proxy.Inject(faultproxy.Rule{Method: "HEAD", Do: faultproxy.StripChecksums{}})
	f := w.get("r").Files[0]
	w.update("r", state.Verify{FileID: f.ID, Level: state.LevelParts, Object: f.Object})
	w.verify("r", false, outcome{archivesync.ResultOK, state.LevelParts, false})
	f.Object.ETag = `"another"`
	w.update("r", state.Verify{FileID: f.ID, Level: state.LevelParts, Object: f.Object})
	w.verify("r", false, outcome{archivesync.ResultOK, state.LevelReadback, true})
	if f := w.get("r").Files[0]; f.Level != state.LevelReadback || f.ReadbackAt.IsZero() {
		t.Errorf("it is %s now, read back at %s", f.Level, f.ReadbackAt)
	}
}

// elsewhere is a syncer that does not know the bucket any more.
func (w *world) elsewhere() *archivesync.Syncer {
	w.t.Helper()
	o := *w.options
	o.Destinations, o.Tenants = nil, nil
	s, err := archivesync.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestUnconfiguredDestination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.archive("r", 4000).Files[0]
	w.Syncer = w.elsewhere()
	got := w.verify("r", false, unknown)
	if !strings.Contains(got[0].Err.Error(), "destination_unconfigured") {
		t.Error(got[0].Err)
	}
	if s := w.get("r").Status; s != state.Archived {
		t.Errorf("it is %s", s)
	}
	_, _, err := w.Open(t.Context(), state.FileRef{Key: key("r"), FileID: f.ID}, 0)
	if fault.KindOf(err) != fault.Forbidden || !strings.Contains(err.Error(), "destination_unconfigured") {
		t.Errorf("open: %v", err)
	}
}

// A read-back of any length ends with its context, and changes nothing.
func TestVerifyIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archive("r", 4000)
	ctx, cut := context.WithCancel(t.Context())
	hold := make(chan struct{})
	defer close(hold)
	w.proxy.Inject(faultproxy.Rule{Method: "GET", Path: regexp.MustCompile(`/r/`), Do: faultproxy.Hold{Until: hold}})
	ended := make(chan error, 1)
	go func() {
		_, err := w.Verify(ctx, key("r"), true)
		ended <- err
	}()
	cut()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := w.get("r").Status; s != state.Archived {
		t.Errorf("it is %s", s)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.archive("r", 4000).Files[0]
	ref := state.FileRef{Key: key("r"), FileID: f.ID}
	truth, _ := w.vendor.Recording("r")
	want := make([]byte, 4000)
	if _, err := truth.Files[0].Content.ReadAt(want, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 1, 3999} {
		body, got, err := w.Open(t.Context(), ref, off)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil || string(b) != string(want[off:]) || got.Sums != f.Sums {
			t.Errorf("from %d: %d bytes of %+v, %v", off, len(b), got, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, r := range []state.FileRef{{Key: key("r"), FileID: "x"}, {Key: key("x"), FileID: f.ID}} {
		if _, _, err := w.Open(t.Context(), r, 0); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: %v", r, err)
		}
	}
	w.overwrite(f)
	if _, _, err := w.Open(t.Context(), ref, 0); fault.KindOf(err) != fault.Changed {
		t.Errorf("another object: %v", err)
	}
	w.remove(f)
	if _, _, err := w.Open(t.Context(), ref, 0); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no object: %v", err)
	}
}
