package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrIllegal is wrapped by every refusal of Apply: the change does not fit
// what is true now. It is a race lost or a fault of ours, never bad luck.
var ErrIllegal = errors.New("not a legal move")

// Env is what Apply may know besides the recording.
type Env struct {
	At time.Time
	// KeyTaken reports whether a file other than f has reserved the key.
	KeyTaken func(f FileRef, d Destination, key string) bool
	// Claimed reports whether somebody has claimed the file's transfer; nil:
	// nobody has. Of a short one the state hears only at its end.
	Claimed func(f FileRef) bool
}

// move is a recording on its way through Apply.
type move struct {
	Recording
	env    Env
	events []Event
}

// Apply returns the recording after the changes, in order, with the events
// that tell of them. It is pure and never modifies r. On error (wrapping
// ErrIllegal, or ErrNotFound of an Untrack) nothing is to be written. A result
// with the zero Status is to be forgotten, all but its events.
func Apply(r Recording, env Env, changes ...Change) (Recording, []Event, error) {
	m := &move{Recording: r, env: env}
	m.Files = slices.Clone(r.Files)
	for i := range m.Files {
		if u := m.Files[i].Upload; u != nil {
			c := *u
			m.Files[i].Upload = &c
		}
	}
	for _, c := range changes {
		if m.Status == "" {
			switch c.(type) {
			case Track:
			case Untrack:
				return r, nil, fmt.Errorf("untrack %s: %w", m.ID(), ErrNotFound)
			default:
				return r, nil, fmt.Errorf("change %T of a recording that is not tracked: %w", c, ErrIllegal)
			}
		}
		if err := c.apply(m); err != nil {
			return r, nil, fmt.Errorf("%s: %w", m.ID(), err)
		}
		m.derive()
	}
	return m.Recording, m.events, nil
}

// ApplyWarrant applies a warrant to the recording that it names, as Apply
// does. For stores alone: StoreWarrant's contract says what else must hold.
func ApplyWarrant(r Recording, env Env, w Warrant) (Recording, []Event, error) {
	return Apply(r, env, warranted{id: w.ID})
}

// ApplyCovered notes in a recording that a warrant of another one covers it:
// should it vanish with that one, the warrant explains it. Its status stays.
// For stores alone, as ApplyWarrant is.
func ApplyCovered(r Recording, env Env, w Warrant) (Recording, []Event, error) {
	return Apply(r, env, covered{id: w.ID})
}

func (m *move) illegal(what string) error {
	return fmt.Errorf("%s while %s: %w", what, m.Status, ErrIllegal)
}

func (m *move) event(e Event) {
	e.At, e.Tenant, e.RecordID = m.env.At, m.Tenant, m.RecordID
	m.events = append(m.events, e)
}

func (m *move) to(s Status, e Event) {
	e.From, e.To = string(m.Status), string(s)
	m.Status = s
	if s != Quarantined {
		m.Reason, m.Detail = "", ""
	}
	m.event(e)
}

func (m *move) file(id string) (*File, error) {
	for i := range m.Files {
		if m.Files[i].ID == id {
			return &m.Files[i], nil
		}
	}
	return nil, fmt.Errorf("file %s is not known: %w", id, ErrIllegal)
}

func (m *move) phase(f *File, p Phase, e Event) {
	e.FileID, e.From, e.To = f.ID, string(f.Phase), string(p)
	f.Phase = p
	if p != FileQuarantined {
		f.Reason = ""
	}
	m.event(e)
}

