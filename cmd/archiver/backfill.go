package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// backfillFlags are what backfill is told besides the ids.
type backfillFlags struct {
	from   string
	wait   duration
	dryRun bool
}

func (c *cli) backfillCommand() *cobra.Command {
	f := backfillFlags{wait: duration(15 * time.Minute)}
	cmd := &cobra.Command{
		Use:   "backfill [RECORD_ID…]",
		Short: "Archive these recordings now, print a summary, and end",
		Long: `Tracks the recordings and works until each of them, and each that they lead
to, is archived or quarantined. Those that the vendor has not finished are
waited for, up to --wait, and stay tracked. Without any id: all that is
tracked. Run again, it goes on where it was.

--from reads ids from a file, or from standard input ("-"): one a line, CSV or
TSV with a record_id column (and perhaps a tenant column), or JSON lines.

Exit code: 0 if everything is archived, 3 if something needs a person or more
time, 1 if it was interrupted or failed, 2 for wrong usage or configuration.`,
		RunE: act(func(ctx context.Context, args []string) error { return c.backfill(ctx, f, args) }),
	}
	cmd.Flags().StringVar(&f.from, "from", "", "read ids from `file`, - is standard input")
	cmd.Flags().Var(&f.wait, "wait", "how long to wait for what is not ready")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say what would be fetched")
	return cmd
}

func (c *cli) backfill(ctx context.Context, f backfillFlags, args []string) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	w, err := c.wanted(cfg, f.from, args)
	if err != nil {
		return err
	}
	log, done, err := newLogger(cfg.Log, c.stderr)
	if err != nil {
		return err
	}
	defer done()
	warn(log, cfg)
	take, work, end := stoppable(ctx)
	defer end()
	named := f.from != "" || len(args) > 0
	switch {
	case named && len(w.keys) == 0:
		if _, err := fmt.Fprintln(c.stdout, "0 recordings: no id was given"); err != nil {
			return err
		}
		return w.attention()
	case f.dryRun:
		return c.dryRun(take, cfg, log, w, named)
	}
	return c.archive(take, work, cfg, log, time.Duration(f.wait), w)
}

// errInterrupted ends a backfill that was told to stop.
var errInterrupted = errors.New("interrupted; run the same command again to go on")

// archive does the work and says what came of it.
func (c *cli) archive(take, work context.Context, cfg *config.Config, log *zap.Logger, wait time.Duration, w wanted) (err error) {
	daemon.LimitHeap(cfg.Transfer.Memory)
	d, err := daemon.Open(take, cfg, daemon.Options{Logger: log, UserAgent: userAgent()})
	if take.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	defer closing(&err, d)
	sum, err := d.Backfill(take, work, w.keys, wait)
	interrupted := take.Err() != nil
	if err == nil || interrupted {
		_, werr := io.WriteString(c.stdout, summaryText(sum))
		err = errors.Join(err, werr)
	}
	switch {
	case interrupted:
		return errInterrupted
	case err != nil:
		return err
	case sum.Stuck:
		return errors.New("nothing moved any more though work was left; the log above says why, then run the same command again to go on")
	case len(sum.Attention) > 0:
		return &outcome{code: exitAttention}
	}
	return w.attention()
}

// summaryText is what a backfill prints at its end.
func summaryText(sum daemon.Summary) string {
	var b strings.Builder
	var parts []string
	n := 0
	for _, s := range state.Statuses() {
		if k := sum.Recordings[s]; k > 0 {
			n += k
			parts = append(parts, fmt.Sprintf("%d %s", k, s))
		}
	}
	b.WriteString(count(n, "recording"))
	if len(parts) > 0 {
		b.WriteString(": " + strings.Join(parts, ", "))
	}
	fmt.Fprintf(&b, "\n%s verified, %s\n", count(sum.Files, "file"), exact(sum.Bytes))
	if len(sum.Attention) > 0 {
		b.WriteString("needs attention:\n" + attention(sum.Attention))
	}
	return b.String()
}

// wanted is what the command line and --from name.
type wanted struct {
	keys []state.Key // ordered, each once
	bad  int         // lines of --from that hold no id
}

// attention is the outcome of a command that did all that it could be told.
func (w wanted) attention() error {
	if w.bad > 0 {
		return &outcome{code: exitAttention, err: fmt.Errorf("%s not understood; correct and run again", count(w.bad, "line"))}
	}
	return nil
}

// shownLines is how many wrong lines of a list are named.
const shownLines = 100

// wanted collects the ids. Wrong arguments are wrong usage; wrong lines are
// told and left out.
func (c *cli) wanted(cfg *config.Config, from string, args []string) (wanted, error) {
	var w wanted
	if from == "" && len(args) == 0 {
		if c.tenant != "" {
			return w, usage("--tenant %s without any id: name the recordings, or leave --tenant out for all that is tracked", c.tenant)
		}
		return w, nil
	}
	only, ambiguous := c.theTenant(cfg)
	if c.tenant != "" && ambiguous != nil || len(args) > 0 && ambiguous != nil {
		return w, ambiguous
	}
	for _, id := range args {
		if !meetingapi.ValidRecordID(id) {
			return w, usage("%q is no recordId: %s", id, wantID)
		}
		w.keys = append(w.keys, state.Key{Tenant: only, RecordID: id})
	}
	if from != "" {
		if err := c.readList(cfg, from, only, &w); err != nil {
			return w, err
		}
	}
	slices.SortFunc(w.keys, func(a, b state.Key) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.RecordID, b.RecordID))
	})
	w.keys = slices.Compact(w.keys)
	return w, nil
}

// readList reads --from. only is the tenant of lines that name none, "" if
// several fit.
func (c *cli) readList(cfg *config.Config, from, only string, w *wanted) (err error) {
	r, name := c.stdin, "standard input"
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return usage("read ids: %w", err)
		}
		defer func() { _ = f.Close() }() // nothing was written
		r, name = io.Reader(f), from
	}
	names := map[string]string{} // one string for a million lines
	for _, n := range cfg.TenantNames() {
		names[n] = n
	}
	bad := func(line int, why string) {
		if w.bad++; w.bad <= shownLines {
			c.say("%s:%d: %s", name, line, why)
		}
	}
	add := func(line int, tenant, id string) {
		t := names[cmp.Or(tenant, only)]
		switch {
		case tenant == "" && only == "":
			bad(line, "which tenant? the configuration has "+strings.Join(cfg.TenantNames(), ", "))
		case t == "":
			bad(line, fmt.Sprintf("no tenant %q in the configuration", plain(tenant)))
		case c.tenant != "" && t != c.tenant:
			bad(line, fmt.Sprintf("it is of tenant %s, but --tenant says %s", t, c.tenant))
		default:
			w.keys = append(w.keys, state.Key{Tenant: t, RecordID: id})
		}
	}
	err = readIDs(r, idSink{id: add, bad: bad})
	if w.bad > shownLines {
		c.say("%s: and %d more such lines", name, w.bad-shownLines)
	}
	if err != nil {
		return usage("read ids from %s: %w", name, err)
	}
	return nil
}
