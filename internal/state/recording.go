package state

import (
	"encoding/json"
	"strings"
	"time"
)

// Status is where a recording is. See the package documentation.
type Status string

// The statuses of a recording.
const (
	Waiting             Status = "waiting"   // no finished file yet
	Archiving           Status = "archiving" // files are on their way, or more may come
	Archived            Status = "archived"  // every file verified, manifest written
	Deleting            Status = "deleting"  // a warrant is stored, the outcome is not
	SourceDeleted       Status = "source_deleted"
	DeletionUnconfirmed Status = "deletion_unconfirmed"
	Redirected          Status = "redirected" // its listings only ever named other recordings
	Quarantined         Status = "quarantined"
)

// Statuses lists every status, in the order of a recording's life.
func Statuses() []Status {
	return []Status{Waiting, Archiving, Archived, Deleting, SourceDeleted, DeletionUnconfirmed, Redirected, Quarantined}
}

// Phase is where a file is.
type Phase string

// The phases of a file.
const (
	Discovered      Phase = "discovered"
	Transferring    Phase = "transferring"
	Stored          Phase = "stored"   // all bytes are in the bucket, proof is outstanding
	Verified        Phase = "verified" // proven at File.Level
	FileQuarantined Phase = "quarantined"
)

// Phases lists every phase, in the order of a file's life.
func Phases() []Phase {
	return []Phase{Discovered, Transferring, Stored, Verified, FileQuarantined}
}

// Reason says why something is quarantined.
type Reason string

// The reasons for quarantine.
const (
	NeverProduced  Reason = "never_produced"
	VendorRejected Reason = "vendor_rejected"
	SourceGone     Reason = "source_gone"
	DownloadFailed Reason = "download_failed"
	BadContent     Reason = "bad_content"
	UploadFailed   Reason = "upload_failed"
	VerifyFailed   Reason = "verify_failed"
)

// Reasons lists every reason for quarantine.
func Reasons() []Reason {
	return []Reason{NeverProduced, VendorRejected, SourceGone, DownloadFailed, BadContent, UploadFailed, VerifyFailed}
}

// Key names a recording: the tenant of the configuration and the vendor's
// recordId, which is opaque (1 to 64 characters, no control characters).
type Key struct {
	Tenant   string
	RecordID string
}

// String renders "tenant/recordId".
func (k Key) String() string { return k.Tenant + "/" + k.RecordID }

// FileRef names a file of a recording.
type FileRef struct {
	Key
	FileID string
}

// String renders "tenant/recordId/fileId".
func (f FileRef) String() string { return f.Key.String() + "/" + f.FileID }

// Destination is a bucket at an endpoint ("" is AWS). Each file remembers its
// own, so that a changed configuration never makes it look elsewhere.
type Destination struct {
	Endpoint string `json:"endpoint,omitempty"`
	Bucket   string `json:"bucket"`
}

// Recording is one recordId of one tenant with all its files. Its fields are
// written by Apply alone.
type Recording struct {
	Tenant   string `json:"tenant"`
	RecordID string `json:"record_id"`
	Status   Status `json:"status"`
	Reason   Reason `json:"reason,omitempty"` // set while quarantined
	Detail   string `json:"detail,omitempty"` // what the reason is about, for people

	ConferenceKey string    `json:"conference_key,omitempty"`
	EntID         string    `json:"ent_id,omitempty"`
	StartTime     time.Time `json:"start_time,omitzero"` // earliest of its files
	StopTime      time.Time `json:"stop_time,omitzero"`  // latest of its files

	TrackedAt       time.Time `json:"tracked_at"`
	AdoptedFrom     string    `json:"adopted_from,omitempty"` // recordId whose listing named this one
	SettledAt       time.Time `json:"settled_at,omitzero"`    // when the listing was held to be complete
	ArchivedAt      time.Time `json:"archived_at,omitzero"`
	SourceDeletedAt time.Time `json:"source_deleted_at,omitzero"`
	SourceGoneAt    time.Time `json:"source_gone_at,omitzero"`
	Hold            bool      `json:"hold,omitempty"` // deletion at the source is forbidden

	Poll     Poll     `json:"poll"`
	Manifest Manifest `json:"manifest,omitzero"`
	Deletion Deletion `json:"deletion,omitzero"`

	Files []File `json:"-"` // ordered by start time, then ID; stored beside the recording
}

