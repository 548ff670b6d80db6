package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
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
		RunE: c.act(func(ctx context.Context, _ []string) error { return c.ls(ctx, f) }),
	}
	cmd.Flags().StringSliceVar(&f.statuses, "status", nil, "only these `statuses`, such as waiting,quarantined")
	cmd.Flags().StringVar(&f.conference, "conference", "", "only recordings of the conference with this `key`")
	cmd.Flags().StringVar(&f.since, "since", "", "not before this `time`")
	cmd.Flags().StringVar(&f.until, "until", "", "before this `time`")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "at most so many, 0 is all")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON lines")
	c.completes(cmd, "status", completeStatuses)
	return cmd
}

// query checks the flags.
func (f lsFlags) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	if f.limit < 0 {
		return nil, usage("--limit %d: it is negative; 0 is all", f.limit)
	}
	for _, s := range f.statuses {
		if !slices.Contains(state.Statuses(), state.Status(s)) {
			return nil, usage("--status %s: no such status; there are %s", s, joined(state.Statuses()))
		}
		q.Add("status", s)
	}
	if f.conference != "" {
		q.Set("conference_key", f.conference)
	}
	for _, t := range []struct{ flag, text string }{{"since", f.since}, {"until", f.until}} {
		if t.text == "" {
			continue
		}
		at, err := parseTime(t.text, now)
		if err != nil {
			return nil, usage("--%s: %w", t.flag, err)
		}
		q.Set(t.flag, at.Format(time.RFC3339Nano))
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

func (c *cli) ls(ctx context.Context, f lsFlags) error {
	q, err := f.query(time.Now())
	if err != nil {
		return err
	}
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		if c.tenant != "" {
			if _, err := c.tenants(ctx, a); err != nil {
				return err
			}
			q.Set("tenant", c.tenant)
		}
		var more bool
		if f.json {
			out := lines(c.stdout)
			more, err = a.recordings(ctx, q, f.limit, func(r apitype.Recording) error { return out.Encode(r) })
		} else {
			more, err = c.lsTable(ctx, a, q, f.limit)
		}
		if err != nil {
			return err
		}
		if more {
			c.say("there are more than these %d; --limit 0 lists all", f.limit)
		}
		return c.unresolved(ctx, a)
	})
}

// lines writes JSON lines.
func lines(w io.Writer) *json.Encoder {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return out
}

// recordings calls f for at most limit recordings, all with 0, and reports
// whether there are more.
func (a *client) recordings(ctx context.Context, q url.Values, limit int, f func(apitype.Recording) error) (more bool, err error) {
	const page = 1000
	for left := limit; ; {
		n := page
		if limit > 0 {
			n = min(left, page)
		}
		q.Set("limit", strconv.Itoa(n))
		var p apitype.Page
		if err := a.call(ctx, http.MethodGet, "/recordings", q, nil, &p); err != nil {
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
		q.Set("cursor", p.NextCursor)
	}
}

// whyWidth is how much of the last column fits on a line.
const whyWidth = 160

func (c *cli) lsTable(ctx context.Context, a *client, q url.Values, limit int) (more bool, err error) {
	rows := [][]string{{"TENANT", "RECORD ID", "STATUS", "FILES", "BYTES", "START", "WHY, OR WHAT NEXT"}}
	more, err = a.recordings(ctx, q, limit, func(r apitype.Recording) error {
		var size int64
		files := slices.DeleteFunc(r.Files, func(f apitype.File) bool { return f.Superseded })
		for _, f := range files {
			size += f.Size
		}
		rows = append(rows, []string{
			r.Tenant, plain(r.RecordID), r.Status, strconv.Itoa(len(files)), human(size),
			stamp(r.StartTime), cut(plain(short(r)), whyWidth),
		})
		return nil
	})
	switch {
	case err != nil:
	case len(rows) > 1:
		_, err = io.WriteString(c.stdout, columns(rows))
	default:
		c.say("no such recording")
	}
	return more, err
}

// short is what a line has room for: what is wrong, else what comes next.
func short(r apitype.Recording) string {
	if r.Attention != "" {
		return r.Attention
	}
	return r.Next
}
