package bolt_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// item is what a vendor lists of a file.
const item = `{"conferenceKey":"1866334455","confTopic":"Weekly of the platform group","recordId":"%[1]s","recordIdSource":"%[1]s",` +
	`"startTime":"2026-01-01 00:00:05","stopTime":"2026-01-01 01:00:05","fileSize":1048576,"duration":3600,"entId":52,"type":"MP4",` +
	`"fileName":"1866334455_%[1]s.mp4","hostName":"someone@example.com","downUrl":"https://download.example.com/record/2026/01/%[1]s.mp4"}`

// discovered tracks n recordings of one file each, as a poll leaves them.
func discovered(b *testing.B, s *bolt.Store, n int) {
	b.Helper()
	begin := time.Date(2026, 1, 1, 0, 0, 5, 0, time.UTC)
	parallel(b, 64, n, func(i int) error {
		k := state.Key{Tenant: "acme", RecordID: randomID(i)}
		poll := state.Poll{NextAt: begin.AddDate(0, 0, 1), LastAt: begin, Digest: randomID(n + i), Named: true, Interval: time.Hour}
		_, err := s.Update(b.Context(), k, state.Do(
			state.Track{}, state.Describe{ConferenceKey: "1866334455", EntID: "52", Start: begin, Stop: begin.Add(time.Hour)},
			state.Discover{
				FileID: fileID(i), Filename: "1866334455_" + randomID(i) + ".mp4", Dest: state.Destination{Endpoint: "http://127.0.0.1:9000", Bucket: "recordings"},
				Keys: []string{"acme/2026/01/01/" + randomID(i) + "/" + fileID(i) + ".mp4"},
				Listing: state.Listing{
					DeclaredSize: 1 << 20, Start: begin, Stop: begin.Add(time.Hour), Deadline: begin.AddDate(0, 0, 30),
					SourcePath: "download.example.com/record/2026/01/" + randomID(i) + ".mp4",
					Vendor:     json.RawMessage(fmt.Sprintf(item, randomID(i))),
				},
			},
			state.Polled{Poll: poll},
		))
		return err
	})
}

func fileID(i int) string { return randomID(-1 - i)[:16] }

// parallel calls fn for 0 to n-1 by so many goroutines at once.
func parallel(b *testing.B, writers, n int, fn func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkFile brings a discovered file to verified: it is read, begun, and
// stored and verified at once, in two writes.
func BenchmarkFile(b *testing.B) {
	for _, writers := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := bench(b, 0)
			discovered(b, s, max(b.N, 2000))
			cpu, written := processorTime(b), writes(b)
			b.ResetTimer()
			parallel(b, writers, b.N, func(i int) error { return archiveSmall(b, s, i) })
			b.StopTimer()
			b.ReportMetric(float64((processorTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(writes(b)-written)/float64(b.N), "writes/op")
		})
	}
}

func archiveSmall(b *testing.B, s *bolt.Store, i int) error {
	k, id := state.Key{Tenant: "acme", RecordID: randomID(i)}, fileID(i)
	if _, err := s.Get(b.Context(), k); err != nil {
		return err
	}
	v := state.SourceVersion{ETag: `"0123456789abcdef0123456789abcdef"`, LastModified: "Thu, 01 Jan 2026 01:00:05 GMT", Length: 1 << 20, Strong: true}
	object := state.Object{ETag: `"0123456789abcdef0123456789abcdef"`, LastModified: time.Unix(1_770_000_000, 0).UTC()}
	sums := state.Checksums{SHA256: randomID(i) + randomID(i+1), CRC64NVME: 1 << 63}
	for _, changes := range [][]state.Change{
		{state.Start{FileID: id}, state.Pin{FileID: id, Version: v}},
		{state.MarkStored{FileID: id, Version: v, Size: 1 << 20, Sums: sums, Object: object}, state.Verify{FileID: id, Level: state.LevelFullObject, Object: object}},
	} {
		if _, err := s.Update(b.Context(), k, state.Do(changes...)); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is what this process has had.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writes is how many calls of write this process has made.
func writes(b *testing.B) (n int) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "syscw: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatal(err)
	}
	return n
}
