package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"archiver/internal/apitype"
	"archiver/internal/config"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// shownEvents is how many of a recording's last events are shown.
const shownEvents = 20

func (c *cli) showCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "show RECORD_ID",
		Short: "Show a recording: why it is where it is, and what happens next",
		Args:  cobra.ExactArgs(1),
		RunE:  act(func(ctx context.Context, args []string) error { return c.show(ctx, args[0], asJSON) }),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shown is a recording with all that is to be said of it.
type shown struct {
	apitype.Recording
	Why    string        `json:"why"`
	Next   string        `json:"next"`
	Events []state.Event `json:"events"` // the last ones, oldest first
}

func (c *cli) show(ctx context.Context, id string, asJSON bool) (err error) {
	if !meetingapi.ValidRecordID(id) {
		return usage("%q is no recordId: %s", id, wantID)
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
	r, err := c.find(ctx, cfg, st, id)
	if err != nil {
		return err
	}
	events, err := st.EventsOf(ctx, r.ID(), shownEvents)
	if err != nil {
		return err
	}
	now := time.Now()
	s := shown{Recording: rendered(ctx, cfg, st, r), Events: events}
	s.Why, s.Next = explain(r, cfg, now)
	if asJSON {
		out := json.NewEncoder(c.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(s)
	}
	return printShown(c.stdout, r, s, cfg, now)
}

// find looks for the recording in the tenants that may have it.
func (c *cli) find(ctx context.Context, cfg *config.Config, st state.Records, id string) (state.Recording, error) {
	names, err := knownTenants(ctx, cfg, st)
	if err != nil {
		return state.Recording{}, err
	}
	if err := c.checkTenant(names); err != nil {
		return state.Recording{}, err
	}
	if c.tenant != "" {
		names = []string{c.tenant}
	}
	var found []state.Recording
	var having []string
	for _, name := range names {
		r, err := st.Get(ctx, state.Key{Tenant: name, RecordID: id})
		switch {
		case errors.Is(err, state.ErrNotFound):
		case err != nil:
			return state.Recording{}, err
		default:
			found, having = append(found, r), append(having, name)
		}
	}
	switch len(found) {
	case 0:
		return state.Recording{}, fmt.Errorf("recording %s of %s: %w; archiver backfill %s archives it", id, strings.Join(names, " or "), state.ErrNotFound, id)
	case 1:
		return found[0], nil
	}
	return state.Recording{}, usage("which recording %s? %s have one; say it with --tenant", id, strings.Join(having, ", "))
}

// field is a line of show; those without a value are left out.
type field struct{ name, value string }

// printShown prints for people.
func printShown(out io.Writer, r state.Recording, s shown, cfg *config.Config, now time.Time) error {
	var b strings.Builder
	b.WriteString(plain(r.ID().String()) + "\n" + table([]field{
		{"status", string(r.Status)},
		{"why", s.Why},
		{"next", s.Next},
		{"conference", r.ConferenceKey},
		{"enterprise", r.EntID},
		{"recorded", between(r.StartTime, r.StopTime)},
		{"adopted from", r.AdoptedFrom},
		{"tracked", some(r.TrackedAt)},
		{"last asked", asked(r.Poll)},
		{"settled", some(r.SettledAt)},
		{"archived", some(r.ArchivedAt)},
		{"hold", yes(r.Hold)},
		{"deletion", deletion(r, cfg, now)},
		{"source deleted", some(r.SourceDeletedAt)},
		{"source gone", some(r.SourceGoneAt)},
		{"manifest", manifest(r.Manifest)},
	}))
	for i, f := range r.Files {
		fmt.Fprintf(&b, "\nfile %s: %s\n%s", f.ID, plain(f.Filename), table(fileFields(f, s.Files[i], now)))
	}
	rows := make([][]string, len(s.Events))
	for i, e := range s.Events {
		rows[i] = eventRow(e)
	}
	b.WriteString("\nlast events\n" + columns(rows))
	_, err := io.WriteString(out, b.String())
	return err
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

func fileFields(f state.File, a apitype.File, now time.Time) []field {
	fields := []field{
		{"phase", string(f.Phase)},
		{"reason", string(f.Reason)},
		{"superseded", yes(f.Superseded)},
		{"error", f.Error},
		{"suspect", f.Suspect},
		{"size", sizeText(f, a)},
		{"marks", marks(f.Marks)},
		{"recorded", between(f.StartTime, f.StopTime)},
		{"source", f.SourcePath},
		{"missing", missing(f)},
		{"bucket", strings.TrimSpace(f.Dest.Bucket + " " + f.Dest.Endpoint)},
		{"key", f.Key},
		{"sha256", a.SHA256},
		{"crc64nvme", a.CRC64NVME},
		{"etag", a.ETag},
		{"version", a.VersionID},
		{"verification", verification(f)},
		{"read back", some(f.ReadbackAt)},
	}
	if !f.Deadline.IsZero() {
		fields = append(fields, field{"deadline", when(f.Deadline, now)})
	}
	if f.Attempts > 0 {
		fields = append(fields, field{"attempts", fmt.Sprint(f.Attempts)})
	}
	if f.NextAttemptAt.After(now) {
		fields = append(fields, field{"next attempt", when(f.NextAttemptAt, now)})
	}
	return fields
}

func some(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

func between(start, stop time.Time) string {
	if start.IsZero() && stop.IsZero() {
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

func asked(p state.Poll) string {
	if p.LastAt.IsZero() {
		return "never"
	}
	if p.Error != "" {
		return stamp(p.LastAt) + ": " + p.Error
	}
	return stamp(p.LastAt)
}

// deletion is when the source may be deleted, and what came of trying.
func deletion(r state.Recording, cfg *config.Config, now time.Time) string {
	var parts []string
	t := cfg.Tenants[r.Tenant]
	switch {
	case t == nil || !t.Delete.Enabled:
		parts = append(parts, "off")
	case r.Deletable():
		parts = append(parts, "from "+when(r.Deletion.EligibleFrom.Add(t.Delete.After), now))
	}
	if r.Deletion.WarrantID != "" {
		parts = append(parts, "warrant "+r.Deletion.WarrantID)
	}
	if r.Deletion.Error != "" {
		parts = append(parts, r.Deletion.Error)
	}
	return strings.Join(parts, "; ")
}

func manifest(m state.Manifest) string {
	s := ""
	if !m.WrittenAt.IsZero() {
		s = fmt.Sprintf("%s/%s of %s", m.Dest.Bucket, m.Key, stamp(m.WrittenAt))
	}
	if m.Due {
		s = sentences(s, "due")
	}
	return sentences(s, m.Error)
}

func marks(m state.Marks) string {
	if s := m.String(); s != "" && m.Accepted {
		return s + " (accepted)"
	}
	return m.String()
}

// sizeText is what there is of how much.
func sizeText(f state.File, a apitype.File) string {
	s := exact(a.Size)
	switch f.Phase {
	case state.Discovered, state.Transferring, state.FileQuarantined:
		if fileSize(f) == 0 {
			s = "unknown"
		}
		return fmt.Sprintf("%s, of which %s are in the bucket", s, exact(a.Transferred))
	case state.Stored, state.Verified:
	}
	if f.DeclaredSize >= 0 && f.DeclaredSize != a.Size {
		s += fmt.Sprintf(", though the vendor says %d", f.DeclaredSize)
	}
	return s
}

func missing(f state.File) string {
	if f.Missing == 0 {
		return ""
	}
	return fmt.Sprintf("not listed since %s, %d times in a row", stamp(f.MissingSince), f.Missing)
}

func verification(f state.File) string {
	if f.VerifiedAt.IsZero() {
		return ""
	}
	return string(f.Level) + " at " + stamp(f.VerifiedAt)
}

func eventRow(e state.Event) []string {
	move := ""
	if e.From != e.To {
		move = strings.TrimPrefix(e.From+" → "+e.To, " → ")
	}
	detail := sentences(string(e.Reason), e.Detail)
	if e.Warrant != "" {
		detail = sentences("warrant "+e.Warrant, detail)
	}
	return []string{"  " + stamp(e.At), string(e.Type), e.FileID, move, plain(detail)}
}
