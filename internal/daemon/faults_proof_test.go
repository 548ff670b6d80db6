package daemon_test

import (
	"strings"
	"testing"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/state"
)

// TestLevels proves objects as well as each kind of store lets it.
func TestLevels(t *testing.T) {
	t.Parallel()
	strip := []faultproxy.Action{faultproxy.StripChecksums{}}
	for name, c := range map[string]struct {
		o            worldOptions
		rules        []faultproxy.Action
		whole, parts state.Level
		reads        int // whole objects read back
	}{
		"full":          {whole: state.LevelFullObject, parts: state.LevelFullObject},
		"full readback": {o: worldOptions{storage: "  verify: readback\n"}, whole: state.LevelFullObject, parts: state.LevelFullObject, reads: 2},
		"nothing":       {rules: strip, whole: state.LevelReadback, parts: state.LevelReadback, reads: 2},
		"parts": {
			rules: []faultproxy.Action{faultproxy.Strip{Response: []string{"X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Type"}}},
			whole: state.LevelReadback, parts: state.LevelParts, reads: 1,
		},
		"cos": {o: worldOptions{cos: true}, rules: strip, whole: state.LevelFullObject, parts: state.LevelFullObject},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.o)
			for _, a := range c.rules {
				w.everywhere(faultproxy.Rule{}, a)
			}
			w.recording("one", mib, 11*mib)
			d := w.open()
			w.backfill(d, "one")
			w.archived(d, "one")
			for i, want := range []state.Level{c.whole, c.parts} {
				if f := w.get(d, "one").Files[i]; f.Level != want || f.ReadbackAt.IsZero() != (want != state.LevelReadback && c.o.storage == "") {
					t.Errorf("%s: level %s, read back at %v; want %s", f.Filename, f.Level, f.ReadbackAt, want)
				}
			}
			reads := 0
			for _, e := range w.proxy.Log() {
				if e.Method == "GET" && strings.Contains(e.Path, "/one/") && e.UpstreamStatus == 200 {
					reads++
				}
			}
			if reads != c.reads {
				t.Errorf("%d objects were read back, want %d", reads, c.reads)
			}
		})
	}
}

// TestFlippedUnproven flips a byte on the way to a store that proves nothing:
// reading back finds it, and nothing is called verified.
func TestFlippedUnproven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.everywhere(faultproxy.Rule{}, faultproxy.StripChecksums{})
	w.broken("small", isPut, 0, 1, faultproxy.Corrupt{At: 1000})
	w.broken("large", isPart, 1, 1, faultproxy.Corrupt{At: 1000})
	w.recording("small", mib)
	w.recording("large", 11*mib)
	w.recording("fine", mib)
	d := w.open()
	w.backfill(d, "small", "large", "fine")
	for _, id := range []string{"small", "large"} {
		if r := w.get(d, id); r.Status != state.Quarantined || r.Reason != state.VerifyFailed {
			t.Errorf("%s is %s %s", id, r.Status, r.Reason)
		}
	}
	if r := w.get(d, "fine"); r.Status != state.Archived {
		t.Errorf("fine is %s", r.Status)
	}
	w.sound(d)
}
