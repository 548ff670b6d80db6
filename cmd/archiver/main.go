// Command archiver saves the recordings of a meeting vendor in an S3 bucket.
//
// This package is the command line and nothing else: it parses, builds, runs,
// and turns what came of it into an exit code and a sentence for a person.
//
//	main ── execute ── root (cobra) ─┬─ run ─────────────── internal/daemon
//	                                 ├─ track, ls, get, … ─ client ─┬─ internal/socket: a running daemon
//	                                 ├─ backfill ────────── client ─┴─ internal/daemon: one of our own
//	                                 ├─ state compact ───── internal/state/bolt
//	                                 └─ config, version, completion
//
// A command that asks something is a client of one HTTP API. While a daemon
// runs it speaks to that over the socket beside the state; without one it opens
// the state itself and is served by the same handlers over a pipe, so that no
// command has two ways of doing its work.
//
// Standard output carries what was asked for, standard error everything else:
// log lines, warnings and errors. An error begins with what was being done and
// ends with what to do about it. The exit code is 0 if all is fine, 1 if the
// command failed, 2 for wrong usage or configuration, and 3 if it finished but
// something needs a person, or more time.
//
// SIGINT and SIGTERM stop in two stages: the first one ends taking work, the
// second one cuts what is in flight, and a third one is the system's own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version); without it, the build
// information of the module tells.
var version string

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)) //nolint:forbidigo // the one place where the exit code leaves
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) (code int) {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr, env: env, startingUp: 10 * time.Second}
	root := c.root() //nolint:contextcheck // cobra hands ctx to the commands
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	done, ours := errors.AsType[*outcome](err)
	if !ours { // cobra's own: flags, arguments, unknown commands
		done = wrongUsage(cmd, err)
		err = done
	}
	if done.err != nil {
		c.say("%s: %s", cmd.CommandPath(), advised(err))
	}
	return done.code
}

// wrongUsage says where to read how it is done right. Cobra's own suggestions
// come on lines of their own and end with one.
func wrongUsage(cmd *cobra.Command, err error) *outcome {
	return &outcome{code: exitUsage, err: fmt.Errorf("%s; see %s --help", strings.TrimSpace(err.Error()), cmd.CommandPath())}
}
