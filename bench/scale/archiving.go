package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// archived brings recordings of one file to archived, in a state of their own,
// in the transactions that the archiver makes: found by a poll, begun, stored,
// verified, settled, manifest written.
func archived(ctx context.Context, s scale) (out []figure, err error) {
	path := filepath.Join(s.dir, "archived.db")
	st, err := open(ctx, path, time.Now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	keys := make([]state.Key, s.archived)
	for i := range keys {
		keys[i] = state.Key{Tenant: tenant, RecordID: recordID(i)}
	}
	if _, err := st.Track(ctx, keys); err != nil {
		return nil, err
	}
	p, err := newPoller(s, st, vendor{listed: true}, "")
	if err != nil {
		return nil, err
	}
	if _, err := p.PollOnce(ctx, time.Now().Add(time.Hour)); err != nil {
		return nil, err
	}
	cpu, written := processorTime(), bytesWritten()
	took, err := timed(func() error { return archiveAll(ctx, st, keys) })
	cpu, written = processorTime()-cpu, bytesWritten()-written
	if err != nil {
		return nil, err
	}
	events, err := st.LastEvent(ctx)
	if err != nil {
		return nil, err
	}
	size, err := st.Size()
	if err != nil {
		return nil, err
	}
	n := int64(s.archived)
	each := func(d time.Duration) string {
		return fmt.Sprintf("%.0f µs", d.Seconds()*1e6/float64(s.archived))
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	_, compact, err := bolt.Compact(ctx, path)
	if err != nil {
		return nil, err
	}
	return []figure{
		{"moves of an archived recording behind its discovery", each(took), fmt.Sprintf("16 at once; CPU %s; %d KiB written", each(cpu), written/n>>10)},
		{"state per archived recording", fmt.Sprintf("%d B", size/n), fmt.Sprintf("%d B compacted; %.1f events", compact/n, float64(events)/float64(n))},
	}, nil
}

// archiveAll does it for 16 recordings at once.
func archiveAll(ctx context.Context, st *bolt.Store, keys []state.Key) error {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		errs = make([]error, 16)
	)
	for w := range errs {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return
				}
				if errs[w] = archiveOne(ctx, st, keys[i]); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func archiveOne(ctx context.Context, st *bolt.Store, k state.Key) error {
	r, err := st.Get(ctx, k)
	if err != nil {
		return err
	}
	if len(r.Files) != 1 {
		return fmt.Errorf("%s has %d files", k, len(r.Files))
	}
	id := r.Files[0].ID
	v := state.SourceVersion{ETag: `"0123456789abcdef0123456789abcdef"`, LastModified: "Thu, 01 Jan 2026 01:00:05 GMT", Length: 734_003_200, Strong: true}
	object := state.Object{ETag: `"0123456789abcdef0123456789abcdef"`, LastModified: time.Now()}
	sum := recordID(len(k.RecordID)) + recordID(2)
	for _, changes := range [][]state.Change{
		{state.Start{FileID: id}, state.Pin{FileID: id, Version: v}},
		{state.MarkStored{FileID: id, Version: v, Size: v.Length, Sums: state.Checksums{SHA256: sum, CRC64NVME: 7}, Object: object}},
		{state.Verify{FileID: id, Level: state.LevelFullObject, Object: object}},
		{state.Settle{}},
	} {
		if _, err := st.Update(ctx, k, state.Do(changes...)); err != nil {
			return err
		}
	}
	_, err = st.Update(ctx, k, func(r state.Recording) ([]state.Change, error) {
		r.ArchivedAt = time.Now()
		return []state.Change{state.ManifestWritten{
			Dest: state.Destination{Bucket: "recordings"}, Key: "manifests/" + k.Tenant + "/" + k.RecordID + ".json",
			ETag: object.ETag, Rendered: r,
		}}, nil
	})
	return err
}

// bytesWritten is what this process has handed to the system, from
// /proc/self/io; 0 where there is none.
func bytesWritten() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	return number(string(b), "wchar:")
}

// processorTime is what this process has had.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
