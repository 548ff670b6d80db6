package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
	"archiver/internal/explain"
	"archiver/internal/state"
)

func (c *cli) trackCommand() *cobra.Command {
	from, asJSON := "", false
	cmd := &cobra.Command{
		Use:   "track [RECORD_ID…]",
		Short: "Have these recordings archived by the daemon",
		Long: `Adds the recordings to what is polled, and returns at once. A running archiver
begins with them now; without one they wait for archiver run or backfill.

--from reads ids from a file, or from standard input ("-"): one a line, CSV or
TSV with a record_id column (and perhaps a tenant column), or JSON lines.

Exit code: 3 if lines of the list were not understood; the others are tracked.`,
		RunE: c.act(func(ctx context.Context, args []string) error { return c.track(ctx, from, asJSON, args) }),
	}
	cmd.Flags().StringVar(&from, "from", "", "read ids from `file`, - is standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines, one a tenant")
	return cmd
}

// trackBatch is how many ids are handed over at once.
const trackBatch = 1000

// trackedOf is what came of one tenant's ids.
type trackedOf struct {
	Tenant string `json:"tenant"`
	apitype.Tracked
}

// trackIn is the body that tracks.
type trackIn struct {
	Tenant    string   `json:"tenant"`
	RecordIDs []string `json:"record_ids"`
}

func (c *cli) track(ctx context.Context, from string, asJSON bool, args []string) error {
	if from == "" && len(args) == 0 {
		return usage("no id was given: name the recordings, or a list of them with --from")
	}
	cfg, err := c.reach(ctx)
	if err != nil {
		return err
	}
	w, err := c.wanted(cfg, from, args)
	if err != nil {
		return err
	}
	defer w.Close()
	keys, err := collected(w.all())
	if err != nil {
		return err
	}
	return c.asking(ctx, true, func(ctx context.Context, a *client) error {
		var tracked, already int
		out := lines(c.stdout)
		err := a.track(ctx, keys, asJSON, func(t trackedOf) error {
			tracked, already = tracked+len(t.Tracked.Tracked), already+len(t.Already)
			for _, i := range t.Invalid {
				c.say("%s: %s", name(t.Tenant, i.RecordID), plain(i.Reason))
				w.bad++
			}
			if asJSON {
				return out.Encode(t)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if !asJSON {
			if _, err := fmt.Fprintf(c.stdout, "%s tracked, %d tracked already\n", explain.Count(tracked, "recording"), already); err != nil {
				return err
			}
		}
		c.waits(a)
		return w.attention()
	})
}

// track hands over recordings and tells what came of them: at once, or a
// tenant's together.
func (a *client) track(ctx context.Context, keys *state.KeySet, together bool, tell func(trackedOf) error) error {
	var in trackIn
	none := func() trackedOf {
		return trackedOf{Tracked: apitype.Tracked{Tracked: []string{}, Already: []string{}, Invalid: []apitype.Invalid{}}}
	}
	all := none()
	for i, k := range keys.All() {
		in.Tenant = k.Tenant
		in.RecordIDs = append(in.RecordIDs, k.RecordID)
		last := i == keys.Len()-1 || keys.At(i+1).Tenant != k.Tenant
		if !last && len(in.RecordIDs) < trackBatch {
			continue
		}
		var got apitype.Tracked
		if err := a.call(ctx, http.MethodPost, "/recordings", nil, in, &got); err != nil {
			return err
		}
		all.Tenant, in.RecordIDs = k.Tenant, in.RecordIDs[:0]
		all.Tracked.Tracked = append(all.Tracked.Tracked, got.Tracked...)
		all.Already, all.Invalid = append(all.Already, got.Already...), append(all.Invalid, got.Invalid...)
		if last || !together {
			if err := tell(all); err != nil {
				return err
			}
			all = none()
		}
	}
	return nil
}

// waits says that nobody works now on what was asked for.
func (c *cli) waits(a *client) {
	if !a.remote() {
		c.say("no archiver is running: it waits for archiver run, or archiver backfill")
	}
}

func (c *cli) untrackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "untrack RECORD_ID…",
		Short: "Forget recordings; the bucket and the vendor keep what they have",
		Long: `Removes the recordings from what is polled and from what is known. What is
in the bucket and at the vendor stays as it is. An id that the configuration
lists is refused: it would be tracked again.`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.act(func(ctx context.Context, args []string) error {
			if err := validIDs(args); err != nil {
				return err
			}
			return c.asking(ctx, false, func(ctx context.Context, a *client) error {
				return c.each(ctx, a, args, func(d apitype.Detail) error {
					if err := a.call(ctx, http.MethodDelete, recordingPath(d.Tenant, d.RecordID), nil, nil, nil); err != nil {
						return err
					}
					_, err := fmt.Fprintf(c.stdout, "%s: no longer tracked\n", name(d.Tenant, d.RecordID))
					return err
				})
			})
		}),
	}
}
