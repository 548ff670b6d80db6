package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrNotFound is returned for a recording that is not tracked, and for a
// warrant or a session that there is not.
var ErrNotFound = errors.New("not tracked")

// OpenError says why a state file cannot be used. The file was not changed.
type OpenError struct {
	Path string
	Kind OpenProblem
	Hint string // what to do about it
	Err  error  // cause; may be nil
}

// OpenProblem is what is wrong with a state file.
type OpenProblem string

// The problems of a state file.
const (
	StateLocked  OpenProblem = "locked"
	StateForeign OpenProblem = "foreign"
	StateNewer   OpenProblem = "newer"
	StateDamaged OpenProblem = "damaged"
	StateDenied  OpenProblem = "denied" // rights, directory, disk
)

// Error renders what is wrong with which file and what to do.
func (e *OpenError) Error() string {
	s := fmt.Sprintf("open state %s: %s", e.Path, e.Kind)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; " + e.Hint
}

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

// Work is a kind of work that recordings or files wait for.
type Work string

// The kinds of work.
const (
	WorkPoll     Work = "poll"     // ask the vendor; due at Poll.NextAt
	WorkTransfer Work = "transfer" // a file that is not verified yet, or is quarantined with an upload that has to be aborted; earliest deadline first, then the oldest
	WorkManifest Work = "manifest" // Manifest.Due; due at Manifest.NotBefore
	WorkDelete   Work = "delete"   // Deletable; due at Deletion.EligibleFrom (the caller subtracts the grace time from now)
	WorkConfirm  Work = "confirm"  // status deleting: a warrant whose outcome is not known; always due
)

// Store keeps recordings. Every method is safe for concurrent use, returns
// ctx's error when it gives up because of ctx, and never blocks on the network
// of the outside world. What a method has returned without error is durable:
// it survives SIGKILL and power loss.
//
// The suite in package statetest states this contract as tests; every store
// passes it.
type Store interface {
	Records
	Transfers
	Queue
	Audit
	Conferences
	Maintenance
}

// Records is reading and moving recordings.
type Records interface {
	// Update loads the recording (zero Status if it is not tracked), calls
	// decide, applies its changes with Apply and writes the result and the
	// events in one transaction, which may be shared with other callers. It
	// returns the recording as written. No changes: nothing is written.
	// One that was untracked has the zero Status. Errors: decide's own,
	// ErrIllegal or ErrNotFound from Apply, or the store's.
	Update(ctx context.Context, k Key, decide Decide) (Recording, error)
	// Track applies Track to many recordings in as few transactions as it
	// sees fit and reports for each whether it is new. On error the reports
	// cover the keys that were durably written; the rest may be repeated.
	Track(ctx context.Context, keys []Key) (isNew []bool, err error)
	// Get returns a recording with its files, or ErrNotFound.
	Get(ctx context.Context, k Key) (Recording, error)
	// List returns a page of recordings, newest first by start time (tracking
	// time where that is unknown), without a scan of what does not match the
	// most selective index that fits q.
	List(ctx context.Context, q Query) (Page, error)
	// Totals returns counts per tenant, kept up to date by every move: its
	// cost is independent of the number of recordings.
	Totals(ctx context.Context) (map[string]Totals, error)
}

// Transfers is the parts of files on their way.
type Transfers interface {
	// AddParts records acknowledged parts of the file's present upload.
	// ErrIllegal if that is not uploadID. The first part recorded after a
	// failed attempt also applies Progressed. Commits are grouped.
	AddParts(ctx context.Context, f FileRef, uploadID string, parts ...Part) error
	// Parts returns the recorded parts ordered by number. Recorded parts are
	// dropped in the transaction in which File.Upload becomes nil.
	Parts(ctx context.Context, f FileRef) ([]Part, error)
}

// Queue is work that waits.
type Queue interface {
	// Claim returns up to n pieces of work of one tenant that are due at now
	// and that nobody has claimed, most urgent first. FileID is set for
	// WorkTransfer alone. A claim keeps others (of this process, with an
	// embedded store) from the same piece until Release, or until the store
	// is opened again. Cost: what is returned or already claimed.
	Claim(ctx context.Context, w Work, tenant string, now time.Time, n int) ([]FileRef, error)
	// Release gives claims back. Unknown ones are ignored.
	Release(w Work, refs ...FileRef)
	// Backlog returns what a tenant has not archived yet, with up to limit
	// files, most urgent first. Cost: what is returned.
	Backlog(ctx context.Context, tenant string, limit int) (Backlog, error)
}

