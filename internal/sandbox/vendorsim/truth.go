package vendorsim

import (
	"maps"
	"slices"
	"time"

	"archiver/internal/sandbox/content"
)

// Truth is what really is or was of a recording, whatever the API said.
type Truth struct {
	ID        string
	Tenant    string
	Deleted   bool      // by delRecordFile; its files are still described
	DeletedAt time.Time // zero unless Deleted
	Deletions int       // how many delRecordFile calls took effect on it
	Files     []FileTruth
}

// FileTruth is a file's name and bytes.
type FileTruth struct {
	RecordID string // the one that the item carries
	Name     string // last path segment of its link
	Path     string // of its link
	Start    time.Time
	Size     int64 // bytes
	Content  content.Content
}

// SHA256 reads the file's content and returns its SHA-256 in lower-case hex.
func (f FileTruth) SHA256() (string, error) { return content.SHA256(f.Content) }

// Recording returns the truth about a recordId; false if it never was one.
func (s *Server) Recording(id string) (Truth, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.recordings[id]
	if !ok {
		return Truth{}, false
	}
	return rec.truth(), true
}

// Recordings returns the truth about every recording, ordered by recordId.
func (s *Server) Recordings() []Truth {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Truth
	for _, id := range slices.Sorted(maps.Keys(s.recordings)) {
		all = append(all, s.recordings[id].truth())
	}
	return all
}

func (r *recording) truth() Truth {
	t := Truth{ID: r.ID, Tenant: r.Tenant, Deleted: !r.deletedAt.IsZero(), DeletedAt: r.deletedAt, Deletions: r.deletions}
	for _, f := range r.files {
		t.Files = append(t.Files, FileTruth{
			RecordID: f.carriedID(), Name: f.Name, Path: f.path, Start: f.Start, Size: f.Content.Size(), Content: f.Content,
		})
	}
	return t
}

func (f *file) carriedID() string {
	if f.CarriedID != "" {
		return f.CarriedID
	}
	return f.owner.ID
}
