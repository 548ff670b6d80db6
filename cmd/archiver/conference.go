package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
)

// kind is what a conference is asked for.
type kind struct{ path, noun string }

var (
	recordKind = kind{"record", "recording"}
	liveKind   = kind{"live", "live stream"}
)

func (c *cli) recordCommand() *cobra.Command {
	return c.kindCommand(&cobra.Command{
		Use:   "record",
		Short: "Start or stop the recording of a conference",
		Long: `Asks the vendor to start or stop recording a conference, and prints the
recordId, which is tracked at once.

The intent is stored before the vendor is called. Where its answer is lost, the
recording is unresolved (exit code 3): whether it runs is not known, and it is
not asked for again; record stop resolves it. archiver ls names what is
unresolved.`,
	}, recordKind, "record it, and print the recordId", "end the recording, and print the recordId")
}

func (c *cli) liveCommand() *cobra.Command {
	return c.kindCommand(&cobra.Command{
		Use:   "live",
		Short: "Start or stop the live stream of a conference",
		Long: `Asks the vendor to start or stop streaming a conference. start prints the URL,
which is kept nowhere.`,
	}, liveKind, "stream it, and print the URL", "end the live stream")
}

func (c *cli) kindCommand(cmd *cobra.Command, k kind, start, stop string) *cobra.Command {
	cmd.Args, cmd.RunE = cobra.ArbitraryArgs, choose
	for _, s := range []struct{ verb, method, short string }{{"start", http.MethodPost, start}, {"stop", http.MethodDelete, stop}} {
		asJSON := false
		sub := &cobra.Command{
			Use:   s.verb + " CONFERENCE_KEY",
			Short: strings.ToUpper(s.short[:1]) + s.short[1:],
			Args:  cobra.ExactArgs(1),
			RunE: c.act(func(ctx context.Context, args []string) error {
				return c.conference(ctx, k, s.method, args[0], asJSON)
			}),
		}
		sub.Flags().BoolVar(&asJSON, "json", false, "print JSON")
		cmd.AddCommand(sub)
	}
	asJSON := false
	list := &cobra.Command{
		Use:   "ls",
		Short: "List what has begun and not ended, and what is unresolved",
		Args:  cobra.NoArgs,
		RunE:  c.act(func(ctx context.Context, _ []string) error { return c.conferenceList(ctx, k, asJSON) }),
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	cmd.AddCommand(list)
	return cmd
}

func (c *cli) conferenceList(ctx context.Context, k kind, asJSON bool) error {
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		all, err := c.conferences(ctx, a)
		if err != nil {
			return err
		}
		rows := [][]string{{"TENANT", "CONFERENCE", "STATUS", "SINCE", "RECORD ID", "ERROR"}}
		out := lines(c.stdout)
		for _, o := range all {
			switch {
			case o.Kind != k.path:
			case asJSON:
				if err := out.Encode(o); err != nil {
					return err
				}
			default:
				rows = append(rows, []string{o.Tenant, plain(o.ConferenceKey), o.Status, some(o.ChangedAt), plain(o.RecordID), plain(o.Error)})
			}
		}
		if asJSON {
			return nil
		}
		if len(rows) == 1 {
			c.say("no %s is open", k.noun)
			return nil
		}
		_, err = io.WriteString(c.stdout, columns(rows))
		return err
	})
}

func (c *cli) conference(ctx context.Context, k kind, method, key string, asJSON bool) error {
	if key == "" {
		return usage("no conference key; name the conference")
	}
	return c.asking(ctx, true, func(ctx context.Context, a *client) error {
		tenant, err := c.conferenceTenant(ctx, a, k, method, key)
		if err != nil {
			return err
		}
		got, err := c.effect(ctx, a, k, method, tenant, key)
		switch {
		case err != nil:
			return err
		case asJSON:
			err = lines(c.stdout).Encode(got)
		default:
			err = c.tellConference(a, k, method, got)
		}
		return stands(err)
	})
}

