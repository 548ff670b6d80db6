package daemon_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

func download(after, times int, do vendorsim.Action) vendorsim.Fault {
	return vendorsim.Fault{Call: vendorsim.Download, After: after, Times: times, Do: do}
}

func listing(after, times int, do vendorsim.Action) vendorsim.Fault {
	return vendorsim.Fault{Call: "getRecords", After: after, Times: times, Do: do}
}

// ranges checks that a file of n bytes was read on where it broke off: no byte
// came twice, but for what was on its way within one part.
func ranges(n int64) func(*testing.T, *world, state.Recording) {
	return func(t *testing.T, w *world, r state.Recording) {
		t.Helper()
		if got := w.fetched(r.RecordID); got > n+part {
			t.Errorf("%d bytes were fetched of a file of %d", got, n)
		}
		resumed := false
		for _, c := range w.downloads(r.RecordID) {
			resumed = resumed || strings.HasPrefix(c.Range, "bytes=") && c.Range != "bytes=0-"
			if c.Range != "" && c.Header.Get("If-Match") == "" && c.Header.Get("If-Unmodified-Since") == "" {
				t.Errorf("range %s is not pinned", c.Range)
			}
			if c.Header.Get("Accept-Encoding") != "identity" || c.Method != "GET" || c.HasAuth {
				t.Errorf("%s %s with Accept-Encoding %q, auth %v", c.Method, c.Path, c.Header.Get("Accept-Encoding"), c.HasAuth)
			}
		}
		if !resumed {
			t.Error("it was never read on")
		}
	}
}

// oneStream checks that no range was asked for.
func oneStream(t *testing.T, w *world, r state.Recording) {
	t.Helper()
	for _, c := range w.downloads(r.RecordID) {
		if c.Range != "" {
			t.Errorf("range %s of a source that cannot be pinned", c.Range)
		}
	}
}

// TestSourceFaults breaks downloads in every way that a network can.
func TestSourceFaults(t *testing.T) {
	t.Parallel()
	sink, logs := watched()
	w := newWorld(t, worldOptions{vendor: quiet, sink: sink, transfer: "  concurrency: 16\n"})
	cut := vendorsim.Truncate{At: 6 * mib}
	w.endure([]fate{
		{id: "expired", sizes: []int64{7 * mib}, check: ranges(7 * mib), calls: 3, faults: []vendorsim.Fault{
			download(0, 1, cut), download(1, 1, vendorsim.Status{Code: 403}),
		}},
		{id: "gone410", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 1, vendorsim.Status{Code: 410})}},
		{id: "unauthorized401", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 1, vendorsim.Status{Code: 401})}},
		{id: "always403", sizes: []int64{mib}, reason: state.DownloadFailed, faults: []vendorsim.Fault{download(0, 0, vendorsim.Status{Code: 403})}},
		{id: "cut-often", sizes: []int64{17 * mib}, check: ranges(17 * mib), calls: 4, faults: []vendorsim.Fault{
			download(0, 3, vendorsim.Truncate{At: 5*mib + 1}),
		}},
		{id: "cut-to-nothing", sizes: []int64{6 * mib}, faults: []vendorsim.Fault{download(0, 2, vendorsim.Truncate{At: 0})}},
		{id: "cut-lying", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{download(0, 1, vendorsim.Truncate{At: 6 * mib, Lying: true})}},
		{id: "cut-lying-range", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{
			download(0, 1, cut), download(1, 1, vendorsim.Truncate{At: mib, Lying: true}),
		}},
		{id: "reset", sizes: []int64{mib}, calls: 2, faults: []vendorsim.Fault{download(0, 1, vendorsim.Reset{})}},
		{id: "reset-mid", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{
			download(0, 1, vendorsim.Truncate{At: 6 * mib, Reset: true}),
		}},
		{id: "hang", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 1, vendorsim.Hang{})}},
		{id: "error500", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 2, vendorsim.Status{Code: 500})}},
		{id: "error503", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 2, vendorsim.Status{Code: 503, RetryAfter: time.Second})}},
		{id: "error404", sizes: []int64{mib}, reason: state.DownloadFailed, faults: []vendorsim.Fault{download(0, 0, vendorsim.Status{Code: 404})}},
		{id: "no-ranges", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.NoRanges{}), download(0, 1, cut),
		}},
		{id: "weak-etag", sizes: []int64{7 * mib}, check: oneStream, calls: 2, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.Validators{WeakETag: true, NoLastModified: true}), download(0, 1, cut),
		}},
		{id: "no-validators", sizes: []int64{7 * mib}, check: oneStream, calls: 2, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.Validators{NoETag: true, NoLastModified: true}), download(0, 1, cut),
		}},
		{id: "only-modified", sizes: []int64{7 * mib}, check: ranges(7 * mib), calls: 2, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.Validators{NoETag: true}), download(0, 1, cut),
		}},
		{id: "redirect", sizes: []int64{mib}, calls: 2, faults: []vendorsim.Fault{download(0, 1, vendorsim.Redirect{})}},
		{id: "redirect-metadata", sizes: []int64{mib}, reason: state.DownloadFailed, calls: 1, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.Redirect{Base: "http://169.254.169.254"}),
		}},
		{id: "redirect-file", sizes: []int64{mib}, reason: state.DownloadFailed, calls: 1, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.Redirect{Base: "file:///etc/passwd"}),
		}},
		{id: "excess", sizes: []int64{mib}, faults: []vendorsim.Fault{download(0, 0, vendorsim.Excess{Bytes: 1000})}},
		{id: "excess-range", sizes: []int64{7 * mib}, faults: []vendorsim.Fault{
			download(0, 1, cut), download(1, 1, vendorsim.Excess{Bytes: 1000}),
		}},
	})
	w.keptSecrets(logs)
}

