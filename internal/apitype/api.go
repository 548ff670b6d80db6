package apitype

import "time"

// Page is a page of recordings, newest first.
type Page struct {
	Items      []Recording `json:"items"`
	NextCursor string      `json:"next_cursor"` // "" at the end
}

// Detail is a recording with all that is to be said of it: its files tell more,
// and its last events are there.
type Detail struct {
	Recording
	Files        []FileDetail `json:"files"`
	Detail       string       `json:"detail"` // what Reason is about
	LastPolledAt *time.Time   `json:"last_polled_at"`
	PollError    string       `json:"poll_error"`
	SettledAt    *time.Time   `json:"settled_at"`
	Deletion     Deletion     `json:"deletion"`
	Manifest     ManifestInfo `json:"manifest"`
	Events       []Event      `json:"events"` // the last ones, oldest first
}

// Deletion is where the removal at the vendor stands.
type Deletion struct {
	Enabled bool   `json:"enabled"` // delete_source.enabled of the tenant
	Warrant string `json:"warrant"` // the last one that covers the recording
	Error   string `json:"error"`   // why the last try did not succeed
}

// ManifestInfo says where the manifest is.
type ManifestInfo struct {
	Bucket    string     `json:"bucket"`
	Key       string     `json:"key"`
	WrittenAt *time.Time `json:"written_at"`
	Due       bool       `json:"due"` // it has to be written (again)
	Error     string     `json:"error"`
}

// FileDetail is a File with what only a person looking for a cause wants.
type FileDetail struct {
	File
	Reason        string     `json:"reason"`   // of its quarantine
	Accepted      bool       `json:"accepted"` // its marks
	Suspect       string     `json:"suspect"`  // what was off about its content
	StartTime     *time.Time `json:"start_time"`
	StopTime      *time.Time `json:"stop_time"`
	DeclaredSize  *int64     `json:"declared_size"` // the vendor's fileSize
	Source        string     `json:"source"`        // host/path of downUrl
	Endpoint      string     `json:"endpoint"`      // of the bucket, "" is AWS
	Missing       int        `json:"missing"`       // listings in a row that lack it
	MissingSince  *time.Time `json:"missing_since"`
	ReadbackAt    *time.Time `json:"readback_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
}

// Event is one line of the audit log.
type Event struct {
	Seq           uint64    `json:"seq"`
	At            time.Time `json:"at"`
	Tenant        string    `json:"tenant"`
	RecordID      string    `json:"record_id"`
	ConferenceKey string    `json:"conference_key,omitempty"` // of record and live
	FileID        string    `json:"file_id,omitempty"`
	Type          string    `json:"type"`
	From          string    `json:"from,omitempty"`
	To            string    `json:"to,omitempty"`
	Reason        string    `json:"reason,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	Warrant       string    `json:"warrant,omitempty"`
}

// Tracked is what came of a list of recordIds.
type Tracked struct {
	Tracked []string  `json:"tracked"`
	Already []string  `json:"already"`
	Invalid []Invalid `json:"invalid"`
}

// Invalid is a line or an id that was left out.
type Invalid struct {
	RecordID string `json:"record_id"`
	Line     int    `json:"line,omitempty"` // of NDJSON, from 1
	Reason   string `json:"reason"`
}

// TrackLine is one line of an NDJSON import. Tenant may be left out where the
// request's query names one, or where there is only one.
type TrackLine struct {
	Tenant   string `json:"tenant,omitempty"`
	RecordID string `json:"record_id"`
}

// Verification is what came of verifying one recording.
type Verification struct {
	Tenant   string         `json:"tenant"`
	RecordID string         `json:"record_id"`
	OK       bool           `json:"ok"` // there is a file, and every one matches
	Files    []VerifiedFile `json:"files"`
}

// VerifiedFile is what came of verifying one file.
type VerifiedFile struct {
	FileID   string `json:"file_id"`
	Bucket   string `json:"bucket"`
	Key      string `json:"key"`
	Size     int64  `json:"size"`
	Result   string `json:"result"`       // VerifyOK, VerifyMismatch or VerifyFailed
	Level    string `json:"verification"` // how it was shown this time: full_object, readback or parts
	Readback bool   `json:"readback"`     // all bytes were read
	Error    string `json:"error"`
}

// The results of verifying a file.
const (
	VerifyOK       = "ok"
	VerifyMismatch = "mismatch" // the bucket has something else, or nothing
	VerifyFailed   = "failed"   // it could not be found out now
)

