// Command demo shows the archiver's main job on one machine and without any
// account. Everything in it is real except the vendor, which is simulated:
//
//	a person ──openRecord, closeRecord──▶ simulated vendor ◀──getRecords, GET, delRecordFile── archiver
//	    │                                                                                         │
//	    └── appends the recordId to record_ids_file ──────────────────────────────────────────────┤
//	                                                                                              ▼
//	                              S3 server on plain files ◀── fault proxy ◀──────── PutObject, UploadPart
//
// Recordings that are ready, not ready, in several files, cut off, behind an
// expired link or an error page, and a bucket that has a bad moment: the demo
// prints line by line what happens to them, from the archiver's audit log and
// from what the vendor and the bucket do. It ends with a table, and then does
// not believe it: every object is read back from the S3 server itself and
// compared with what the vendor really had.
//
//	go run ./cmd/demo          goes on with new meetings until Ctrl-C
//	go run ./cmd/demo --once   ends when everything is final
//
// It exits with 0 only if everything is proven, with 1 if not, and with 2 on
// wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, signals)) //nolint:forbidigo // the one place where the process ends
}

// run is the command: it returns the exit code. That stderr cannot be written
// to is nothing that anybody could be told.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	o := options{cast: cast(), opens: time.Second, talks: 4 * time.Second, every: 20 * time.Second, patience: 2 * time.Minute}
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.dir, "dir", "", "work in this `directory`, which must be new or empty, and keep it; else a temporary one that is removed")
	fs.BoolVar(&o.once, "once", false, "end when everything is final; exit 0 only if all of it is proven")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case fs.NArg() > 0:
		_, _ = fmt.Fprintf(stderr, "demo: unexpected argument %q\n", fs.Arg(0))
		return 2
	}
	take, work, release := interruptible(ctx, signals, stderr)
	defer release()
	err := play(take, work, o, stdout)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintf(stderr, "demo: %v\n", err)
		return 2
	}
	_, _ = fmt.Fprintf(stderr, "demo: %v\n", err)
	return 1
}

// interruptible returns two contexts: take ends at the first signal, so that
// nothing new is begun, work at the second, so that what is under way is cut.
// release joins what it started.
func interruptible(ctx context.Context, signals <-chan os.Signal, stderr io.Writer) (take, work context.Context, release func()) {
	work, cut := context.WithCancel(ctx)
	take, stop := context.WithCancel(work)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for _, end := range []func(){func() {
			_, _ = fmt.Fprintln(stderr, "stopping: what is under way is finished and checked; once more to cut it")
			stop()
		}, cut} {
			select {
			case <-signals:
				end()
			case <-done:
				return
			}
		}
	}()
	return take, work, func() { close(done); <-ended; stop(); cut() }
}
