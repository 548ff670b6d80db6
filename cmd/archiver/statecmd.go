package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"archiver/internal/explain"
	"archiver/internal/socket"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

func (c *cli) stateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Back up, check or compact the state",
		Args:  cobra.ArbitraryArgs,
		RunE:  choose,
	}
	asJSON := false
	check := &cobra.Command{
		Use:   "check",
		Short: "Read all of the state and look for what is not as it must be",
		Long: `Reads all of the state, while work goes on, and prints a line for everything
that is not as it must be.

Exit code: 3 if there is such a thing, 1 if the state cannot be read.`,
		Args: cobra.NoArgs,
		RunE: c.act(func(ctx context.Context, _ []string) error { return c.stateCheck(ctx, asJSON) }),
	}
	check.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(&cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of the state, while work goes on",
		Long: `Writes a consistent copy of the state, which has its name once all of it is on
the disk. To use it, stop the archiver and put it in the place of state.path. It knows no hold that was set since, so
turn deletion off (delete_source) before an old copy is used.`,
		Args: cobra.ExactArgs(1),
		RunE: c.act(func(ctx context.Context, args []string) error { return c.stateBackup(ctx, args[0]) }),
	}, check, &cobra.Command{
		Use:   "compact",
		Short: "Make the state's file smaller; no archiver may run",
		Args:  cobra.NoArgs,
		RunE:  c.act(func(ctx context.Context, _ []string) error { return c.stateCompact(ctx) }),
	})
	return cmd
}

func (c *cli) stateBackup(ctx context.Context, path string) error {
	if path == "" || path == "-" {
		return usage("%q is no file's name; the copy is written to a file, which must not be there yet", path)
	}
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already and is left alone; choose another name", path)
		}
		resp, err := a.send(ctx, request{method: http.MethodGet, path: "/state/backup"})
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // it was read
		n, err := writeNew(path, resp.Body)
		if isReadError(err) {
			return a.lost(ctx, err)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "%s: %s\n", path, exact(n))
		return err
	})
}

// writeNew writes a file (mode 0600) that has its name once it is whole.
func writeNew(path string, from io.Reader) (n int64, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ignoreNotExist(os.Remove(temp.Name()))) }()
	n, err = io.Copy(temp, &counting{r: from, n: new(int64)})
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return n, err
	}
	return n, publish(temp.Name(), path)
}

// stateProblems is what the check answers.
type stateProblems struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
}

func (c *cli) stateCheck(ctx context.Context, asJSON bool) error {
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		var got stateProblems
		if err := a.call(ctx, http.MethodGet, "/state/check", nil, nil, &got); err != nil {
			return err
		}
		n := len(got.Problems)
		switch {
		case asJSON:
			if err := lines(c.stdout).Encode(got); err != nil {
				return err
			}
		case n == 0:
			if _, err := fmt.Fprintf(c.stdout, "state %s is sound\n", c.cfg.State.Path); err != nil {
				return err
			}
		default:
			for _, p := range got.Problems {
				if _, err := fmt.Fprintln(c.stdout, plain(p)); err != nil {
					return err
				}
			}
		}
		if n > 0 {
			return &outcome{code: exitAttention, err: fmt.Errorf("state %s: %s; nothing was changed: stop the archiver, keep this file, and put a backup in its place", c.cfg.State.Path, explain.Count(n, "problem"))}
		}
		return nil
	})
}

func (c *cli) stateCompact(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	held := fmt.Errorf("compact state %s: an archiver is running and holds it; stop it, compact, and start it again", cfg.State.Path)
	conn, err := socket.Dial(ctx, cfg.State.Path)
	switch {
	case err == nil:
		return errors.Join(held, conn.Close())
	case !errors.Is(err, socket.ErrNobody):
		return err
	}
	if err := thereIs(cfg); err != nil {
		return err
	}
	before, after, err := bolt.Compact(ctx, cfg.State.Path)
	if locked, ok := errors.AsType[*state.OpenError](err); ok && locked.Kind == state.StateLocked {
		return held
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "state %s: %s before, %s after\n", cfg.State.Path, exact(before), exact(after))
	return err
}