// derive makes the recording follow its files: the one place that knows what
// they mean for the whole.
func (m *move) derive() {
	var bad *File
	open := 0
	for i := range m.Files {
		f := &m.Files[i]
		switch {
		case f.Superseded:
		case f.Phase == FileQuarantined:
			bad = f
		case f.Phase != Verified:
			open++
		}
	}
	switch {
	case bad != nil:
		if m.Status != Quarantined {
			m.Reason, m.Detail = bad.Reason, bad.Error
			m.setAside(bad.Deadline)
			m.to(Quarantined, Event{Type: EventQuarantined, Reason: bad.Reason, Detail: bad.Error})
		}
		return
	case m.Status == Archiving || m.Status == Quarantined:
	case open > 0 || m.claimsAll() && !m.AllVerified():
		// A late file, or the only one was superseded: a source that changed.
		m.to(Archiving, Event{Type: EventArchiving})
	}
	if m.Status == Archiving && open == 0 && m.AllVerified() && !m.SettledAt.IsZero() {
		m.Manifest.Due = true
	}
}

// claimsAll reports whether the status says that every file is safe.
func (m *move) claimsAll() bool {
	switch m.Status {
	case Archived, Deleting, SourceDeleted, DeletionUnconfirmed:
		return true
	case Waiting, Archiving, Redirected, Quarantined:
	}
	return false
}

func (c Track) apply(m *move) error {
	if m.Status != "" {
		if m.AdoptedFrom == "" && !m.Poll.Named {
			m.AdoptedFrom = c.AdoptedFrom // only that listing names its files, perhaps
		}
		return nil
	}
	m.Status = Waiting
	m.TrackedAt = m.env.At
	m.AdoptedFrom = c.AdoptedFrom
	m.Poll.NextAt = m.env.At
	m.event(Event{Type: EventTracked, To: string(Waiting), Detail: c.AdoptedFrom})
	return nil
}

func (c Polled) apply(m *move) error {
	m.Poll = c.Poll
	return nil
}

func (c Describe) apply(m *move) error {
	if c.ConferenceKey != "" {
		m.ConferenceKey = c.ConferenceKey
	}
	if c.EntID != "" {
		m.EntID = c.EntID
	}
	if !c.Start.IsZero() && (m.StartTime.IsZero() || c.Start.Before(m.StartTime)) {
		m.StartTime = c.Start
	}
	if c.Stop.After(m.StopTime) {
		m.StopTime = c.Stop
	}
	return nil
}

func (Settle) apply(m *move) error {
	if m.SettledAt.IsZero() {
		m.SettledAt = m.env.At
		m.event(Event{Type: EventSettled})
	}
	return nil
}

func (c Redirect) apply(m *move) error {
	if m.Status != Waiting || len(m.Files) > 0 {
		return m.illegal("redirect")
	}
	m.Poll.NextAt = time.Time{}
	m.to(Redirected, Event{Type: EventRedirected, Detail: c.Detail})
	return nil
}

func (c Gone) apply(m *move) error {
	if !m.SourceGoneAt.IsZero() {
		return nil
	}
	m.SourceGoneAt = m.env.At
	m.event(Event{Type: EventSourceGone, Detail: c.Detail})
	return nil
}

func (Accept) apply(m *move) error {
	for i := range m.Files {
		f := &m.Files[i]
		if !f.Marks.Any() {
			continue
		}
		f.Marks.Accepted = true
		m.Manifest.Due = m.Manifest.Due || !m.Manifest.WrittenAt.IsZero()
		m.event(Event{Type: EventAccepted, FileID: f.ID, From: string(f.Phase), To: string(f.Phase), Detail: f.Marks.String()})
	}
	return nil
}

func (c Hold) apply(m *move) error {
	if m.Hold == c.On {
		return nil
	}
	if c.On && m.Status == Deleting {
		return m.illegal("hold")
	}
	m.Hold = c.On
	t := EventUnheld
	if c.On {
		t = EventHeld
	}
	m.event(Event{Type: t})
	return nil
}

