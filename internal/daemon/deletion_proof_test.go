package daemon_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// reads counts how often the bucket was asked for the bytes of id's objects.
func (tr *trial) reads(id string) int {
	n := 0
	for _, e := range tr.proxy.Log() {
		if e.Method == http.MethodGet && strings.Contains(e.Path, "/"+id+"/") && e.RawQuery != "" == strings.Contains(e.RawQuery, "x-id=GetObject") {
			n++
		}
	}
	return n
}

// rot inverts a byte of id's object behind the bucket's back: all that it says
// of the object stays as it was.
func (tr *trial) rot(id string) {
	tr.t.Helper()
	path := filepath.Join(store.DataDir(), tr.bucket, filepath.FromSlash(tr.rec(id).Files[0].Key))
	st, err := os.Stat(path)
	if err != nil {
		tr.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tr.t.Fatal(err)
	}
	var b [1]byte
	if _, err = f.ReadAt(b[:], 1000); err == nil {
		b[0] = ^b[0]
		_, err = f.WriteAt(b[:], 1000)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chtimes(path, st.ModTime(), st.ModTime())
	}
	if err != nil {
		tr.t.Fatal(err)
	}
}

// delete_source.require: readback reads what the bucket has, whatever the
// bucket says of it.
func TestDeletionRequiresReadback(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	for _, id := range []string{"good", "rotten", "unreadable"} {
		tr.recording(id, 4096)
	}
	tr.archive("good", "rotten", "unreadable")
	tr.rot("rotten")
	mend := tr.proxy.Inject(faultproxy.Rule{
		Method: http.MethodGet, Path: regexp.MustCompile("/unreadable/"), Do: faultproxy.Reply{Status: 403, Code: "AccessDenied"},
	})
	if n := tr.reads("good"); n != 0 {
		t.Fatalf("read %d times before", n)
	}
	tr.enable("require: readback")
	tr.until("tried", func() bool {
		return tr.deleted("good") && tr.rec("rotten").Deletion.Error != "" && tr.rec("unreadable").Deletion.Error != ""
	})
	w := tr.proven("good")
	if e := w.Evidence[0]; e.Level != state.LevelReadback || e.ReadbackAt.IsZero() || tr.reads("good") != 1 {
		t.Errorf("read %d times; the evidence is %+v", tr.reads("good"), e)
	}
	if e := tr.rec("rotten").Deletion.Error; !strings.Contains(e, "read back") {
		t.Errorf("rotten: %s", e)
	}
	tr.called("rotten", 0)
	tr.called("unreadable", 0)
	mend()
	tr.advance(31 * time.Second)
	tr.untilDeleted("unreadable")
	tr.called("rotten", 0)
	tr.sound(tr.d)
}

// A read-back is good for 24 h, and for the object that was read.
func TestReadbackGrowsOld(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{storage: "  verify: readback\n"})
	ids := []string{"fresh", "replaced", "contradicted", "old", "old-rotten"}
	for _, id := range ids {
		tr.recording(id, 4096)
	}
	tr.archive(ids...)
	for _, id := range ids {
		if n := tr.reads(id); n != 1 {
			t.Fatalf("%s was read back %d times", id, n)
		}
	}
	tr.enable("require: readback")
	for _, id := range ids[3:] {
		tr.update(id, state.Hold{On: true})
	}
	unreplace := tr.proxy.Inject(heads("replaced", faultproxy.SetHeader{Name: "ETag", Value: `"00000000000000000000000000000000"`}))
	agree := tr.proxy.Inject(heads("contradicted", faultproxy.SetHeader{Name: "X-Amz-Checksum-Crc64nvme", Value: "AAAAAAAAAAA="}))
	tr.until("tried", func() bool {
		return tr.deleted("fresh") && tr.rec("replaced").Deletion.Error != "" && tr.rec("contradicted").Deletion.Error != ""
	})
	tr.called("replaced", 0)
	tr.called("contradicted", 0)
	if n := tr.reads("fresh"); n != 1 {
		t.Errorf("a fresh read-back was repeated: %d", n)
	}
	unreplace()
	agree()
	tr.advanceAll(25 * time.Hour)
	tr.rot("old-rotten")
	for _, id := range ids[3:] {
		tr.update(id, state.Hold{})
	}
	tr.until("tried", func() bool {
		return tr.deleted("old") && tr.deleted("replaced") && tr.deleted("contradicted") && tr.rec("old-rotten").Deletion.Error != ""
	})
	if n := tr.reads("old"); n != 2 {
		t.Errorf("after 25 h it was read %d times in all", n)
	}
	tr.called("old-rotten", 0)
	for _, id := range ids[:4] {
		tr.proven(id)
	}
	tr.sound(tr.d)
}

