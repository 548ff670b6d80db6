package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// row is one line, or one for each peer, of the table.
type row struct {
	name    string // for -row
	title   string // with %s for the size of a file
	files   int
	size    int64 // bytes of each file
	memory  int   // transfer.memory in MiB
	tls     bool
	latency time.Duration // before each answer: a round trip
	rate    int64         // of each connection, in bytes per second
	age     time.Duration // since the recordings ended
	pairs   int           // at most so many, and none to warm up; 0: as many as asked for
	ours    func(ctx context.Context, dir string, w *world, r *row) (usage, error)
	beside  []peer
	anon    int // what RssAnon may be, in MiB; 0: not said
}

// peer is who does the same work, and what the ratios to it may be; 0: nothing
// was said.
type peer struct {
	name      string
	run       func(ctx context.Context, dir string, w *world) (usage, error)
	wall, cpu float64
}

const (
	mib = 1 << 20
	old = 30 * 24 * time.Hour // settled long ago
)

// rows are all rows that have a ratio. big is the size of a large file in
// bytes, many the number of small ones.
func rows(a archiver, p peers, big int64, many int) []*row {
	copyURL := func(wall, cpu float64) peer { return peer{"rclone copyurl", p.copyURL, wall, cpu} }
	files := func(floor float64) []peer { return []peer{{"rclone copy", p.copyFiles, floor, floor}} }
	return []*row{
		{
			name: "http", title: "one file of %s, http", files: 1, size: big, memory: 128, age: old, ours: a.wholeJob,
			beside: []peer{copyURL(0.45, 0.45), {"transfermanager", p.pipe, 1.0, 1.15}}, anon: 128 + 48,
		},
		{
			name: "tls", title: "one file of %s, TLS on both sides", files: 1, size: big, memory: 128, age: old, tls: true, ours: a.wholeJob,
			beside: []peer{copyURL(0.65, 0.60)},
		},
		{
			name: "far", title: "one file of %s, 40 ms each way, 20 MB/s a connection", files: 1, size: big, memory: 128, age: old, pairs: 3,
			latency: 80 * time.Millisecond, rate: 20_000_000, ours: a.wholeJob, beside: []peer{copyURL(0.35, 0)},
		},
		{
			name: "small", title: fmt.Sprintf("%d files of %%s, transfer and proof alone", many), files: many, size: mib, memory: 128, age: time.Minute,
			ours: a.transferAlone, beside: files(1.2),
		},
		{
			name: "job", title: fmt.Sprintf("%d files of %%s, the whole job", many), files: many, size: mib, memory: 128, age: old,
			ours: a.wholeJob, beside: files(2.2),
		},
	}
}

// atOnce are the two rows whose memory is compared: large files and those an
// eighth of their size.
func atOnce(a archiver, big int64) (large, small *row) {
	r := row{name: "memory", title: "8 files of %s at once, transfer.memory 64MiB", files: 8, memory: 64, age: old, pairs: 3, ours: a.wholeJob, anon: 112}
	l, s := r, r
	l.size, s.size = big, big/8
	return &l, &s
}

func (r *row) String() string {
	if !strings.Contains(r.title, "%s") {
		return r.title
	}
	return fmt.Sprintf(r.title, size(r.size))
}

// size prints bytes as GiB or MiB.
func size(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