func (c ManifestWritten) apply(m *move) error {
	m.Manifest = Manifest{Dest: c.Dest, Key: c.Key, ETag: c.ETag, WrittenAt: m.env.At, Merged: c.Merged}
	m.event(Event{Type: EventManifestWritten, Detail: c.Key})
	if !slices.EqualFunc(c.Rendered.Files, m.Files, sameInManifest) || !c.Rendered.SourceDeletedAt.Equal(m.SourceDeletedAt) {
		m.Manifest.Due = true
		return nil
	}
	if m.Status == Archiving && m.AllVerified() && !m.SettledAt.IsZero() {
		m.ArchivedAt = c.Rendered.ArchivedAt
		m.Deletion.EligibleFrom = m.VerifiedAt()
		m.to(Archived, Event{Type: EventArchived})
	}
	return nil
}

// sameInManifest reports whether the manifest tells the same of both.
func sameInManifest(a, b File) bool {
	return a.ID == b.ID && a.Phase == b.Phase && a.Key == b.Key && a.Sums == b.Sums &&
		a.Marks == b.Marks && a.Level == b.Level && a.Superseded == b.Superseded
}

func (c ManifestFailed) apply(m *move) error {
	m.Manifest.Error, m.Manifest.NotBefore = c.Error, c.RetryAt
	return nil
}

func (c warranted) apply(m *move) error {
	if !m.Deletable() {
		return m.illegal("delete the source")
	}
	m.Deletion.WarrantID, m.Deletion.Error = c.id, ""
	m.to(Deleting, Event{Type: EventWarrant, Warrant: c.id})
	return nil
}

// apply leaves alone whose own warrant is in force, or was carried out.
func (c covered) apply(m *move) error {
	if m.Status != Deleting && m.Status != SourceDeleted {
		m.Deletion.WarrantID = c.id
	}
	return nil
}

func (c Void) apply(m *move) error {
	if m.Status == Deleting || m.Status == SourceDeleted {
		return m.illegal("void the warrant")
	}
	if m.Deletion.WarrantID == c.WarrantID {
		m.Deletion.WarrantID = ""
	}
	return nil
}

func (c Deleted) apply(m *move) error {
	if c.WarrantID == "" {
		return m.illegal("confirm the deletion without a warrant")
	}
	switch m.Status {
	case Deleting, Archived, DeletionUnconfirmed:
	default:
		return m.illegal("confirm the deletion")
	}
	m.SourceDeletedAt = m.env.At
	m.Deletion = Deletion{WarrantID: c.WarrantID}
	m.Poll.NextAt = time.Time{}
	m.Manifest.Due = true
	m.to(SourceDeleted, Event{Type: EventSourceDeleted, Warrant: c.WarrantID})
	return nil
}

func (c Unconfirmed) apply(m *move) error {
	if m.Status != Deleting {
		return m.illegal("leave the deletion unconfirmed")
	}
	m.Deletion.EligibleFrom, m.Deletion.Backoff, m.Deletion.Error = c.EligibleFrom, c.Backoff, c.Detail
	m.to(DeletionUnconfirmed, Event{Type: EventDeletionUnconfirmed, Warrant: m.Deletion.WarrantID, Detail: c.Detail})
	return nil
}

func (c DeletionFailed) apply(m *move) error {
	m.Deletion.EligibleFrom, m.Deletion.Backoff = c.EligibleFrom, c.Backoff
	again := m.Deletion.Error == c.Detail
	m.Deletion.Error = c.Detail
	warrant := m.Deletion.WarrantID
	if c.Void {
		m.Deletion.WarrantID = ""
	}
	switch m.Status {
	case Deleting:
		m.to(Archived, Event{Type: EventDeletionFailed, Warrant: warrant, Detail: c.Detail})
	case Archived, DeletionUnconfirmed:
		if !c.Void {
			warrant = "" // this try may have come to none
		}
		if !again || warrant != "" {
			m.event(Event{Type: EventDeletionFailed, Warrant: warrant, Detail: c.Detail})
		}
	default:
		return m.illegal("record a failed deletion")
	}
	return nil
}

func joinKeys(keys []string) string { return strings.Join(keys, ", ") }
