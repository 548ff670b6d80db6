// Command bench measures the archiver beside its peers on the main job: files
// behind presigned URLs into an S3 bucket. Each side runs as a process of its
// own against the same servers on loopback, in turn (A B A B …), and what
// counts is the median of the pairwise ratios: machines are noisy, ratios are
// less so.
//
//	go run ./bench [-row NAME,…] [-pairs 5] [-size 2048] [-files 2000] [-profile DIR]
//
// Rows:
//
//	http    one large file; rclone copyurl, and the AWS SDK's transfermanager
//	tls     the same with TLS on both sides; rclone copyurl
//	far     the same over 40 ms each way and 20 MB/s a connection; rclone copyurl
//	small   many files of 1 MiB, transfer and proof alone; rclone copy
//	job     the same files, the whole job; rclone copy
//	memory  8 large files at once and 8 of an eighth of the size: peak RssAnon
//	bytes   4 files into a real store: every byte is right
//
// The source is the simulated vendor with content that lies in memory, the
// bucket a stub that keeps no bytes but checks every checksum, so that the
// clients are what is measured. Both are this process, whose CPU is shown in a
// column of its own. The archiver's figure is its whole job (getRecords,
// transfer, SHA-256 of every byte, proof, manifest and state), but for the row
// small; see transferAlone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

// names are the rows, in order.
var names = []string{"http", "tls", "far", "small", "job", "memory", "bytes"}

// wanted is what the flags ask for.
type wanted struct {
	rows             []string
	pairs, files     int
	size             int64 // bytes
	rclone, archiver string
	beside           string
	profile          string
}

func parse(args []string) (wanted, error) {
	var w wanted
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&w.pairs, "pairs", 5, "runs of each, in turn, after one to warm up; far and memory: at most 3")
	flags.IntVar(&w.files, "files", 2000, "how many the many small files are")
	flags.StringVar(&w.rclone, "rclone", "rclone", "the peer: go install github.com/rclone/rclone@v1.76.0")
	flags.StringVar(&w.archiver, "archiver", "", "our binary; built if empty")
	flags.StringVar(&w.beside, "beside", "", "another build of ours, `file`, measured in place of the peers")
	flags.StringVar(&w.profile, "profile", "", "`directory` for CPU profiles of one run of ours a row, and no table")
	row := flags.String("row", strings.Join(names, ","), "`names` of the rows, in any order")
	large := flags.Int64("size", 2048, "of a large file, in `MiB`")
	if err := flags.Parse(args); err != nil {
		return w, err
	}
	w.rows = strings.Split(*row, ",")
	for _, name := range w.rows {
		if !slices.Contains(names, name) {
			return w, fmt.Errorf("there is no row %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if w.pairs < 1 || w.files < 1 || *large < 8 {
		return w, errors.New("-pairs and -files are at least 1, -size is at least 8")
	}
	w.size = *large * mib
	return w, nil
}

func run(ctx context.Context, args []string) error {
	want, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "archiver-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := bench{dir: dir, pairs: want.pairs}
	if want.profile != "" {
		return b.profiles(ctx, want)
	}
	p, err := findPeers(ctx, want, dir)
	if err != nil {
		return err
	}
	a := archiver{binary: want.archiver}
	if a.binary == "" {
		a.binary = filepath.Join(dir, "archiver")
		if err := goBuild(ctx, ".", a.binary, "./cmd/archiver", "-ldflags=-s -w"); err != nil {
			return err
		}
	}
	fmt.Printf("%s, %s/%s, %d CPUs, %s; medians (and ranges) of up to %d interleaved runs\n\n```console\n$ go run ./bench %s\n```\n\n%s\n",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), want.pairs, strings.Join(args, " "), columns)
	return b.table(ctx, want, a, p)
}

// findPeers finds rclone and builds the SDK's peer.
func findPeers(ctx context.Context, want wanted, dir string) (p peers, err error) {
	if p.rclone, err = exec.LookPath(want.rclone); err != nil {
		return p, fmt.Errorf("find the peer: %w; install it with go install github.com/rclone/rclone@v1.76.0", err)
	}
	p.transfermanager = filepath.Join(dir, "transfermanager")
	return p, goBuild(ctx, "bench/peers/transfermanager", p.transfermanager, ".", "-ldflags=-s -w")
}

func (b bench) table(ctx context.Context, want wanted, a archiver, p peers) error {
	all := rows(a, p, want.size, want.files)
	if want.beside != "" {
		for i, other := range rows(archiver{binary: want.beside}, p, want.size, want.files) {
			all[i].beside = []peer{{name: want.beside, run: func(ctx context.Context, dir string, w *world) (usage, error) {
				dir = filepath.Join(dir, "beside")
				defer func() { _ = os.RemoveAll(dir) }()
				return other.ours(ctx, dir, w, other)
			}}}
		}
	}
	for _, name := range names {
		if !slices.Contains(want.rows, name) {
			continue
		}
		var err error
		switch name {
		case "memory":
			large, small := atOnce(a, want.size)
			err = b.compareMemory(ctx, large, small)
		case "bytes":
			err = b.right(ctx, a, min(want.size, 256*mib))
		default:
			i := slices.IndexFunc(all, func(r *row) bool { return r.name == name })
			err = b.measure(ctx, all[i])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// profiles runs our side of the rows once each, with the profiler.
func (b bench) profiles(ctx context.Context, want wanted) error {
	if err := os.MkdirAll(want.profile, 0o755); err != nil {
		return err
	}
	binary, err := buildProfiled(ctx, b.dir)
	if err != nil {
		return err
	}
	for _, name := range want.rows {
		a := archiver{binary: binary, env: []string{"BENCH_PROFILE=" + filepath.Join(want.profile, name+".ours.pprof")}}
		all := rows(a, peers{}, want.size, want.files)
		large, _ := atOnce(a, want.size)
		all = append(all, large)
		i := slices.IndexFunc(all, func(r *row) bool { return r.name == name })
		if i < 0 {
			continue // bytes is no measurement
		}
		if err := b.profile(ctx, all[i], want.profile); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