// Poll is what the poller remembers between two listings.
type Poll struct {
	NextAt       time.Time     `json:"next_at,omitzero"` // zero: not polled any more
	LastAt       time.Time     `json:"last_at,omitzero"`
	Interval     time.Duration `json:"interval,omitempty"` // current wait of a growing interval; 24 h while quarantined: NextAt is the retry
	Refusals     int           `json:"refusals,omitempty"` // code 400 or 403 in a row
	RefusedSince time.Time     `json:"refused_since,omitzero"`
	Empty        int           `json:"empty,omitempty"` // listings in a row without a file of this recording
	EmptySince   time.Time     `json:"empty_since,omitzero"`
	Digest       string        `json:"digest,omitempty"` // of the last listing, to see it change
	ChangedAt    time.Time     `json:"changed_at,omitzero"`
	Named        bool          `json:"named,omitempty"` // a listing has named a file of this recording
	Rechecks     int           `json:"rechecks,omitempty"`
	Error        string        `json:"error,omitempty"` // of the last poll, "" if it was answered
}

// Manifest is the state of the recording's manifest object.
type Manifest struct {
	Due       bool        `json:"due,omitempty"`       // it has to be written (again)
	NotBefore time.Time   `json:"not_before,omitzero"` // next try after a failure
	Dest      Destination `json:"dest,omitzero"`       // where the last one was written
	Key       string      `json:"key,omitempty"`       //
	ETag      string      `json:"etag,omitempty"`      // of what we wrote last
	WrittenAt time.Time   `json:"written_at,omitzero"` //
	Error     string      `json:"error,omitempty"`     // of the last try
	Merged    bool        `json:"merged,omitempty"`    // it holds files that only an earlier manifest knew
}

// Deletion is the state of the removal at the vendor.
type Deletion struct {
	// EligibleFrom plus the tenant's grace time (delete_source.after) is when
	// the next try may begin: the last file's verification at first, moved on
	// after a try that did not succeed.
	EligibleFrom time.Time     `json:"eligible_from,omitzero"`
	WarrantID    string        `json:"warrant_id,omitempty"` // the last warrant that covers this recording, unless it is void
	Backoff      time.Duration `json:"backoff,omitempty"`
	Error        string        `json:"error,omitempty"` // why the last try did not succeed
}

// File is one file of a recording. Its fields are written by Apply alone.
type File struct {
	ID       string `json:"file_id"`
	Filename string `json:"filename"`
	Phase    Phase  `json:"phase"`
	Reason   Reason `json:"reason,omitempty"` // set while quarantined

	// The source, as the vendor's last listing tells it.
	DeclaredSize int64           `json:"declared_size"` // fileSize in bytes, -1 if the vendor gave none
	StartTime    time.Time       `json:"start_time,omitzero"`
	StopTime     time.Time       `json:"stop_time,omitzero"`
	SourcePath   string          `json:"source,omitempty"` // host/path of downUrl, no query
	Vendor       json.RawMessage `json:"vendor,omitempty"` // the item as it came, URLs without query
	Deadline     time.Time       `json:"deadline,omitzero"`
	DiscoveredAt time.Time       `json:"discovered_at"`
	Missing      int             `json:"missing,omitempty"` // listings in a row that lack it
	MissingSince time.Time       `json:"missing_since,omitzero"`
	Generation   int             `json:"generation,omitempty"` // 0, or 2, 3, … for a source that changed after archiving
	Superseded   bool            `json:"superseded,omitempty"` // a later generation has taken its place at the source

	// The destination, fixed at discovery.
	Dest Destination `json:"dest"`
	Key  string      `json:"key"`

	// The transfer.
	Version       *SourceVersion `json:"version,omitempty"` // pinned at the first answer
	Upload        *Upload        `json:"upload,omitempty"`
	Attempts      int            `json:"attempts,omitempty"` // in a row without a newly recorded part
	Retakes       int            `json:"retakes,omitempty"`  // how often it was fetched again from the start because of its content
	Suspect       string         `json:"suspect,omitempty"`  // what was off about the content the last time
	NextAttemptAt time.Time      `json:"next_attempt_at,omitzero"`
	DoubtedAt     time.Time      `json:"doubted_at,omitzero"` // when the source's length was first found to differ from DeclaredSize
	Error         string         `json:"error,omitempty"`

	// The result.
	Size       int64     `json:"size"` // bytes read and stored; 0 before that
	Sums       Checksums `json:"sums,omitzero"`
	Object     Object    `json:"object,omitzero"`
	Parts      int       `json:"parts,omitempty"` // of the multipart upload that made it; 0: one PutObject, or adopted
	Level      Level     `json:"verification,omitempty"`
	StoredAt   time.Time `json:"stored_at,omitzero"`
	VerifiedAt time.Time `json:"verified_at,omitzero"`
	ReadbackAt time.Time `json:"readback_at,omitzero"` // last time all bytes were read back and equal
	Marks      Marks     `json:"marks,omitzero"`

	// Spoiled: what lies at Key was shown not to be what was archived. Whatever
	// the bucket says of that object later, it is not taken for this file.
	Spoiled bool `json:"spoiled,omitempty"`
}

