package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// move is a command that asks for one change of each recording.
type move struct {
	method, path string // the call, below the recording
	works        bool   // there is something to do afterwards
	illegal      string // why the status of a recording may forbid it; "": none does
}

// moveCommand builds the command of a move, for recordings that are named.
func (c *cli) moveCommand(cmd *cobra.Command, m move) *cobra.Command {
	asJSON := false
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = c.act(func(ctx context.Context, args []string) error { return c.move(ctx, m, asJSON, args) })
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

func (c *cli) acceptCommand() *cobra.Command {
	return c.moveCommand(&cobra.Command{
		Use:   "accept RECORD_ID…",
		Short: "Say that marked files are right, so that deletion may go on",
		Long: `Files marked size_mismatch, length_unproven or content_suspect are never
deleted at the vendor by themselves. Look at them (archiver get), then accept
the recording. The audit log remembers it.`,
	}, move{method: http.MethodPost, path: "/accept"})
}

func (c *cli) holdCommand() *cobra.Command {
	return c.moveCommand(&cobra.Command{
		Use:   "hold RECORD_ID…",
		Short: "Forbid the deletion of recordings at the vendor",
	}, move{method: http.MethodPut, path: "/hold", illegal: "its deletion at the vendor is under way and cannot be held up any more"})
}

func (c *cli) unholdCommand() *cobra.Command {
	return c.moveCommand(&cobra.Command{
		Use:   "unhold RECORD_ID…",
		Short: "End a hold",
	}, move{method: http.MethodDelete, path: "/hold"})
}

func (c *cli) retryCommand() *cobra.Command {
	quarantined, asJSON := false, false
	m := move{method: http.MethodPost, path: "/retry", works: true, illegal: "only what is quarantined can be tried again"}
	cmd := &cobra.Command{
		Use:   "retry RECORD_ID… | --quarantined",
		Short: "Start anew with recordings that are quarantined",
		RunE: c.act(func(ctx context.Context, args []string) error {
			switch {
			case quarantined && len(args) > 0:
				return usage("--quarantined is all of them: leave either it or the ids out")
			case quarantined:
				return c.retryAll(ctx, m, asJSON)
			case len(args) == 0:
				return usage("which recordings? name them, or say --quarantined for all that are")
			}
			return c.move(ctx, m, asJSON, args)
		}),
	}
	cmd.Flags().BoolVar(&quarantined, "quarantined", false, "all that are quarantined (of --tenant)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

func (c *cli) move(ctx context.Context, m move, asJSON bool, ids []string) error {
	if err := validIDs(ids); err != nil {
		return err
	}
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		done := 0
		err := c.each(ctx, a, ids, func(d apitype.Detail) error {
			err := c.moveOne(ctx, a, m, asJSON, d.Tenant, d.RecordID)
			if err == nil {
				done++
			}
			return err
		})
		if m.works && done > 0 {
			c.waits(a)
		}
		return err
	})
}

// moveOne asks for the change and tells what is true after it.
func (c *cli) moveOne(ctx context.Context, a *client, m move, asJSON bool, tenant, id string) error {
	var r apitype.Recording
	if err := a.call(ctx, m.method, recordingPath(tenant, id)+m.path, nil, nil, &r); err != nil {
		return m.refused(name(tenant, id), err)
	}
	if asJSON {
		return lines(c.stdout).Encode(r)
	}
	_, err := fmt.Fprintf(c.stdout, "%s: %s; %s\n", name(r.Tenant, r.RecordID), r.Status, plain(r.Next))
	return err
}

// refused names the recording, once, and says what the archiver's refusal
// means.
func (m move) refused(who string, err error) error {
	if p, ok := errors.AsType[*problem](err); ok && p.Code == "illegal" && m.illegal != "" {
		err = fmt.Errorf("%w; %s, archiver show says how it is", err, m.illegal)
	}
	if strings.HasPrefix(err.Error(), who+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", who, err)
}

// retryAll lists first: what is tried again leaves the list.
func (c *cli) retryAll(ctx context.Context, m move, asJSON bool) error {
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		q := url.Values{"status": {string(state.Quarantined)}}
		if c.tenant != "" {
			if _, err := c.tenants(ctx, a); err != nil {
				return err
			}
			q.Set("tenant", c.tenant)
		}
		var keys []state.Key
		_, err := a.recordings(ctx, q, 0, func(r apitype.Recording) error {
			keys = append(keys, state.Key{Tenant: r.Tenant, RecordID: r.RecordID})
			return nil
		})
		if err != nil {
			return err
		}
		t := tally{c: c}
		done := 0
		for _, k := range keys {
			err := c.moveOne(ctx, a, m, asJSON, k.Tenant, k.RecordID)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				done++
			}
			t.add(err)
		}
		if !asJSON {
			if _, err := fmt.Fprintf(c.stdout, "%d of %d quarantined tried again\n", done, len(keys)); err != nil {
				return err
			}
		}
		if done > 0 {
			c.waits(a)
		}
		return t.outcome()
	})
}
