package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ConferenceKind is what a session does with a conference.
type ConferenceKind string

// The kinds of sessions.
const (
	KindRecord ConferenceKind = "record" // openRecord to closeRecord
	KindLive   ConferenceKind = "live"   // openLive to closeLive
)

// SessionStatus is where a session is:
//
//	opening ──► open ──► closed
//	   │  └──► refused      ▲
//	   └─────► unresolved ──┘
type SessionStatus string

// The statuses of a session.
const (
	SessionOpening    SessionStatus = "opening"    // the intent is stored; the call may be under way
	SessionOpen       SessionStatus = "open"       // the vendor said that it is open; it may have ended by itself since
	SessionUnresolved SessionStatus = "unresolved" // the call may have taken effect, the answer was lost
	SessionClosed     SessionStatus = "closed"
	SessionRefused    SessionStatus = "refused" // the call is known to have had no effect
)

// Pending reports whether something may be running at the vendor.
func (s SessionStatus) Pending() bool {
	switch s {
	case SessionOpening, SessionOpen, SessionUnresolved:
		return true
	case SessionClosed, SessionRefused:
	}
	return false
}

// ConferenceRef names a session: the last one of its kind for a conference.
type ConferenceRef struct {
	Tenant        string
	ConferenceKey string // the vendor's, opaque
	Kind          ConferenceKind
}

// String renders "record of conference tenant/key".
func (r ConferenceRef) String() string {
	return string(r.Kind) + " of conference " + r.Tenant + "/" + r.ConferenceKey
}

// Session is what is known of recording a conference, or of streaming it live.
// Its fields are written by ApplySession alone. The URL of a live stream is a
// secret and no part of it.
type Session struct {
	ConferenceRef `json:"-"` // its key

	Status     SessionStatus `json:"status"`              // "": there never was one
	RecordID   string        `json:"record_id,omitempty"` // the last one that the vendor told for it; of KindRecord
	IntendedAt time.Time     `json:"intended_at,omitzero"`
	ChangedAt  time.Time     `json:"changed_at"`
	Error      string        `json:"error,omitempty"` // of the last call; "" if it succeeded
	// Reopened: the intent was formed over a session that was open. Should the
	// vendor refuse, that one is open still.
	Reopened bool `json:"reopened,omitempty"`
}

// SessionChange is a fact that someone wants to be true of a session.
// ApplySession says whether it may become so.
type SessionChange interface {
	applySession(s *Session, at time.Time) (recordID, verb string, err error)
}

// Changes of a session.
type (
	// Intend is stored before openRecord or openLive is called. Refused while
	// opening or unresolved: neither call is ever repeated by itself. Legal
	// over an open session, which may have ended without our knowledge.
	Intend struct{}
	// Opened records that the call succeeded. RecordID is required of a
	// recording and forbidden of a live stream.
	Opened struct{ RecordID string }
	// Unresolve records that the reply was lost.
	Unresolve struct{ Error string }
	// Refuse records that the call is known to have had no effect.
	Refuse struct{ Error string }
	// Close records that closeRecord or closeLive was answered, or that the
	// vendor says that there is nothing to close; then Error tells so and
	// RecordID is "". Legal whatever the session is, even if there was none:
	// others may have opened it.
	Close struct{ RecordID, Error string }
	// CloseFailed notes why a session could not be closed; it stays as it is.
	CloseFailed struct{ Error string }
)

// ApplySession returns the session after a change, with the event that tells
// of it: legal moves of sessions stand here alone. It is pure. The event's
// RecordID is the one that the change carried, if any: a store tracks it in
// the same transaction. Errors wrap ErrIllegal; then nothing is to be written.
func ApplySession(s Session, c SessionChange, at time.Time) (Session, Event, error) {
	after := s
	id, verb, err := c.applySession(&after, at)
	if err == nil && id != "" && s.Kind != KindRecord {
		err = errors.New("a live stream has no recordId")
	}
	if err != nil {
		return s, Event{}, fmt.Errorf("%s: %T: %w: %w", s.ConferenceRef, c, err, ErrIllegal)
	}
	after.ChangedAt = at
	return after, Event{
		At: at, Tenant: s.Tenant, RecordID: id, ConferenceKey: s.ConferenceKey,
		Type: EventType(string(s.Kind) + "_" + verb), From: string(s.Status), To: string(after.Status), Detail: after.Error,
	}, nil
}

// Conference returns the session that an event of record or live tells of;
// From and To are then statuses of that session, even where RecordID is set.
func (e Event) Conference() (ConferenceRef, bool) {
	kind, _, _ := strings.Cut(string(e.Type), "_")
	return ConferenceRef{Tenant: e.Tenant, ConferenceKey: e.ConferenceKey, Kind: ConferenceKind(kind)}, e.ConferenceKey != ""
}

// DecideSession looks at a session as it is inside the transaction (the zero
// Status: there never was one) and says what is to change; nil: nothing. It
// must be pure, as Decide is.
type DecideSession func(Session) (SessionChange, error)

// Conferences is the sessions of record and live. A session left opening by a
// process that ended is unresolved as soon as the store is opened again: no
// call can be under way then.
type Conferences interface {
	// MoveConference loads the session, calls decide, applies its change with
	// ApplySession and writes the result and the event in one transaction, in
	// which a recordId that the change carries is tracked too. It returns the
	// session as written. Errors: decide's own, ErrIllegal, or the store's.
	MoveConference(ctx context.Context, ref ConferenceRef, decide DecideSession) (Session, error)
	// Session returns a session, or ErrNotFound.
	Session(ctx context.Context, ref ConferenceRef) (Session, error)
	// OpenSessions returns the sessions that are opening, open or unresolved,
	// of one tenant or, for "", of all, ordered by tenant, conference and
	// kind. Cost: what is returned.
	OpenSessions(ctx context.Context, tenant string) ([]Session, error)
}
