// Package apitype is the JSON that people script against: the names of a
// recording and a file as `ls --json`, `show --json`, the HTTP API and the
// manifest in the bucket print them. A name here is a promise.
//
// Times are RFC 3339 in UTC, sizes are bytes, checksums are lower-case hex;
// crc64nvme is base64 of its eight bytes, most significant first, as S3 prints
// it (Amazon S3 User Guide, "Checking object integrity").
package apitype

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"

	"archiver/internal/state"
)

// Recording is one recordId of one tenant.
type Recording struct {
	Tenant          string     `json:"tenant"`
	RecordID        string     `json:"record_id"`
	Status          string     `json:"status"`
	Reason          string     `json:"reason"`
	ConferenceKey   string     `json:"conference_key"`
	EntID           string     `json:"ent_id"`
	StartTime       *time.Time `json:"start_time"`
	StopTime        *time.Time `json:"stop_time"`
	TrackedAt       *time.Time `json:"tracked_at"`
	NextPollAt      *time.Time `json:"next_poll_at"`
	ArchivedAt      *time.Time `json:"archived_at"`
	DeleteAfter     *time.Time `json:"delete_after"`
	SourceDeletedAt *time.Time `json:"source_deleted_at"`
	SourceGoneAt    *time.Time `json:"source_gone_at"`
	Hold            bool       `json:"hold"`
	AdoptedFrom     string     `json:"adopted_from"`
	Files           []File     `json:"files"`

	Why       string `json:"why"`       // in plain words: why it is where it is
	Next      string `json:"next"`      // what happens next, and when
	Attention string `json:"attention"` // what needs a person, or more time; "": nothing
}

// File is one file of a recording.
type File struct {
	FileID         string     `json:"file_id"`
	Filename       string     `json:"filename"`
	Size           int64      `json:"size"`
	Key            string     `json:"key"`
	Bucket         string     `json:"bucket"`
	Phase          string     `json:"phase"`
	Transferred    int64      `json:"transferred"`
	SHA256         string     `json:"sha256"`
	CRC64NVME      string     `json:"crc64nvme"`
	ETag           string     `json:"etag"`
	VersionID      string     `json:"version_id"`
	Verification   string     `json:"verification"`
	VerifiedAt     *time.Time `json:"verified_at"`
	Deadline       *time.Time `json:"deadline"`
	Attempts       int        `json:"attempts"`
	Error          string     `json:"error"`
	SizeMismatch   bool       `json:"size_mismatch"`
	LengthUnproven bool       `json:"length_unproven"`
	ContentSuspect bool       `json:"content_suspect"`
	Superseded     bool       `json:"superseded,omitempty"` // the source changed after it was archived, and was archived again
}

// OfRecording renders a recording. grace is the tenant's delete_source.after,
// negative where deletion is off: delete_after is then null. transferred
// returns how many bytes of an unfinished file are recorded, nil: not known.
func OfRecording(r state.Recording, grace time.Duration, transferred func(state.File) int64) Recording {
	out := Recording{
		Tenant: r.Tenant, RecordID: r.RecordID, Status: string(r.Status), Reason: string(r.Reason),
		ConferenceKey: r.ConferenceKey, EntID: r.EntID,
		StartTime: stamp(r.StartTime), StopTime: stamp(r.StopTime), TrackedAt: stamp(r.TrackedAt),
		NextPollAt: stamp(r.Poll.NextAt), ArchivedAt: stamp(r.ArchivedAt),
		SourceDeletedAt: stamp(r.SourceDeletedAt), SourceGoneAt: stamp(r.SourceGoneAt),
		Hold: r.Hold, AdoptedFrom: r.AdoptedFrom, Files: []File{},
	}
	if grace >= 0 && r.Deletable() {
		out.DeleteAfter = stamp(r.Deletion.EligibleFrom.Add(grace))
	}
	for _, f := range r.Files {
		out.Files = append(out.Files, OfFile(f, transferred))
	}
	return out
}