// Backlog is what a tenant has not archived yet.
type Backlog struct {
	// Oldest is the start time (the tracking time where that is unknown) of
	// the oldest recording that is waiting or archiving; zero: there is none.
	Oldest time.Time
	Files  []PendingFile // earliest deadline first, then the oldest
	More   bool          // there are more files
}

// PendingFile is a file that is not in the bucket yet: it waits for
// WorkTransfer, now or later, or is quarantined, unless its source is gone.
type PendingFile struct {
	Ref       FileRef
	Phase     Phase
	Deadline  time.Time // zero: unknown
	Size      int64     // bytes: the vendor's fileSize, else what its source declared; -1 unknown
	Uploading bool      // it has a multipart upload open, or intended
}

// Audit is the log of what happened, and the warrants.
type Audit interface {
	// LastEvent returns the Seq of the newest event, 0 if there is none. Its
	// cost does not depend on their number.
	LastEvent(ctx context.Context) (seq uint64, err error)
	// Events returns up to limit events with Seq > after, oldest first.
	Events(ctx context.Context, after uint64, limit int) ([]Event, error)
	// EventsOf returns the latest limit events of one recording, oldest first.
	EventsOf(ctx context.Context, k Key, limit int) ([]Event, error)
	// StoreWarrant stores w, moves its recording to deleting, and notes w in
	// the others that it covers (ApplyCovered), in one transaction in which,
	// once more: permit returns nil; fewer than
	// perHour warrants of the tenant are younger than an hour at w.At; no
	// covered recording is on hold; and every piece of evidence is of a
	// verified file, not superseded, without a mark that nobody accepted,
	// with the same checksums, destination and object, at a level that is
	// good for deletion. Otherwise nothing is written and a *WarrantRefused
	// says why; ErrIllegal if the recording is not Deletable or the ID is
	// used up.
	StoreWarrant(ctx context.Context, w Warrant, perHour int, permit func() error) (Recording, error)
	// Warrant returns a stored warrant, or ErrNotFound.
	Warrant(ctx context.Context, tenant, id string) (Warrant, error)
	// WarrantsSince counts the tenant's warrants not older than t.
	WarrantsSince(ctx context.Context, tenant string, t time.Time) (int, error)
}

// WarrantRefused says which clause kept a warrant from being stored.
type WarrantRefused struct {
	Clause string // "hold", "limit", "disabled", "evidence"
	Detail string
}

// Error renders the clause and what it was about.
func (e *WarrantRefused) Error() string {
	return "no warrant (" + e.Clause + "): " + e.Detail
}

// Maintenance is what an operator needs of a store.
type Maintenance interface {
	// Fact and SetFact keep small named values that belong to no recording,
	// such as what a bucket was shown to prove. nil if there is none.
	Fact(ctx context.Context, name string) ([]byte, error)
	SetFact(ctx context.Context, name string, value []byte) error
	// Backup writes a consistent copy, while work goes on, and returns its
	// size in bytes.
	Backup(ctx context.Context, w io.Writer) (int64, error)
	// Check reads everything and reports what is not as it must be. It
	// returns an error only if it could not look.
	Check(ctx context.Context, report func(problem string)) error
	// Size returns the size in bytes of what is stored.
	Size() (int64, error)
	// Close waits for what is under way and releases the lock. A closed
	// store refuses everything. Idempotent.
	Close() error
}

// Query selects recordings. Zero fields select all.
type Query struct {
	Tenant        string
	Statuses      []Status
	ConferenceKey string
	Text          string    // in recordId, conference key or a file name, case-insensitively
	Since, Until  time.Time // start time (tracking time where unknown) in [Since, Until)
	Limit         int       // 1 to 1,000; 0 is 100
	Cursor        string    // NextCursor of the page before
}

// Page is a page of recordings.
type Page struct {
	Items      []Recording
	NextCursor string // "" at the end
}

// Totals counts what a tenant has.
type Totals struct {
	Recordings map[Status]int
	Files      map[Phase]int
	Bytes      int64 // of verified files
}
