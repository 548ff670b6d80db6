package daemon_test

import (
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
	if n := w.vendor.Counts()["delRecordFile"]; n != 0 {
		t.Errorf("delRecordFile was called %d times", n)
	}
}