// Upload is a multipart upload of ours, or the intent to open one (ID "").
type Upload struct {
	ID         string    `json:"id,omitempty"`
	PartSize   int64     `json:"part_size"` // bytes
	IntendedAt time.Time `json:"intended_at"`
}

// Object is what the bucket said of the stored object. LastModified is zero
// until HEAD has been asked: what answers a write does not tell it.
type Object struct {
	ETag         string    `json:"etag,omitempty"`
	VersionID    string    `json:"version_id,omitempty"`
	LastModified time.Time `json:"last_modified,omitzero"`
}

// Same reports whether both are the same object, as far as it is known. Where
// versioning is suspended, or was begun later, S3 tells the version "null" of
// an object with HEAD, and none with the answer to its write.
func (o Object) Same(p Object) bool {
	unknown := o.LastModified.IsZero() || p.LastModified.IsZero()
	return o.ETag == p.ETag && o.version() == p.version() && (unknown || o.LastModified.Equal(p.LastModified))
}

func (o Object) version() string {
	if o.VersionID == "null" {
		return ""
	}
	return o.VersionID
}

// Marks are doubts about a file that keep it from being deleted at the source
// until a person accepts them.
type Marks struct {
	SizeMismatch   bool `json:"size_mismatch,omitempty"`   // the vendor's fileSize lastingly differs
	LengthUnproven bool `json:"length_unproven,omitempty"` // nobody declared a length
	ContentSuspect bool `json:"content_suspect,omitempty"` // the media structure is off
	Accepted       bool `json:"accepted,omitempty"`        // a person said that it is right
}

// Any reports whether there is a mark that nobody has accepted.
func (m Marks) Any() bool {
	return !m.Accepted && (m.SizeMismatch || m.LengthUnproven || m.ContentSuspect)
}

// String lists the marks in the contract's words, "" without any.
func (m Marks) String() string {
	var s []string
	if m.SizeMismatch {
		s = append(s, "size_mismatch")
	}
	if m.LengthUnproven {
		s = append(s, "length_unproven")
	}
	if m.ContentSuspect {
		s = append(s, "content_suspect")
	}
	return strings.Join(s, ",")
}

// ID returns the recording's key.
func (r Recording) ID() Key { return Key{Tenant: r.Tenant, RecordID: r.RecordID} }

// File returns the file with that ID.
func (r Recording) File(id string) (File, bool) {
	for _, f := range r.Files {
		if f.ID == id {
			return f, true
		}
	}
	return File{}, false
}

// Current returns the newest generation of the file that the vendor lists
// under that identity.
func (r Recording) Current(identity string) (File, bool) {
	for _, f := range r.Files {
		if !f.Superseded && Identity(f.ID) == identity {
			return f, true
		}
	}
	return File{}, false
}

// AllVerified reports whether there is a file and every one that still counts
// is verified.
func (r Recording) AllVerified() bool {
	n := 0
	for _, f := range r.Files {
		if f.Superseded {
			continue
		}
		if f.Phase != Verified {
			return false
		}
		n++
	}
	return n > 0
}

// Marked reports whether a file bears a mark that nobody has accepted.
func (r Recording) Marked() bool {
	for _, f := range r.Files {
		if !f.Superseded && f.Marks.Any() {
			return true
		}
	}
	return false
}

// VerifiedAt returns when the last of its files was verified; zero if one is
// not.
func (r Recording) VerifiedAt() time.Time {
	if !r.AllVerified() {
		return time.Time{}
	}
	var t time.Time
	for _, f := range r.Files {
		if !f.Superseded && f.VerifiedAt.After(t) {
			t = f.VerifiedAt
		}
	}
	return t
}

// Deletable reports whether the state alone permits a try at deletion. The
// warrant asks for far more.
func (r Recording) Deletable() bool {
	return (r.Status == Archived || r.Status == DeletionUnconfirmed) && !r.Hold &&
		r.SourceGoneAt.IsZero() && r.AllVerified() && !r.Marked() && !r.Manifest.Due
}

// Identity returns the part of a file ID that the vendor's listing yields,
// without the generation.
func Identity(fileID string) string {
	id, _, _ := strings.Cut(fileID, "-")
	return id
}