// TestSourceLoops is apart because giving up takes its time.
func TestSourceLoops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet, transfer: "  concurrency: 16\n"})
	w.endure([]fate{
		{id: "loop", sizes: []int64{mib}, reason: state.DownloadFailed, faults: []vendorsim.Fault{download(0, 0, vendorsim.Redirect{})}},
		{id: "always500", sizes: []int64{mib}, reason: state.DownloadFailed, faults: []vendorsim.Fault{download(0, 0, vendorsim.Status{Code: 500})}},
		{id: "fine", sizes: []int64{mib}},
	})
}

// whole checks that the first file was fetched so many times from end to end.
func whole(times int64) func(*testing.T, *world, state.Recording) {
	return func(t *testing.T, w *world, r state.Recording) {
		t.Helper()
		if got, want := w.fetched(r.RecordID), times*r.Files[0].DeclaredSize; got != want {
			t.Errorf("%d bytes were fetched, want %d times %d", got, times, r.Files[0].DeclaredSize)
		}
	}
}

// TestContentFaults sends what is not what it should be.
func TestContentFaults(t *testing.T) {
	t.Parallel()
	sink, logs := watched()
	w := newWorld(t, worldOptions{vendor: quiet, sink: sink, transfer: "  concurrency: 16\n"})
	evidence := func(want string) func(*testing.T, *world, state.Recording) {
		return func(t *testing.T, _ *world, r state.Recording) {
			t.Helper()
			if !strings.Contains(r.Detail, want) {
				t.Errorf("detail %q lacks %q", r.Detail, want)
			}
		}
	}
	unlisted := listing(0, 0, vendorsim.WithoutMembers("fileSize"))
	w.endure([]fate{
		{id: "html-once", sizes: []int64{6 * mib}, faults: []vendorsim.Fault{download(0, 1, vendorsim.HTML{})}},
		{id: "html-once-unlisted", sizes: []int64{6 * mib}, calls: 2, faults: []vendorsim.Fault{unlisted, download(0, 1, vendorsim.HTML{})}},
		{
			id: "html-always", sizes: []int64{mib}, reason: state.BadContent, check: evidence("Please sign in"),
			faults: []vendorsim.Fault{download(0, 0, vendorsim.HTML{})},
		},
		{
			id: "html-always-unlisted", sizes: []int64{mib}, reason: state.BadContent, check: evidence("Please sign in"), calls: 4,
			faults: []vendorsim.Fault{unlisted, download(0, 0, vendorsim.HTML{})},
		},
		{id: "html-by-name", files: []vendorsim.File{file("minutes.html", content.Bytes([]byte("<!DOCTYPE html><p>minutes")))}, calls: 1},
		{id: "json", files: []vendorsim.File{file("a.mp4", content.Bytes([]byte(`{"code":"403"}`)))}, reason: state.BadContent},
		{id: "xml", files: []vendorsim.File{file("a.mp3", content.Bytes([]byte("\n<?xml version='1.0'?><Error/>")))}, reason: state.BadContent},
		{id: "size-wrong-once", sizes: []int64{6 * mib}, faults: []vendorsim.Fault{listing(0, 1, vendorsim.WrongFileSize(5))}},
		{id: "size-wrong", sizes: []int64{6 * mib}, marks: "size_mismatch", faults: []vendorsim.Fault{listing(0, 0, vendorsim.WrongFileSize(5))}},
		{id: "size-double", sizes: []int64{mib}, faults: []vendorsim.Fault{listing(0, 0, vendorsim.WrongFileSize("1.048576E6"))}},
		{id: "no-length", sizes: []int64{7 * mib}, marks: "length_unproven", faults: []vendorsim.Fault{unlisted, download(0, 0, vendorsim.NoLength{})}},
		{id: "no-length-small", sizes: []int64{mib}, marks: "length_unproven", faults: []vendorsim.Fault{unlisted, download(0, 0, vendorsim.NoLength{})}},
		{id: "no-length-part", sizes: []int64{part}, marks: "length_unproven", faults: []vendorsim.Fault{unlisted, download(0, 0, vendorsim.NoLength{})}},
		{id: "unlisted", sizes: []int64{mib}, faults: []vendorsim.Fault{unlisted}},
		{id: "chunked", sizes: []int64{7 * mib}, calls: 1, faults: []vendorsim.Fault{download(0, 0, vendorsim.NoLength{})}},
		{id: "chunked-cut", sizes: []int64{7 * mib}, calls: 2, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.NoLength{}), download(0, 1, vendorsim.Truncate{At: 6 * mib}),
		}},
		{id: "moov-once", sizes: []int64{6 * mib}, calls: 2, faults: []vendorsim.Fault{download(0, 1, vendorsim.MissingMoov{})}},
		{id: "moov-never", files: []vendorsim.File{file("a.mp4", cutMovie(t, 6*mib))}, marks: "content_suspect", calls: 2, check: whole(2)},
		{id: "moov-never-small", files: []vendorsim.File{file("a.mp4", cutMovie(t, 1000))}, marks: "content_suspect", calls: 2},
		{id: "no-mp4", files: []vendorsim.File{file("a.mp4", content.Generate(9, 6*mib))}, marks: "content_suspect", calls: 2},
		{id: "empty", files: []vendorsim.File{file("notes.txt", content.Bytes(nil))}},
		{id: "empty-mp4", files: []vendorsim.File{file("a.mp4", content.Bytes(nil))}, marks: "content_suspect"},
	})
	w.keptSecrets(logs)
}