// Link is a presigned URL: whoever has it may read the object until it ends.
type Link struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Conference is what the archiver knows of recording or streaming one.
type Conference struct {
	Tenant        string     `json:"tenant"`
	ConferenceKey string     `json:"conference_key"`
	Kind          string     `json:"kind"`      // record or live
	Status        string     `json:"status"`    // opening, open, unresolved, closed or refused
	RecordID      string     `json:"record_id"` // of record, once the vendor told it; it is tracked
	URL           string     `json:"url"`       // of live, in the answer that opened it and nowhere else
	IntendedAt    *time.Time `json:"intended_at"`
	ChangedAt     *time.Time `json:"changed_at"`
	Error         string     `json:"error"`
}

// Stats are the totals.
type Stats struct {
	Tenants     []TenantStats `json:"tenants"`
	StateSize   int64         `json:"state_size"` // bytes
	BufferBytes int64         `json:"buffer_bytes"`
	InFlight    []InFlight    `json:"in_flight"`
}

// TenantStats are one tenant's totals. Counts of nothing are left out.
type TenantStats struct {
	Tenant           string         `json:"tenant"`
	Configured       bool           `json:"configured"` // else it is paused
	Recordings       map[string]int `json:"recordings"` // by status
	Files            map[string]int `json:"files"`      // by phase
	Bytes            int64          `json:"bytes"`      // of verified files
	BytesPerSecond   int64          `json:"bytes_per_second"`
	AtRisk           int            `json:"at_risk"` // files that may not be archived before the vendor drops them
	OldestUnarchived *time.Time     `json:"oldest_unarchived"`
}

// InFlight is a file that is being transferred.
type InFlight struct {
	Tenant      string `json:"tenant"`
	RecordID    string `json:"record_id"`
	FileID      string `json:"file_id"`
	Filename    string `json:"filename"`
	Size        int64  `json:"size"` // bytes, -1: nobody declared it
	Transferred int64  `json:"transferred"`
}

// Health is what /readyz says.
type Health struct {
	Status  string   `json:"status"` // one of the three below
	Reasons []string `json:"reasons"`
}

// What Health.Status may be.
const (
	HealthOK          = "ok"
	HealthDegraded    = "degraded"
	HealthUnavailable = "unavailable"
)

// BackfillLine is one line of a backfill's answer (NDJSON); one field is set.
// The last line is a Summary or an Error.
type BackfillLine struct {
	Invalid  *Invalid  `json:"invalid,omitempty"`
	Planned  *Planned  `json:"planned,omitempty"` // of a dry run, one a recording
	Progress *Progress `json:"progress,omitempty"`
	Summary  *Summary  `json:"summary,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Progress is how far a backfill is.
type Progress struct {
	Recordings int        `json:"recordings"` // followed
	Done       int        `json:"done"`       // of them
	Waiting    int        `json:"waiting"`    // of them, for the vendor
	Files      int        `json:"files"`      // known of
	FilesDone  int        `json:"files_done"` // verified
	Bytes      int64      `json:"bytes"`      // known of
	BytesDone  int64      `json:"bytes_done"` // in the bucket, parts included
	InFlight   []InFlight `json:"in_flight"`
}

// Summary is what came of a backfill.
type Summary struct {
	Recordings    map[string]int `json:"recordings"`     // followed, by status
	Files         int            `json:"files"`          // verified
	Bytes         int64          `json:"bytes"`          // of them
	Attention     []Attention    `json:"attention"`      // at most 1,000
	MoreAttention int            `json:"more_attention"` // recordings that need it and are not named
	Stuck         bool           `json:"stuck"`          // nothing moved any more though work was left
	Interrupted   bool           `json:"interrupted"`    // the archiver was told to stop
}

// Attention is a recording that is not, or not quite, as it should be.
type Attention struct {
	Tenant   string `json:"tenant"`
	RecordID string `json:"record_id"`
	Status   string `json:"status"`
	Why      string `json:"why"`
}

// Planned is what a backfill would fetch because of one recording.
type Planned struct {
	Tenant   string   `json:"tenant"`
	RecordID string   `json:"record_id"`
	Files    int      `json:"files"`   // finished and not verified yet, those of others included
	Bytes    int64    `json:"bytes"`   // of them, as far as the vendor gave sizes
	Unsized  int      `json:"unsized"` // of them, files without a size
	Have     int      `json:"have"`    // listed files that are verified already
	Open     int      `json:"open"`    // listed items that the vendor has not finished
	Others   []string `json:"others"`  // recordIds of others whose files its listing names
	Error    string   `json:"error"`   // the vendor's refusal; then nothing else is known
}