// A store that proves nothing of a whole object is read back; one that has a
// CRC-64 of its own (COS) is believed as long as it says the same.
func TestDeletionByWhatTheStoreProves(t *testing.T) {
	t.Parallel()
	for _, cos := range []bool{false, true} {
		t.Run(map[bool]string{false: "nothing", true: "its own CRC-64"}[cos], func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, worldOptions{cos: cos})
			tr.proxy.Inject(faultproxy.Rule{Do: faultproxy.StripChecksums{}})
			tr.recording("small", 4096)
			tr.recording("large", 6<<20)
			tr.recording("bad", 4096)
			tr.archive("small", "large", "bad")
			want, why := state.LevelReadback, "is not the one that was verified"
			spoil := heads("bad", faultproxy.SetHeader{Name: "Last-Modified", Value: "Fri, 31 May 2019 01:43:09 GMT"})
			if cos {
				want, why = state.LevelFullObject, "is another one"
				spoil = heads("bad", faultproxy.SetHeader{Name: "X-Cos-Hash-Crc64ecma", Value: "1"})
			}
			mend := tr.proxy.Inject(spoil)
			tr.enable()
			tr.until("tried", func() bool {
				return tr.deleted("small") && tr.deleted("large") && tr.rec("bad").Deletion.Error != ""
			})
			for _, id := range []string{"small", "large"} {
				if w := tr.proven(id); len(w.Evidence) != 1 || w.Evidence[0].Level != want {
					t.Errorf("%s: %+v", id, w.Evidence)
				}
				if n := tr.reads(id); cos && n != 0 || !cos && n == 0 {
					t.Errorf("%s was read back %d times", id, n)
				}
			}
			if e := tr.rec("bad").Deletion.Error; !strings.Contains(e, why) {
				t.Errorf("bad: %s", e)
			}
			tr.called("bad", 0)
			mend()
			tr.advance(31 * time.Second)
			tr.untilDeleted("bad")
			tr.sound(tr.d)
		})
	}
}

// What somebody else put at the key, or took away, is no copy.
func TestDeletionAfterTampering(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	for _, id := range []string{"good", "overwritten", "removed"} {
		tr.recording(id, 4096)
	}
	tr.archive("good", "overwritten", "removed")
	c := store.Client()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &tr.bucket, Key: aws.String(tr.rec("overwritten").Files[0].Key), Body: strings.NewReader(strings.Repeat("x", 4096)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &tr.bucket, Key: aws.String(tr.rec("removed").Files[0].Key)}); err != nil {
		t.Fatal(err)
	}
	tr.enable()
	tr.until("tried", func() bool {
		return tr.deleted("good") && tr.rec("overwritten").Deletion.Error != "" && tr.rec("removed").Deletion.Error != ""
	})
	tr.called("good", 1)
	tr.called("overwritten", 0)
	tr.called("removed", 0)
	tr.sound(tr.d)
}

// Files keep their destination; one that is no longer configured proves
// nothing.
func TestDeletionNeedsTheDestination(t *testing.T) {
	t.Parallel()
	for _, require := range []string{"full_object", "readback"} {
		t.Run(require, func(t *testing.T) {
			t.Parallel()
			tr := newTrial(t, worldOptions{})
			tr.recording("r", 4096)
			tr.archive("r")
			first := tr.bucket
			tr.bucket = first + "-new"
			if _, err := store.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &tr.bucket}); err != nil {
				t.Fatal(err)
			}
			tr.enable("require: " + require)
			tr.refused("r", "destination_unconfigured")
			tr.called("r", 0)
			tr.bucket = first
			tr.enable("require: " + require)
			tr.advance(31 * time.Second)
			tr.untilDeleted("r")
			tr.proven("r")
			tr.sound(tr.d)
		})
	}
}

