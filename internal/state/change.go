package state

import (
	"encoding/json"
	"time"
)

// Change is a fact that someone wants to be true of a recording. Apply says
// whether it may become so.
type Change interface{ apply(*move) error }

// Decide looks at a recording as it is inside the transaction (the zero
// Status: it is not tracked) and says what is to change. It must be pure: a
// store may call it more than once. Its error ends the transaction unchanged
// and is returned as it is.
type Decide func(Recording) ([]Change, error)

// Do decides for the same changes whatever the recording is.
func Do(changes ...Change) Decide {
	return func(Recording) ([]Change, error) { return changes, nil }
}

// Changes of a recording.
type (
	// Track begins to poll a recordId. On one that is tracked it changes
	// nothing but an unknown AdoptedFrom, so it may be repeated.
	Track struct {
		AdoptedFrom string // recordId whose listing named it, "" if someone told us
	}
	// Untrack forgets a recording with its files and their reservations; the
	// audit log stays, and says so. What lies in the bucket, or at the vendor,
	// is not touched. The result is a Recording with the zero Status, so it
	// may be tracked again later, as if for the first time. Refused with
	// ErrIllegal while deleting, while on hold, and while a file is
	// transferring or stored or has an upload open, which must not be left
	// behind; with ErrNotFound if the recording is not tracked.
	Untrack struct{}
	// Polled records what the poller has to remember. Not a move, no event.
	Polled struct{ Poll Poll }
	// Describe records what the listing says of the whole recording. Empty
	// values leave what is known. Not a move, no event.
	Describe struct {
		ConferenceKey, EntID string
		Start, Stop          time.Time
	}
	// Settle holds the listing to be complete. On a settled one it changes
	// nothing.
	Settle struct{}
	// Redirect ends a waiting recording whose listings only name others.
	Redirect struct{ Detail string }
	// Quarantine sets the whole recording aside. Its next poll, a day later,
	// is the retry: Poll.Interval of 24 h says so.
	Quarantine struct {
		Reason Reason
		Detail string
	}
	// Gone records that the vendor no longer lists anything of the recording,
	// without any warrant of ours.
	Gone struct{ Detail string }
	// Retry gives quarantined files, and the recording, a new start. Of one that
	// is under way it makes due at once what waits after a failure.
	Retry struct{}
	// Accept clears the marks of all files: a person says they are right.
	Accept struct{}
	// Hold forbids (or permits again) deletion at the source. Refused while
	// deleting.
	Hold struct{ On bool }
	// ManifestWritten records the manifest that now lies in the bucket. Where
	// every file is verified and the listing settled, this is what makes a
	// recording archived. If the recording moved on
	// since it was rendered, the manifest stays due.
	ManifestWritten struct {
		Dest     Destination
		Key      string
		ETag     string
		Rendered Recording // the recording as the manifest tells it
		Merged   bool      // it holds files that only an earlier manifest knew
	}
	// ManifestFailed puts the next try off.
	ManifestFailed struct {
		Error   string
		RetryAt time.Time
	}
	// Deleted confirms that the vendor lists nothing of the recording any
	// more, under the warrant that covers it.
	Deleted struct{ WarrantID string }
	// Unconfirmed records that files are still listed after a call that
	// claimed success.
	Unconfirmed struct {
		Detail       string
		EligibleFrom time.Time
		Backoff      time.Duration
	}
	// DeletionFailed records that a try at deletion, before or in the call,
	// did not succeed; the recording stays, or becomes again, archived.
	DeletionFailed struct {
		Detail       string
		EligibleFrom time.Time
		Backoff      time.Duration
		// Void: the call is known not to have taken effect, so the warrant
		// explains nothing any more and is dropped from Deletion.
		Void bool
	}
	// covered notes the warrant of another recording; see ApplyCovered.
	covered struct{ id string }
	// Void takes from a recording the warrant that covers it because of
	// another one's deletion, which is known to have had no effect. Not a
	// move, no event.
	Void struct{ WarrantID string }
	// warranted moves to deleting; only StoreWarrant of a store makes one,
	// through ApplyWarrant.
	warranted struct{ id string }
)

