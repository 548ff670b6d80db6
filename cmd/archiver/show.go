package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
	"archiver/internal/explain"
	"archiver/internal/state"
)

func (c *cli) showCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "show RECORD_ID",
		Short: "Show a recording: why it is where it is, and what happens next",
		Args:  cobra.ExactArgs(1),
		RunE:  c.act(func(ctx context.Context, args []string) error { return c.show(ctx, args[0], asJSON) }),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) show(ctx context.Context, id string, asJSON bool) error {
	if err := validIDs([]string{id}); err != nil {
		return err
	}
	return c.asking(ctx, false, func(ctx context.Context, a *client) error {
		tenants, err := c.tenants(ctx, a)
		if err != nil {
			return err
		}
		d, err := c.find(ctx, a, tenants, id)
		switch {
		case err != nil:
			return err
		case asJSON:
			return lines(c.stdout).Encode(d)
		}
		_, err = io.WriteString(c.stdout, detailText(d, time.Now()))
		return err
	})
}

// field is a line of show; those without a value are left out.
type field struct{ name, value string }

// detailText renders for people.
func detailText(d apitype.Detail, now time.Time) string {
	var b strings.Builder
	b.WriteString(name(d.Tenant, d.RecordID) + "\n" + table([]field{
		{"status", d.Status},
		{"why", d.Why},
		{"next", d.Next},
		{"conference", d.ConferenceKey},
		{"enterprise", d.EntID},
		{"recorded", between(d.StartTime, d.StopTime)},
		{"adopted from", d.AdoptedFrom},
		{"tracked", some(d.TrackedAt)},
		{"last asked", asked(d)},
		{"settled", some(d.SettledAt)},
		{"archived", some(d.ArchivedAt)},
		{"hold", yes(d.Hold)},
		{"deletion", deletion(d, now)},
		{"source deleted", some(d.SourceDeletedAt)},
		{"source gone", some(d.SourceGoneAt)},
		{"manifest", manifest(d.Manifest)},
	}))
	for _, f := range d.Files {
		fmt.Fprintf(&b, "\nfile %s: %s\n%s", f.FileID, plain(f.Filename), table(fileFields(f, now)))
	}
	rows := make([][]string, len(d.Events))
	for i, e := range d.Events {
		rows[i] = eventRow(e)
	}
	b.WriteString("\nlast events\n" + columns(rows))
	return b.String()
}

// table renders what there is of the fields.
func table(fields []field) string {
	var rows [][]string
	for _, f := range fields {
		if f.value != "" {
			rows = append(rows, []string{"  " + f.name, plain(f.value)})
		}
	}
	return columns(rows)
}

func fileFields(f apitype.FileDetail, now time.Time) []field {
	fields := []field{
		{"phase", f.Phase},
		{"reason", f.Reason},
		{"superseded", yes(f.Superseded)},
		{"error", f.Error},
		{"suspect", f.Suspect},
		{"size", sizeText(f)},
		{"marks", marks(f)},
		{"recorded", between(f.StartTime, f.StopTime)},
		{"source", f.Source},
		{"missing", missingText(f)},
		{"bucket", strings.TrimSpace(f.Bucket + " " + f.Endpoint)},
		{"key", f.Key},
		{"sha256", f.SHA256},
		{"crc64nvme", f.CRC64NVME},
		{"etag", f.ETag},
		{"version", f.VersionID},
		{"verification", verification(f)},
		{"read back", some(f.ReadbackAt)},
	}
	if f.Deadline != nil {
		fields = append(fields, field{"deadline", explain.When(*f.Deadline, now)})
	}
	if f.Attempts > 0 {
		fields = append(fields, field{"attempts", fmt.Sprint(f.Attempts)})
	}
	if f.NextAttemptAt != nil && f.NextAttemptAt.After(now) {
		fields = append(fields, field{"next attempt", explain.When(*f.NextAttemptAt, now)})
	}
	return fields
}

func some(t *time.Time) string {
	if t == nil {
		return ""
	}
	return stamp(t)
}

func between(start, stop *time.Time) string {
	if start == nil && stop == nil {
		return ""
	}
	return stamp(start) + " to " + stamp(stop)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func asked(d apitype.Detail) string {
	switch {
	case d.LastPolledAt == nil:
		return "never"
	case d.PollError != "":
		return stamp(d.LastPolledAt) + ": " + d.PollError
	}
	return stamp(d.LastPolledAt)
}

// deletion is when the source may be deleted, and what came of trying.
func deletion(d apitype.Detail, now time.Time) string {
	from := ""
	switch {
	case !d.Deletion.Enabled:
		from = "off"
	case d.DeleteAfter != nil:
		from = "from " + explain.When(*d.DeleteAfter, now)
	}
	warrant := ""
	if d.Deletion.Warrant != "" {
		warrant = "warrant " + d.Deletion.Warrant
	}
	return explain.Sentences(from, warrant, d.Deletion.Error)
}

func manifest(m apitype.ManifestInfo) string {
	s := ""
	if m.WrittenAt != nil {
		s = fmt.Sprintf("%s/%s of %s", m.Bucket, m.Key, stamp(m.WrittenAt))
	}
	if m.Due {
		s = explain.Sentences(s, "due")
	}
	return explain.Sentences(s, m.Error)
}

func marks(f apitype.FileDetail) string {
	s := state.Marks{SizeMismatch: f.SizeMismatch, LengthUnproven: f.LengthUnproven, ContentSuspect: f.ContentSuspect}.String()
	if s != "" && f.Accepted {
		return s + " (accepted)"
	}
	return s
}

// sizeText is what there is of how much.
func sizeText(f apitype.FileDetail) string {
	s := exact(f.Size)
	switch state.Phase(f.Phase) {
	case state.Discovered, state.Transferring, state.FileQuarantined:
		if f.Size == 0 {
			s = "unknown"
		}
		return fmt.Sprintf("%s, of which %s are in the bucket", s, exact(f.Transferred))
	case state.Stored, state.Verified:
	}
	if f.DeclaredSize != nil && *f.DeclaredSize != f.Size {
		s += fmt.Sprintf(", though the vendor says %d", *f.DeclaredSize)
	}
	return s
}

func missingText(f apitype.FileDetail) string {
	if f.Missing == 0 {
		return ""
	}
	return fmt.Sprintf("not listed since %s, %d times in a row", stamp(f.MissingSince), f.Missing)
}

func verification(f apitype.FileDetail) string {
	if f.VerifiedAt == nil {
		return ""
	}
	return f.Verification + " at " + stamp(f.VerifiedAt)
}

func eventRow(e apitype.Event) []string {
	move := ""
	if e.From != e.To {
		move = strings.TrimPrefix(e.From+" → "+e.To, " → ")
	}
	detail := explain.Sentences(e.Reason, e.Detail)
	if e.Warrant != "" {
		detail = explain.Sentences("warrant "+e.Warrant, detail)
	}
	return []string{"  " + explain.Stamp(e.At), e.Type, e.FileID, move, plain(detail)}
}
