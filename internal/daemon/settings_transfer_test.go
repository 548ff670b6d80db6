package daemon_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// busy is a world with n recordings of one file, all listed, and one that is
// only ever polled.
func busy(t *testing.T, n int, size int64) *world {
	t.Helper()
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	w.recording("none")
	ids := []string{"none"}
	for i := range n {
		ids = append(ids, fmt.Sprint("busy-", i))
		w.recording(ids[i+1], size)
	}
	w.extra.tenantIDs = ids
	return w
}

// TestSettingConcurrency counts the files that are fetched at once.
func TestSettingConcurrency(t *testing.T) {
	w := busy(t, 6, 1000)
	release := w.hold(vendorsim.Download)
	d := w.with(keys{"transfer.concurrency": 3})
	w.runs(d)
	count := func() int { return w.vendor.Counts()[vendorsim.Download] }
	until(t, "three downloads", func() bool { return count() >= 3 })
	w.rounds("none", 2)
	if n := count(); n != 3 {
		t.Errorf("%d downloads at once, want 3", n)
	}
	release()
	for _, id := range w.extra.tenantIDs[1:] {
		w.becomes(d, id, state.Archived)
	}
}

// holdParts keeps the parts of uploads waiting, and returns how many there are.
func (w *world) holdParts() (held func() int, release func()) {
	open := make(chan struct{})
	release = func() { close(open) }
	parts := regexp.MustCompile(`\.mp4$`)
	w.proxy.Inject(faultproxy.Rule{Method: "PUT", Path: parts, Query: []string{"partNumber"}, Do: faultproxy.Hold{Until: open}})
	return func() int { return len(w.parts(parts)) }, release
}

// parts are the uploads of parts to these paths so far.
func (w *world) parts(path *regexp.Regexp) (out []faultproxy.Entry) {
	for _, e := range w.proxy.Log() {
		if e.Method == "PUT" && path.MatchString(e.Path) && strings.Contains(e.RawQuery, "partNumber=") {
			out = append(out, e)
		}
	}
	return out
}

// TestSettingStreams counts the parts of one file that are sent at once.
func TestSettingStreams(t *testing.T) {
	w := busy(t, 1, 6*part)
	held, release := w.holdParts()
	d := w.with(keys{"transfer.streams": 2})
	w.runs(d)
	until(t, "two parts", func() bool { return held() >= 2 })
	w.rounds("none", 2)
	if n := held(); n != 2 {
		t.Errorf("%d parts at once, want 2", n)
	}
	release()
	w.becomes(d, "busy-0", state.Archived)
}

// TestSettingPartSize looks at the parts on the wire.
func TestSettingPartSize(t *testing.T) {
	w := busy(t, 1, 15*mib)
	w.backfill(w.with(keys{"transfer.part_size": "7MiB"}), "busy-0")
	got := map[int64]int{}
	for _, e := range w.parts(regexp.MustCompile(`\.mp4$`)) {
		got[e.BytesIn]++
	}
	if len(got) != 2 || got[7*mib] != 2 || got[mib] != 1 {
		t.Errorf("parts by size: %v, want two of 7 MiB and one of 1 MiB", got)
	}
}

// TestSettingMemory fills all buffers there are.
func TestSettingMemory(t *testing.T) {
	w := busy(t, 6, 6*part)
	_, release := w.holdParts()
	d := w.with(keys{"transfer.memory": "20MiB", "transfer.concurrency": 6})
	w.runs(d)
	used := func() int64 {
		var s apitype.Stats
		ask(t, d, "/api/v1/stats", &s)
		return s.BufferBytes
	}
	until(t, "20 MiB in use", func() bool { return used() >= 4*part })
	w.rounds("none", 2)
	if n := used(); n != 4*part {
		t.Errorf("%d bytes of buffers, want %d", n, 4*part)
	}
	release()
	for _, id := range w.extra.tenantIDs[1:] {
		w.becomes(d, id, state.Archived)
	}
}

// TestSettingMaxAttempts gives up after so many.
func TestSettingMaxAttempts(t *testing.T) {
	w := busy(t, 1, 1000)
	w.vendor.Inject(vendorsim.Fault{Call: vendorsim.Download, Do: vendorsim.HTML{}})
	d := w.with(keys{"transfer.max_attempts": 2})
	w.run(d, 20*time.Second, key("busy-0"))
	if r := w.get(d, "busy-0"); r.Status != state.Quarantined || len(w.downloads("busy-0")) != 2 {
		t.Errorf("%s %s after %d attempts, want 2", r.Status, r.Reason, len(w.downloads("busy-0")))
	}
}

// TestSettingStallTimeout goes on where the body stopped coming, long before
// the default would: the run has a minute.
func TestSettingStallTimeout(t *testing.T) {
	w := settled(t, worldOptions{vendor: quiet})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // before the vendor waits for its handlers
	f := file("a.mp4", &stalling{Content: movie(t, "stall", 0, 7*mib), at: 6 * mib, until: release})
	if err := w.vendor.AddRecording(vendorsim.Recording{ID: "stall", Tenant: "acme", ConferenceKey: "1866", Files: []vendorsim.File{f}}); err != nil {
		t.Fatal(err)
	}
	d := w.with(keys{"transfer.stall_timeout": "1s"})
	w.backfill(d, "stall")
	w.archived(d, "stall")
}

// TestSettingBandwidth fetches what takes the better part of a minute at the
// timetable's 1 MiB/s, and no time when it is off, which comes soon.
func TestSettingBandwidth(t *testing.T) {
	w := busy(t, 1, 48*mib)
	now := w.now()
	d := w.with(keys{"transfer.bandwidth": fmt.Sprintf("%s,1MiB/s; %s,off", now.Format("15:04"), now.Add(3*time.Hour).Format("15:04"))})
	w.runs(d)
	until(t, "a first part", func() bool { return len(w.parts(regexp.MustCompile(`\.mp4$`))) > 0 })
	w.rounds("none", 2)
	if r := w.get(d, "busy-0"); r.Status != state.Archiving || r.Files[0].Phase != state.Transferring {
		t.Errorf("%s while there was a limit", r.Status)
	}
	w.advance(3 * time.Hour)
	until(t, "busy-0 verified", func() bool { return w.get(d, "busy-0").Files[0].Phase == state.Verified })
}
