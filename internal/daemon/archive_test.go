package daemon_test

import (
	"maps"
	"testing"
)

func TestArchive(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.recording("one", 64<<10)
	w.recording("many", 100, 5<<20, 5<<20+1, 13<<20)
	d := w.open()
	sum := w.backfill(d, "one", "many")
	if len(sum.Attention) > 0 || sum.Stuck {
		t.Errorf("%+v", sum)
	}
	w.archived(d, "one", "many")
	if k := w.get(d, "one").Files[0].Key; k != "acme/2019/05/31/1866/one/1866_094309.mp4" {
		t.Errorf("it lies at %s", k)
	}
	objects, manifests, _ := w.contents()
	if manifests[0].Key != "manifests/acme/many.json" || manifests[0].ContentType != "application/json" {
		t.Errorf("manifest %s of type %s", manifests[0].Key, manifests[0].ContentType)
	}
	want := map[string]string{
		"archiver-tenant": "acme", "archiver-record-id": "one", "archiver-conference-key": "1866",
		"archiver-start-time": "2019-05-31T01:43:09Z", "archiver-stop-time": "2019-05-31T01:43:23Z",
		"archiver-file-id": w.get(d, "one").Files[0].ID,
	}
	if o := objects[len(objects)-1]; o.ContentType != "video/mp4" || !maps.Equal(o.Metadata, want) {
		t.Errorf("%s is %s with %v", o.Key, o.ContentType, o.Metadata)
	}
	if n := w.vendor.Counts()["delRecordFile"]; n != 0 {
		t.Errorf("delRecordFile was called %d times", n)
	}
}
