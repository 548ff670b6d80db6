package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"archiver/internal/apitype"
	"archiver/internal/daemon"
	"archiver/internal/explain"
	"archiver/internal/state"
)

// dryRun says what a backfill would fetch.
func (b *backfilling) dryRun(ctx context.Context) (err error) {
	var sum dryTotal
	each := func(p apitype.Planned) error {
		sum.add(p)
		if b.f.json {
			return nil // the line was printed
		}
		_, err := fmt.Fprintln(b.c.stdout, plannedText(p))
		return err
	}
	a, err := b.c.connect(ctx, b.cfg, opening{log: b.log})
	switch {
	case errors.Is(err, errNoState):
		b.c.say("no state at %s yet: nothing counts as archived", b.cfg.State.Path)
		err = b.planAlone(ctx, each)
	case err != nil:
	default:
		defer closing(&err, a)
		err = b.ask(ctx, a, func(l apitype.BackfillLine) error {
			if l.Planned == nil {
				return nil
			}
			return each(*l.Planned)
		})
	}
	interrupted := ctx.Err() != nil
	if (err == nil || interrupted) && !b.f.json {
		_, werr := fmt.Fprintln(b.c.stdout, sum)
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
	return b.w.attention()
}

// planAlone plans where there is no state, and makes none.
func (b *backfilling) planAlone(ctx context.Context, each func(apitype.Planned) error) error {
	out := lines(b.c.stdout)
	var keys *state.KeySet
	if b.list != nil {
		var err error
		if keys, err = collected(b.list); err != nil {
			return err
		}
	}
	return daemon.DryRun(ctx, b.cfg, daemon.Options{Logger: b.log, UserAgent: userAgent()}, nil, keys, func(p daemon.Planned) error {
		q := planOf(p)
		if b.f.json {
			if err := out.Encode(apitype.BackfillLine{Planned: &q}); err != nil {
				return err
			}
		}
		return each(q)
	})
}

// planOf renders a plan as the API does.
func planOf(p daemon.Planned) apitype.Planned {
	out := apitype.Planned{
		Tenant: p.Key.Tenant, RecordID: p.Key.RecordID, Files: p.Files, Bytes: p.Bytes, Unsized: p.Unsized,
		Have: p.Have, Open: p.Open, Others: p.Others,
	}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	return out
}

// plannedText is a recording's line.
func plannedText(p apitype.Planned) string {
	key := name(p.Tenant, p.RecordID)
	if p.Error != "" {
		return key + ": " + plain(p.Error)
	}
	parts := []string{explain.Count(p.Files, "file") + ", " + exact(p.Bytes)}
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

func (t *dryTotal) add(p apitype.Planned) {
	t.recordings++
	t.files += p.Files
	t.unsized += p.Unsized
	t.bytes += p.Bytes
	if p.Error != "" {
		t.refused++
	}
}

// String renders the last line of a dry run.
func (t dryTotal) String() string {
	s := fmt.Sprintf("total: %s, %s to fetch, %s", explain.Count(t.recordings, "recording"), explain.Count(t.files, "file"), exact(t.bytes))
	if t.unsized > 0 {
		s += fmt.Sprintf(", %d of unknown size", t.unsized)
	}
	if t.refused > 0 {
		s += fmt.Sprintf(", %d refused", t.refused)
	}
	return s
}
