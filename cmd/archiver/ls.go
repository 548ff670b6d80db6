package main

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/state"
)

// lsFlags say what to list.
type lsFlags struct {
	statuses     []string
	conference   string
	since, until string
	limit        int
	json         bool
}

func (c *cli) lsCommand() *cobra.Command {
	var f lsFlags
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List recordings, newest first",
		Long: `Lists what is known of the recordings, newest first.

Times: 2026-05-31T01:43:09Z, 2026-05-31 (midnight UTC), or how long ago, such as
7d or 12h. They count from when the recording began; from when it was tracked,
where that is not known.`,
		Args: cobra.NoArgs,
		RunE: act(func(ctx context.Context, _ []string) error { return c.ls(ctx, f) }),
	}
	cmd.Flags().StringSliceVar(&f.statuses, "status", nil, "only these `statuses`, such as waiting,quarantined")
	cmd.Flags().StringVar(&f.conference, "conference", "", "only recordings of the conference with this `key`")
	cmd.Flags().StringVar(&f.since, "since", "", "not before this `time`")
	cmd.Flags().StringVar(&f.until, "until", "", "before this `time`")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "at most so many, 0 is all")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON lines")
	return cmd
}

// query checks the flags.
func (f lsFlags) query(now time.Time) (state.Query, error) {
	q := state.Query{ConferenceKey: f.conference}
	if f.limit < 0 {
		return q, usage("--limit %d: it is negative; 0 is all", f.limit)
	}
	for _, s := range f.statuses {
		if !slices.Contains(state.Statuses(), state.Status(s)) {
			return q, usage("--status %s: no such status; there are %s", s, joined(state.Statuses()))
		}
		q.Statuses = append(q.Statuses, state.Status(s))
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &q.Since}, {"until", f.until, &q.Until}} {
		if t.text == "" {
			continue
		}
		at, err := parseTime(t.text, now)
		if err != nil {
			return q, usage("--%s: %w", t.flag, err)
		}
		*t.to = at
	}
	return q, nil
}

func joined[S ~string](all []S) string {
	s := make([]string, len(all))
	for i, v := range all {
		s[i] = string(v)
	}
	return strings.Join(s, ", ")
}

func (c *cli) ls(ctx context.Context, f lsFlags) (err error) {
	now := time.Now()
	q, err := f.query(now)
	if err != nil {
		return err
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	st, err := openState(ctx, cfg)
	if err != nil {
		return err
	}
	defer closing(&err, st)
	names, err := knownTenants(ctx, cfg, st)
	if err != nil {
		return err
	}
	if err := c.checkTenant(names); err != nil {
		return err
	}
	q.Tenant = c.tenant
	if f.json {
		out := json.NewEncoder(c.stdout)
		out.SetEscapeHTML(false)
		_, err := each(ctx, st, q, f.limit, func(r state.Recording) error { return out.Encode(rendered(ctx, cfg, st, r)) })
		return err
	}
	return c.lsTable(ctx, cfg, st, q, f.limit, now)
}

// each calls f for at most limit recordings, all with 0, and reports whether
// there are more.
func each(ctx context.Context, st state.Records, q state.Query, limit int, f func(state.Recording) error) (more bool, err error) {
	const page = 1000
	for left := limit; ; {
		q.Limit = page
		if limit > 0 {
			q.Limit = min(left, page)
		}
		p, err := st.List(ctx, q)
		if err != nil {
			return false, err
		}
		for _, r := range p.Items {
			if err := f(r); err != nil {
				return false, err
			}
		}
		left -= len(p.Items)
		if p.NextCursor == "" || limit > 0 && left <= 0 {
			return p.NextCursor != "", nil
		}
		q.Cursor = p.NextCursor
	}
}

// whyWidth is how much of the last column fits on a line.
const whyWidth = 160

func (c *cli) lsTable(ctx context.Context, cfg *config.Config, st state.Records, q state.Query, limit int, now time.Time) error {
	rows := [][]string{{"TENANT", "RECORD ID", "STATUS", "FILES", "BYTES", "START", "WHY, OR WHAT NEXT"}}
	more, err := each(ctx, st, q, limit, func(r state.Recording) error {
		rows = append(rows, []string{
			r.Tenant, plain(r.RecordID), string(r.Status), strconv.Itoa(len(current(r))), human(size(r)),
			stamp(r.StartTime), cut(plain(short(r, cfg, now)), whyWidth),
		})
		return nil
	})
	if err != nil {
		return err
	}
	n := len(rows) - 1
	if n > 0 {
		if _, err := io.WriteString(c.stdout, columns(rows)); err != nil {
			return err
		}
	}
	switch {
	case n == 0:
		c.say("no such recording")
	case more:
		c.say("there are more than these %d; --limit 0 lists all", n)
	}
	return nil
}

// short is what a line has room for: what is wrong, else what comes next.
func short(r state.Recording, cfg *config.Config, now time.Time) string {
	if why := daemon.NeedsAttention(r); why != "" {
		return why
	}
	_, next := explain(r, cfg, now)
	return next
}

// current are the files that still count.
func current(r state.Recording) []state.File {
	var out []state.File
	for _, f := range r.Files {
		if !f.Superseded {
			out = append(out, f)
		}
	}
	return out
}

// size is how many bytes the files have, as far as that is known.
func size(r state.Recording) int64 {
	var n int64
	for _, f := range current(r) {
		n += fileSize(f)
	}
	return n
}

// fileSize is what was stored, else what the source or the vendor declared.
func fileSize(f state.File) int64 {
	switch {
	case f.Phase == state.Stored || f.Phase == state.Verified:
		return f.Size
	case f.Version != nil && f.Version.Length >= 0:
		return f.Version.Length
	}
	return max(f.DeclaredSize, 0)
}
