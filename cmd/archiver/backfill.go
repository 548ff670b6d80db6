package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/explain"
	"archiver/internal/state"
)

// backfillFlags are what backfill is told besides the ids.
type backfillFlags struct {
	from         string
	wait         duration
	dryRun, json bool
}

func (c *cli) backfillCommand() *cobra.Command {
	f := backfillFlags{wait: duration(15 * time.Minute)}
	cmd := &cobra.Command{
		Use:   "backfill [RECORD_ID…]",
		Short: "Archive these recordings now, print a summary, and end",
		Long: `Tracks the recordings and works until each of them, and each that they lead
to, is archived or quarantined. Those that the vendor has not finished are
waited for, up to --wait, and stay tracked. Without any id: all that is
tracked. Run again, it goes on where it was. Beside a running archiver it hands
the recordings over and looks on.

--from reads ids from a file, or from standard input ("-"): one a line, CSV or
TSV with a record_id column (and perhaps a tenant column), or JSON lines.

Exit code: 0 if everything is archived, 3 if something needs a person or more
time, 1 if it was interrupted or failed, 2 for wrong usage or configuration.`,
		RunE: c.act(func(ctx context.Context, args []string) error { return c.backfill(ctx, f, args) }),
	}
	cmd.Flags().StringVar(&f.from, "from", "", "read ids from `file`, - is standard input")
	cmd.Flags().Var(&f.wait, "wait", "how long to wait for what is not ready")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say what would be fetched")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON lines: progress, and the summary or the plans")
	return cmd
}

func (c *cli) backfill(ctx context.Context, f backfillFlags, args []string) error {
	cfg, err := c.reach(ctx)
	if err != nil {
		return err
	}
	w, err := c.wanted(cfg, f.from, args)
	if err != nil {
		return err
	}
	defer w.Close()
	list, none, err := w.begun()
	if err != nil {
		return err
	}
	terminal := isTerminal(c.stderr)
	s := newScreen(c)
	defer s.close()
	logs, err := newLogger(cfg.Log, s, terminal)
	if err != nil {
		return err
	}
	defer logs.done()
	warn(logs.Logger, cfg)
	if w.named() && none {
		if f.json {
			nothing := apitype.Summary{Recordings: map[string]int{}, Attention: []apitype.Attention{}}
			err = lines(c.stdout).Encode(apitype.BackfillLine{Summary: &nothing})
		} else {
			_, err = fmt.Fprintln(c.stdout, "0 recordings: no id was given")
		}
		if err != nil {
			return err
		}
		return w.attention()
	}
	take, work, end := stoppable(ctx)
	defer end()
	b := &backfilling{c: c, f: f, w: w, list: list, cfg: cfg, screen: s, log: logs.Logger}
	if f.dryRun {
		return b.dryRun(take)
	}
	return b.archive(take, work)
}

// backfilling is one backfill from the side of whoever asked for it.
type backfilling struct {
	c      *cli
	f      backfillFlags
	w      *wanted
	list   iter.Seq2[state.Key, error] // of what is wanted; nil: all that is tracked
	handed atomic.Bool                 // all of it has arrived
	cfg    *config.Config
	screen *screen
	log    *zap.Logger
}

// errInterrupted ends a backfill that was told to stop.
var errInterrupted = errors.New("interrupted; run the same command again to go on")

// archive has the work done and says what came of it.
func (b *backfilling) archive(take, work context.Context) (err error) {
	a, err := b.c.connect(take, b.cfg, opening{log: b.log, makes: true})
	if take.Err() != nil {
		if err == nil {
			closing(&err, a)
		}
		return errInterrupted
	}
	if err != nil {
		return err
	}
	defer closing(&err, a)
	if a.remote() {
		err = b.follow(take, a)
		if take.Err() != nil && !b.handed.Load() {
			return errInterrupted
		}
		if take.Err() != nil {
			return errors.New("interrupted; the running archiver goes on with it, archiver ls shows how far it is")
		}
		return err
	}
	daemon.LimitHeap(b.cfg.Transfer.Memory)
	return b.beside(take, work, a)
}

// beside runs the archiver of this process while it follows. An interrupt
// stops that one, which then says how far it came; or the list, which may be
// one that somebody types.
func (b *backfilling) beside(take, work context.Context, a *client) error {
	running, stop := context.WithCancel(take)
	following, abandon := context.WithCancelCause(context.WithoutCancel(take))
	defer abandon(nil)
	defer context.AfterFunc(take, func() {
		if !b.handed.Load() {
			abandon(errInterrupted)
		}
	})()
	var (
		wg   sync.WaitGroup
		rerr error
	)
	wg.Go(func() {
		if rerr = a.d.Run(running, work); rerr != nil && take.Err() == nil {
			abandon(rerr) // it may not have come far enough to tell
		}
	})
	err := b.follow(following, a)
	stop()
	wg.Wait()
	switch {
	case take.Err() != nil:
		return errInterrupted
	case rerr != nil:
		return rerr
	}
	return err
}

// follow asks for the backfill and reads what becomes of it, to its end.
func (b *backfilling) follow(ctx context.Context, a *client) error {
	v := newView(b)
	defer v.end()
	var sum *apitype.Summary
	err := b.ask(ctx, a, func(l apitype.BackfillLine) error {
		if l.Progress != nil {
			v.show(*l.Progress)
		}
		if l.Summary != nil {
			sum = l.Summary
		}
		return nil
	})
	v.end()
	if err != nil {
		return err
	}
	if !b.f.json {
		if _, err := io.WriteString(b.c.stdout, summaryText(*sum)); err != nil {
			return err
		}
	}
	switch {
	case sum.Interrupted:
		return errors.New("the archiver was told to stop; run the same command again to go on")
	case sum.Stuck:
		return &outcome{code: exitAttention, err: errors.New("nothing moved any more though work was left: what fails is tried again later and later; the log says why, then run the same command again to go on")}
	case len(sum.Attention)+sum.MoreAttention > 0:
		return &outcome{code: exitAttention}
	}
	return b.w.attention()
}

// summaryText is what a backfill prints at its end.
func summaryText(sum apitype.Summary) string {
	var b strings.Builder
	var parts []string
	n := 0
	for _, s := range state.Statuses() {
		if k := sum.Recordings[string(s)]; k > 0 {
			n += k
			parts = append(parts, fmt.Sprintf("%d %s", k, s))
		}
	}
	b.WriteString(explain.Count(n, "recording"))
	if len(parts) > 0 {
		b.WriteString(": " + strings.Join(parts, ", "))
	}
	fmt.Fprintf(&b, "\n%s verified, %s\n", explain.Count(sum.Files, "file"), exact(sum.Bytes))
	if len(sum.Attention)+sum.MoreAttention > 0 {
		b.WriteString("needs attention:\n" + attention(sum.Attention, sum.MoreAttention))
	}
	return b.String()
}