// TestSourceCRC holds what was read against the CRC-64 of the vendor's store.
func TestSourceCRC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.broken("crc-after-refusal", isPart, 0, 3, faultproxy.Reply{Status: 400, Code: "BadDigest"})
	w.endure([]fate{
		{id: "crc-right", sizes: []int64{mib, 6 * mib}},
		{id: "crc-wrong", sizes: []int64{mib}, reason: state.BadContent, calls: 4, faults: []vendorsim.Fault{download(0, 0, vendorsim.CRCHeader{Value: "1"})}},
		{id: "crc-wrong-parts", sizes: []int64{6 * mib}, reason: state.BadContent, calls: 4, check: whole(4), faults: []vendorsim.Fault{
			download(0, 0, vendorsim.CRCHeader{Value: "1"}),
		}},
		{id: "crc-wrong-once", sizes: []int64{mib}, calls: 2, faults: []vendorsim.Fault{download(0, 1, vendorsim.CRCHeader{Value: "1"})}},
		{id: "crc-wrong-once-parts", sizes: []int64{6 * mib}, calls: 2, faults: []vendorsim.Fault{download(0, 1, vendorsim.CRCHeader{Value: "1"})}},
		{id: "crc-none", sizes: []int64{6 * mib}, calls: 1, faults: []vendorsim.Fault{download(0, 0, vendorsim.CRCHeader{})}},
		// No part was ever recorded, so everything is read again: what the
		// vendor's store says of it still counts.
		{id: "crc-after-refusal", sizes: []int64{6 * mib}, reason: state.BadContent, faults: []vendorsim.Fault{
			download(0, 0, vendorsim.CRCHeader{Value: "1"}),
		}},
	})
}

// TestSizes puts files on the boundaries of parts.
func TestSizes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	var fates []fate
	for _, s := range []struct {
		id string
		n  int64
	}{{"one", 1}, {"two", 2}, {"part-less-1", part - 1}, {"part", part}, {"part-1", part + 1}, {"parts-less-1", 2*part - 1}, {"parts", 2 * part}, {"parts-1", 2*part + 1}} {
		fates = append(fates, fate{id: s.id, calls: 1, files: []vendorsim.File{file("talk.bin", content.Generate(uint64(s.n), s.n))}})
	}
	w.endure(fates)
}

// TestStallWithin lets a body stop in the middle without an end.
func TestStallWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{vendor: quiet})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // before the vendor waits for its handlers
	w.endure([]fate{
		{id: "stall", calls: 2, check: ranges(7 * mib), files: []vendorsim.File{
			file("a.mp4", &stalling{Content: movie(t, "stall", 0, 7*mib), at: 6 * mib, until: release}),
		}},
	})
}

// stalling is a Content whose first reader gets stuck.
type stalling struct {
	content.Content
	at    int64
	until <-chan struct{}
	stuck atomic.Bool
}

// ReadAt implements io.ReaderAt.
func (s *stalling) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.at && s.stuck.CompareAndSwap(false, true) {
		<-s.until
	}
	return s.Content.ReadAt(p, off)
}