// Changes of a file.
type (
	// Discover adds a file that the vendor lists. The first of Keys that no
	// other file has in that bucket is reserved for it, for good. An old
	// warrant explains nothing of it and is dropped from Deletion.
	Discover struct {
		FileID, Filename string
		Dest             Destination
		Keys             []string // candidates, best first; the last one is unique by construction
		Listing          Listing
		Generation       int // 0, or n for the n-th source under that identity
	}
	// Relist records what a later listing says of a file.
	Relist struct {
		FileID  string
		Listing Listing
	}
	// Miss counts a listing that lacks the file.
	Miss struct{ FileID string }
	// Start begins (or goes on with) the transfer. Not a move on a file that
	// is transferring.
	Start struct{ FileID string }
	// Pin fixes the version of the source that all ranges must be of.
	Pin struct {
		FileID  string
		Version SourceVersion
	}
	// IntendUpload is stored before CreateMultipartUpload is called, so that
	// an upload whose ID was never recorded can be found and aborted.
	IntendUpload struct {
		FileID   string
		PartSize int64
	}
	// OpenUpload records the ID of the intended upload.
	OpenUpload struct{ FileID, UploadID string }
	// Fail records an attempt that did not succeed. There is an event if it
	// counts or says something new. Of a quarantined file, whose upload could
	// not be aborted, it only puts the next try off.
	Fail struct {
		FileID  string
		Error   string
		RetryAt time.Time
		Counts  bool // it is one of transfer.max_attempts
	}
	// Progressed ends a row of failed attempts: a part was newly recorded. On
	// a quarantined file it changes nothing.
	Progressed struct{ FileID string }
	// Restart drops what was transferred: the source is another version, or
	// what was read is not whole. The upload must have been aborted. It is
	// counted in File.Retakes, unless an upload was only intended.
	Restart struct {
		FileID  string
		Detail  string
		Suspect string    // what is off about its content, "" if that is not why
		RetryAt time.Time // zero: at once
	}
	// Doubt records that the length that the source declares, or the bytes
	// read, differ from the vendor's fileSize; what was transferred is
	// dropped and the listing is to be asked again at RetryAt. The upload must
	// have been aborted.
	Doubt struct {
		FileID  string
		Detail  string
		RetryAt time.Time
	}
	// MarkStored records that all bytes are in the bucket. It is legal too of
	// a file that was quarantined as source_gone while its transfer came to
	// its end; the recording then leaves quarantine, unless another of its
	// files is quarantined.
	MarkStored struct {
		FileID  string
		Version SourceVersion
		Size    int64
		Sums    Checksums
		Object  Object
		Parts   int
		Marks   Marks
	}
	// Rekey moves the reservation of a file to another key, because an object
	// that is not ours lies at the first. The upload must have been aborted.
	Rekey struct {
		FileID string
		Keys   []string
	}
	// Verify records the proof of a stored file, or a later one of a verified
	// file: if that finds another object, the last readback counts no more,
	// and if it is of another level, the manifest has to be written again.
	Verify struct {
		FileID   string
		Level    Level
		Object   Object
		Readback bool // the bytes were read back just now
	}
	// QuarantineFile sets one file, and with it the recording, aside: its next
	// poll is the retry, at RetryAt. On a file that is quarantined already it
	// only notes that the upload is gone.
	QuarantineFile struct {
		FileID  string
		Reason  Reason
		Detail  string
		Aborted bool // its upload, if it had one, is known to be gone
	}
	// Supersede records that the source under the identity is another one
	// than the one that was archived; a Discover of the next generation goes
	// with it.
	Supersede struct{ FileID, Detail string }
)

// Listing is what one listing of the vendor says of a file.
type Listing struct {
	DeclaredSize int64 // bytes, -1 unknown
	Start, Stop  time.Time
	SourcePath   string
	Vendor       json.RawMessage
	Deadline     time.Time
}
