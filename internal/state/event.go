package state

import "time"

// EventType says what happened.
type EventType string

// The events. Those that name a move carry From and To.
const (
	EventTracked             EventType = "tracked"
	EventUntracked           EventType = "untracked" // From the status that was; To nothing
	EventSettled             EventType = "settled"
	EventDiscovered          EventType = "discovered"
	EventTransferring        EventType = "transferring"
	EventAttemptFailed       EventType = "attempt_failed"
	EventRestarted           EventType = "restarted"
	EventStored              EventType = "stored"
	EventVerified            EventType = "verified"
	EventSuperseded          EventType = "superseded"
	EventArchiving           EventType = "archiving"
	EventArchived            EventType = "archived"
	EventManifestWritten     EventType = "manifest_written"
	EventRedirected          EventType = "redirected"
	EventQuarantined         EventType = "quarantined"
	EventSourceGone          EventType = "source_gone"
	EventRetried             EventType = "retried"
	EventAccepted            EventType = "accepted"
	EventHeld                EventType = "held"
	EventUnheld              EventType = "unheld"
	EventWarrant             EventType = "deleting"
	EventSourceDeleted       EventType = "source_deleted"
	EventDeletionUnconfirmed EventType = "deletion_unconfirmed"
	EventDeletionFailed      EventType = "deletion_failed"
)

// The events of record and live; see Event.Conference.
const (
	EventRecordOpening     EventType = "record_opening"
	EventRecordOpen        EventType = "record_open"
	EventRecordUnresolved  EventType = "record_unresolved"
	EventRecordRefused     EventType = "record_refused"
	EventRecordClosed      EventType = "record_closed"
	EventRecordCloseFailed EventType = "record_close_failed"
	EventLiveOpening       EventType = "live_opening"
	EventLiveOpen          EventType = "live_open"
	EventLiveUnresolved    EventType = "live_unresolved"
	EventLiveRefused       EventType = "live_refused"
	EventLiveClosed        EventType = "live_closed"
	EventLiveCloseFailed   EventType = "live_close_failed"
)

// Event is one line of the audit log. Events are appended in the transaction
// of the move that they tell of and are never changed or removed.
type Event struct {
	Seq           uint64    `json:"seq"` // given by the store, without gaps, from 1
	At            time.Time `json:"at"`
	Tenant        string    `json:"tenant"`
	RecordID      string    `json:"record_id"`                // "" in most events of record and live
	ConferenceKey string    `json:"conference_key,omitempty"` // of record and live alone
	FileID        string    `json:"file_id,omitempty"`
	Type          EventType `json:"type"`
	From          string    `json:"from,omitempty"` // status, or phase where FileID is set, or a session's where ConferenceKey is
	To            string    `json:"to,omitempty"`
	Reason        Reason    `json:"reason,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	Warrant       string    `json:"warrant,omitempty"`
}

// Warrant is the evidence on which a source is deleted, stored before the
// call. One warrant permits one call of delRecordFile.
type Warrant struct {
	ID       string     `json:"id"`
	Tenant   string     `json:"tenant"`
	RecordID string     `json:"record_id"` // the recording that delRecordFile names
	At       time.Time  `json:"at"`
	ListedAt time.Time  `json:"listed_at"` // when the fresh listing was received
	Covers   []string   `json:"covers"`    // every recordId that the listing named, RecordID included
	Evidence []Evidence `json:"evidence"`  // one for every item of the listing
	Clocks   Clocks     `json:"clocks"`
}

// Clocks are the wall clocks that were compared.
type Clocks struct {
	Ours   time.Time `json:"ours"`
	Vendor time.Time `json:"vendor,omitzero"`
	Bucket time.Time `json:"bucket,omitzero"`
}

// Evidence is what was known of one file when the warrant was made.
type Evidence struct {
	RecordID     string        `json:"record_id"`
	FileID       string        `json:"file_id"`
	DeclaredSize int64         `json:"declared_size"`
	Source       SourceVersion `json:"source"`                  // as the fresh URL answered
	SourceReread bool          `json:"source_reread,omitempty"` // no validator: all bytes were read and compared
	Dest         Destination   `json:"dest"`
	Key          string        `json:"key"`
	Object       Object        `json:"object"` // as the bucket answered
	Size         int64         `json:"size"`
	Sums         Checksums     `json:"sums"`
	Level        Level         `json:"level"`
	ReadbackAt   time.Time     `json:"readback_at,omitzero"`
}
