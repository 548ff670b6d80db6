package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/state"
)

// dryRun says what a backfill would fetch.
func (c *cli) dryRun(ctx context.Context, cfg *config.Config, log *zap.Logger, w wanted, named bool) (err error) {
	var known daemon.Known
	st, err := openState(ctx, cfg)
	locked, isLocked := errors.AsType[*state.OpenError](err)
	switch {
	case err == nil:
		known = st
		defer closing(&err, st)
	case errors.Is(err, errNoState):
		c.say("no state at %s yet: nothing counts as archived", cfg.State.Path)
	case isLocked && locked.Kind == state.StateLocked && named:
		c.say("state %s is held by another archiver: what it has archived is counted as well", cfg.State.Path)
	default:
		return err
	}
	var sum dryTotal
	err = daemon.DryRun(ctx, cfg, daemon.Options{Logger: log, UserAgent: userAgent()}, known, w.keys, func(p daemon.Planned) error {
		sum.add(p)
		_, err := fmt.Fprintln(c.stdout, plannedText(p))
		return err
	})
	interrupted := ctx.Err() != nil
	if err == nil || interrupted {
		_, werr := fmt.Fprintln(c.stdout, sum)
		err = errors.Join(err, werr)
	}
	switch {
	case interrupted:
		return errors.New("interrupted; what was not asked about is not in the total")
	case err != nil:
		return err
	case sum.refused > 0:
		return &outcome{code: exitAttention}
	}
	return w.attention()
}

// plannedText is a recording's line.
func plannedText(p daemon.Planned) string {
	key := plain(p.Key.String())
	if p.Err != nil {
		return key + ": " + plain(p.Err.Error())
	}
	parts := []string{count(p.Files, "file") + ", " + exact(p.Bytes)}
	if p.Files == 0 {
		parts = []string{"nothing to fetch"}
	}
	for _, q := range []struct {
		n    int
		what string
	}{{p.Unsized, "of unknown size"}, {p.Have, "archived already"}, {p.Open, "not finished yet"}} {
		if q.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", q.n, q.what))
		}
	}
	if len(p.Others) > 0 {
		parts = append(parts, "leads to "+plain(strings.Join(p.Others, ", ")))
	}
	return key + ": " + strings.Join(parts, "; ")
}

// dryTotal adds plans up.
type dryTotal struct {
	recordings, files, unsized, refused int
	bytes                               int64
}

func (t *dryTotal) add(p daemon.Planned) {
	t.recordings++
	t.files += p.Files
	t.unsized += p.Unsized
	t.bytes += p.Bytes
	if p.Err != nil {
		t.refused++
	}
}

// String renders the last line of a dry run.
func (t dryTotal) String() string {
	s := fmt.Sprintf("total: %s, %s to fetch, %s", count(t.recordings, "recording"), count(t.files, "file"), exact(t.bytes))
	if t.unsized > 0 {
		s += fmt.Sprintf(", %d of unknown size", t.unsized)
	}
	if t.refused > 0 {
		s += fmt.Sprintf(", %d refused", t.refused)
	}
	return s
}