// changes are the ways in which a source can become another one after it was
// archived. The new one is archived beside the old one, and only that
// permits the deletion.
func TestDeletionWaitsForAChangedSource(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	download := func(id string, do vendorsim.Action) {
		tr.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: id, Do: do})
	}
	bare := map[string]vendorsim.Validators{
		"etag": {}, "dated": {NoETag: true}, "weak": {WeakETag: true}, "bare": {NoETag: true, NoLastModified: true},
	}
	var ids []string
	for name, v := range bare {
		for _, id := range []string{name, name + "-good"} {
			tr.recording(id, 4096)
			download(id, v)
			ids = append(ids, id)
		}
	}
	tr.recording("cut", 4096)
	download("cut", bare["bare"])
	tr.recording("unmeasured", 4096)
	tr.archive(append(ids, "cut", "unmeasured")...)
	for _, do := range []vendorsim.Action{vendorsim.NoLength{}, vendorsim.NoRanges{}, vendorsim.ChangedContent{From: 4000, KeepValidators: true}} {
		download("unmeasured", do)
	}
	for name := range bare {
		if !tr.vendor.ReplaceContent(name, 0, movie(t, name+"-new", 1, 4096)) {
			t.Fatal("no such file")
		}
	}
	mend := tr.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: "cut", Do: vendorsim.Truncate{At: 4000}})
	tr.enable()
	tr.untilDeleted(append(ids, "unmeasured")...)
	if w := tr.proven("unmeasured"); len(w.Evidence) != 1 || !strings.HasSuffix(w.Evidence[0].FileID, "-2") {
		t.Errorf("a source of unknown length was not read again: %+v", w.Evidence)
	}
	tr.called("cut", 0)
	if e := tr.rec("cut").Deletion.Error; !strings.Contains(e, "read the source again") {
		t.Errorf("cut: %s", e)
	}
	for name, v := range bare {
		reread := v.NoETag && v.NoLastModified
		if w := tr.proven(name + "-good"); w.Evidence[0].SourceReread != reread || len(tr.rec(name+"-good").Files) != 1 {
			t.Errorf("%s: %+v", name, w.Evidence)
		}
		tr.changed(name, reread)
	}
	mend()
	tr.advance(31 * time.Second)
	tr.untilDeleted("cut")
	tr.sound(tr.d)
}

// changed checks a recording whose only file changed after archiving: both
// versions lie in the bucket, and the warrant is about the second one.
func (tr *trial) changed(id string, reread bool) {
	tr.t.Helper()
	r := tr.rec(id)
	w := tr.proven(id)
	truth, _ := tr.vendor.Recording(id)
	sum, err := truth.Files[0].SHA256()
	if err != nil {
		tr.t.Fatal(err)
	}
	if len(r.Files) != 2 || len(w.Evidence) != 1 || w.Evidence[0].Sums.SHA256 != sum || w.Evidence[0].SourceReread != reread || !strings.HasSuffix(w.Evidence[0].FileID, "-2") {
		tr.t.Errorf("%s: files %+v, evidence %+v", id, r.Files, w.Evidence)
		return
	}
	old, _ := r.File(state.Identity(w.Evidence[0].FileID))
	c, err := s3server.Truth(tr.t.Context(), store.Client(), tr.bucket)
	if err != nil {
		tr.t.Fatal(err)
	}
	found := 0
	for _, o := range c.Objects {
		if o.Key == old.Key && o.SHA256 == old.Sums.SHA256 && old.Superseded || o.Key == w.Evidence[0].Key && o.SHA256 == sum {
			found++
		}
	}
	if found != 2 || old.Key == w.Evidence[0].Key {
		tr.t.Errorf("%s: %d of both versions lie in the bucket, at %s and %s", id, found, old.Key, w.Evidence[0].Key)
	}
	tr.called(id, 1)
}

// A file that appears after archiving is archived before anything is deleted.
func TestDeletionWaitsForALateFile(t *testing.T) {
	t.Parallel()
	tr := newTrial(t, worldOptions{})
	tr.recording("r", 4096)
	tr.pair("both")
	tr.archive("r", "both", "both-s")
	late := vendorsim.File{Start: begun.Add(5 * time.Hour), Stop: begun.Add(6 * time.Hour), Content: movie(t, "late", 1, 5000)}
	for _, id := range []string{"r", "both-s"} {
		if err := tr.vendor.AddFile(id, late); err != nil {
			t.Fatal(err)
		}
	}
	full := make(chan struct{})
	for _, id := range []string{"r", "both-s"} {
		tr.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Subject: id, File: "1866_144309.mp4", Do: vendorsim.Hold{Until: full}})
	}
	tr.enable()
	tr.run(func() {
		tr.wait("the late files are found", func() bool {
			return tr.rec("r").Status == state.Archiving && tr.rec("both-s").Status == state.Archiving && tr.rec("both").Deletion.Error != ""
		})
		tr.called("", 0)
		close(full)
		tr.wait("the late files archived", func() bool {
			return tr.deleted("r") && tr.rec("both-s").AllVerified() && !tr.rec("both-s").Manifest.Due
		})
	})
	tr.advance(2 * time.Minute)
	tr.untilDeleted("r", "both", "both-s")
	if w := tr.proven("r"); len(w.Evidence) != 2 {
		t.Errorf("evidence of %d files", len(w.Evidence))
	}
	tr.proven("both")
	tr.proven("both-s")
	tr.sound(tr.d)
}
