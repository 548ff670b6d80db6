// Command bench measures the archiver beside rclone on the main job: files
// behind presigned URLs into an S3 bucket. Both run as processes of their own
// against the same servers on loopback, in turn (A B A B …), and what counts
// is the median of the pairwise ratios: machines are noisy, ratios are less so.
//
//	go run ./bench [-pairs 5] [-rclone PATH] [-archiver PATH]
//
// The source is the simulated vendor, the bucket a stub that keeps no bytes
// but checks every checksum, so that the clients are what is measured. The
// archiver's figure is its whole job: getRecords, transfer, SHA-256 of every
// byte, proof, manifest and state; rclone's is copyurl alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	pairs := flags.Int("pairs", 5, "runs of each, in turn")
	rclone := flags.String("rclone", "rclone", "the peer: go install github.com/rclone/rclone@v1.76.0")
	archiver := flags.String("archiver", "", "our binary; built if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	peer, err := exec.LookPath(*rclone)
	if err != nil {
		return fmt.Errorf("find the peer: %w; install it with go install github.com/rclone/rclone@v1.76.0", err)
	}
	dir, err := os.MkdirTemp("", "archiver-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if *archiver == "" {
		*archiver = filepath.Join(dir, "archiver")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", *archiver, "./cmd/archiver")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build the archiver: %w", err)
		}
	}
	fmt.Printf("%s/%s, %d CPUs, %s; medians of %d interleaved pairs; ours / rclone copyurl\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), *pairs)
	fmt.Println("| work | wall | CPU | peak memory (RssAnon) | ours: wall s, CPU s, MiB | rclone: wall s, CPU s, MiB |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, j := range []job{
		{name: "200 files of 1 MiB", files: 200, size: 1 << 20},
		{name: "one file of 2 GiB", files: 1, size: 2 << 30},
	} {
		if err := j.measure(ctx, dir, *archiver, peer, *pairs); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	return nil
}