// effect makes a call that goes on when whoever asked for it leaves. A running
// archiver finishes it alone; one of this process is waited for, since it ends
// with the command.
func (c *cli) effect(ctx context.Context, a *client, k kind, method, tenant, key string) (got apitype.Conference, err error) {
	if ctx.Err() != nil { // nothing was called
		return got, ctx.Err()
	}
	call := ctx
	if !a.remote() {
		call = context.WithoutCancel(ctx)
		defer context.AfterFunc(ctx, func() {
			c.say("%s: waiting for the vendor's answer; interrupt again to leave it unresolved", c.command)
		})()
	}
	err = a.call(call, method, "/conferences/"+segment(tenant)+"/"+segment(key)+"/"+k.path, nil, nil, &got)
	if err != nil && call.Err() != nil {
		err = &outcome{code: exitAttention, err: fmt.Errorf("interrupted: it may have taken effect; archiver %s stop %s --tenant %s settles it", k.path, plain(key), tenant)}
	}
	return got, stands(err)
}

// tellConference prints what a script wants, and tells people the rest.
func (c *cli) tellConference(a *client, k kind, method string, got apitype.Conference) error {
	out := got.URL
	if k == recordKind {
		out = got.RecordID
	}
	what := fmt.Sprintf("%s: the %s of conference %s ", got.Tenant, k.noun, plain(got.ConferenceKey))
	switch {
	case method == http.MethodPost:
		what += "has begun"
	case got.Error != "":
		what += "is over: " + plain(got.Error)
	default:
		what += "has ended"
	}
	if k == recordKind && out != "" {
		what += "; it is tracked under the recordId that is printed"
	}
	c.say("%s", what)
	if out == "" {
		return nil
	}
	if _, err := fmt.Fprintln(c.stdout, out); err != nil {
		return err
	}
	if k == recordKind {
		c.waits(a)
	}
	return nil
}

// conferences lists what is open or unresolved, of --tenant alone if it is
// given.
func (c *cli) conferences(ctx context.Context, a *client) ([]apitype.Conference, error) {
	var got struct {
		Items []apitype.Conference `json:"items"`
	}
	err := a.call(ctx, http.MethodGet, "/conferences", nil, nil, &got)
	return slices.DeleteFunc(got.Items, func(o apitype.Conference) bool { return c.tenant != "" && o.Tenant != c.tenant }), err
}

// conferenceTenant is whose conference is meant: --tenant, the only one that
// is configured, or, to stop, the only one who started something there.
func (c *cli) conferenceTenant(ctx context.Context, a *client, k kind, method, key string) (string, error) {
	tenant, ambiguous := c.theTenant(c.cfg.TenantNames(), c.cfg.Path)
	if ambiguous == nil || c.tenant != "" || method != http.MethodDelete {
		return tenant, ambiguous
	}
	open, err := c.conferences(ctx, a)
	if err != nil {
		return "", err
	}
	for _, o := range open {
		if o.Kind != k.path || o.ConferenceKey != key {
			continue
		}
		if tenant != "" {
			return "", ambiguous
		}
		tenant = o.Tenant
	}
	if tenant == "" {
		return "", ambiguous
	}
	return tenant, nil
}

// unresolved tells of conferences that need a person.
func (c *cli) unresolved(ctx context.Context, a *client) error {
	all, err := c.conferences(ctx, a)
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Status != "unresolved" {
			continue
		}
		noun := recordKind.noun
		if o.Kind == liveKind.path {
			noun = liveKind.noun
		}
		c.say("unresolved: whether the %s of conference %s of tenant %s, asked for at %s, runs is not known; archiver %s stop --tenant %s %s ends it",
			noun, plain(o.ConferenceKey), o.Tenant, stamp(o.IntendedAt), o.Kind, o.Tenant, plain(o.ConferenceKey))
	}
	return nil
}
