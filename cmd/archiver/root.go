package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"archiver/internal/config"
)

// The exit codes.
const (
	exitFine      = 0
	exitFailed    = 1
	exitUsage     = 2 // wrong usage or configuration
	exitAttention = 3 // finished, but something needs a person
)

// outcome is an error with its exit code; err may be nil if everything has
// been said.
type outcome struct {
	code   int
	err    error
	stands bool // it is what came of the command, interrupted or not
}

// stands is an error that an interrupt does not outweigh.
func stands(err error) error {
	if err == nil {
		return nil
	}
	o := outcome{code: exitFailed, err: err}
	if before, ok := errors.AsType[*outcome](err); ok {
		o = *before
	}
	o.stands = true
	return &o
}

// advised is an error's text. What to do about a full disk is the same
// wherever it fills up, and most of what meets one doesn't say it.
func advised(err error) string {
	s, full := strings.TrimSpace(err.Error()), syscall.ENOSPC.Error()
	if !strings.Contains(s, full) || strings.Contains(s, "make room") {
		return s
	}
	return s + "; make room there, then run the same command again"
}

func (o *outcome) Error() string {
	if o.err == nil {
		return fmt.Sprintf("exit code %d", o.code)
	}
	return o.err.Error()
}

func (o *outcome) Unwrap() error { return o.err }

// usage is an error of whoever called the command.
func usage(format string, a ...any) error {
	return &outcome{code: exitUsage, err: fmt.Errorf(format, a...)}
}

// cli is what the commands share: where to read and write, the flags that all
// of them have, and what is known once a command has begun.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)

	configPath string
	tenant     string

	// startingUp is how long a state may be held by somebody who does not
	// answer: a daemon that is just starting, or another command.
	startingUp time.Duration

	command string         // its path, for errors of one thing among several
	cfg     *config.Config // of a command that asks an archiver
	glanced bool           // it was only glanced at, because an archiver is running
}

const defaultConfig = "/etc/archiver/archiver.yaml"

// root builds the tree of commands.
func (c *cli) root() *cobra.Command {
	path := defaultConfig
	if p, ok := c.env("ARCHIVER_CONFIG"); ok && p != "" {
		path = p
	}
	root := &cobra.Command{
		Use:           "archiver",
		Short:         "Saves meeting recordings in an S3 bucket",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          choose,
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.PersistentFlags().StringVar(&c.configPath, "config", path, "configuration `file`, or $ARCHIVER_CONFIG")
	root.PersistentFlags().StringVar(&c.tenant, "tenant", "", "the `tenant` that is meant, where several fit")
	c.completes(root, "tenant", c.completeTenants)
	root.AddCommand(
		c.runCommand(), c.backfillCommand(), c.trackCommand(), c.untrackCommand(), c.lsCommand(), c.showCommand(),
		c.retryCommand(), c.acceptCommand(), c.holdCommand(), c.unholdCommand(), c.verifyCommand(), c.getCommand(),
		c.recordCommand(), c.liveCommand(), c.configCommand(), c.stateCommand(), c.versionCommand(),
	)
	c.strict(root)
	return root
}

// choose is what a command does that only groups others.
func choose(cmd *cobra.Command, args []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	known := strings.Join(names, ", ")
	if len(args) == 0 {
		return fmt.Errorf("which command? there are %s", known)
	}
	msg := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2 // letters to change
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		return fmt.Errorf("%s; did you mean %s?", msg, strings.Join(like, " or "))
	}
	return fmt.Errorf("%s; there are %s", msg, known)
}

// act makes a command's function out of one whose errors are failures, not
// wrong usage, unless they say so themselves.
func (c *cli) act(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.command = cmd.CommandPath()
		err := f(cmd.Context(), args)
		if _, ours := errors.AsType[*outcome](err); ours || err == nil {
			return err
		}
		return &outcome{code: exitFailed, err: err}
	}
}

// closing closes at the end of a function; that it failed outweighs what the
// function had to say.
func closing(err *error, c io.Closer) {
	if cerr := c.Close(); cerr != nil {
		*err = &outcome{code: exitFailed, err: errors.Join(*err, cerr)}
	}
}

// load reads the configuration. Its mistakes are wrong configuration.
func (c *cli) load() (*config.Config, error) {
	cfg, err := config.Load(c.configPath, c.env)
	if err == nil {
		return cfg, nil
	}
	invalid, ok := errors.AsType[*config.Invalid](err)
	if !ok {
		return nil, usage("%w; name the file with --config or $ARCHIVER_CONFIG", err)
	}
	mistakes := "1 mistake"
	if n := len(invalid.Problems); n > 1 {
		mistakes = fmt.Sprintf("%d mistakes", n)
	}
	return nil, usage("read configuration %s: %s to correct:\n%w", c.configPath, mistakes, err)
}

// say tells whoever looks on. That it can't be told is no reason to fail.
func (c *cli) say(format string, a ...any) {
	_, _ = fmt.Fprintf(c.stderr, format+"\n", a...)
}

// warn logs what is hardly meant.
func warn(log *zap.Logger, cfg *config.Config) {
	for _, w := range cfg.Warnings {
		log.Warn("configuration: "+w.Message, zap.String("file", w.File), zap.Int("line", w.Line), zap.String("key", w.Key))
	}
}