// OfFile renders a file.
func OfFile(f state.File, transferred func(state.File) int64) File {
	out := File{
		FileID: f.ID, Filename: f.Filename, Size: f.Size, Key: f.Key, Bucket: f.Dest.Bucket, Phase: string(f.Phase),
		ETag: f.Object.ETag, VersionID: f.Object.VersionID, Verification: string(f.Level),
		VerifiedAt: stamp(f.VerifiedAt), Deadline: stamp(f.Deadline), Attempts: f.Attempts, Error: f.Error,
		SizeMismatch: f.Marks.SizeMismatch, LengthUnproven: f.Marks.LengthUnproven, ContentSuspect: f.Marks.ContentSuspect, Superseded: f.Superseded,
	}
	switch f.Phase {
	case state.Stored, state.Verified:
		out.Transferred, out.SHA256, out.CRC64NVME = f.Size, f.Sums.SHA256, CRC64NVME(f.Sums.CRC64NVME)
	case state.Discovered, state.Transferring, state.FileQuarantined:
		out.Size = max(f.DeclaredSize, 0)
		if f.Version != nil && f.Version.Length >= 0 {
			out.Size = f.Version.Length
		}
		if transferred != nil {
			out.Transferred = transferred(f)
		}
	}
	return out
}

// CRC64NVME renders a checksum as S3 does.
func CRC64NVME(c uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, c))
}

func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

// ManifestSchema is the version of the manifest's form.
const ManifestSchema = 1

// Manifest is what lies in the bucket for each recording. All manifests
// together are enough to rebuild the state without the vendor.
type Manifest struct {
	Schema          int            `json:"schema"`
	Tenant          string         `json:"tenant"`
	RecordID        string         `json:"record_id"`
	ConferenceKey   string         `json:"conference_key"`
	EntID           string         `json:"ent_id"`
	StartTime       *time.Time     `json:"start_time"`
	StopTime        *time.Time     `json:"stop_time"`
	ArchivedAt      *time.Time     `json:"archived_at"`
	SourceDeletedAt *time.Time     `json:"source_deleted_at"`
	Files           []ManifestFile `json:"files"`
}

// ManifestFile is a File with where it came from.
type ManifestFile struct {
	File
	Endpoint     string          `json:"endpoint"`              // of the bucket, "" is AWS
	DeclaredSize *int64          `json:"declared_size"`         // the vendor's fileSize, null if it gave none
	SourceETag   string          `json:"source_etag,omitempty"` // of the vendor's store
	SourceDate   string          `json:"source_last_modified,omitempty"`
	StartTime    *time.Time      `json:"start_time"`
	StopTime     *time.Time      `json:"stop_time"`
	Accepted     bool            `json:"accepted,omitempty"` // a person accepted its marks
	Source       string          `json:"source"`             // host/path of downUrl
	Vendor       json.RawMessage `json:"vendor"`             // the vendor's item, URLs without query and user info
}

// OfManifest renders the manifest of a recording.
func OfManifest(r state.Recording) Manifest {
	m := Manifest{
		Schema: ManifestSchema, Tenant: r.Tenant, RecordID: r.RecordID, ConferenceKey: r.ConferenceKey, EntID: r.EntID,
		StartTime: stamp(r.StartTime), StopTime: stamp(r.StopTime),
		ArchivedAt: stamp(r.ArchivedAt), SourceDeletedAt: stamp(r.SourceDeletedAt), Files: []ManifestFile{},
	}
	for _, f := range r.Files {
		mf := ManifestFile{
			File: OfFile(f, nil), Endpoint: f.Dest.Endpoint, StartTime: stamp(f.StartTime), StopTime: stamp(f.StopTime),
			Accepted: f.Marks.Accepted, Source: f.SourcePath, Vendor: f.Vendor,
		}
		if f.DeclaredSize >= 0 {
			mf.DeclaredSize = &f.DeclaredSize
		}
		if f.Version != nil {
			mf.SourceETag, mf.SourceDate = f.Version.ETag, f.Version.LastModified
		}
		m.Files = append(m.Files, mf)
	}
	return m
}
