package vendorsim

import (
	"fmt"
	"path"
	"slices"
	"time"

	"archiver/internal/sandbox/content"
)

// Answer is what getRecords says of a recording that was deleted.
type Answer string

// The answers that vendors were seen to give.
const (
	AnswerEmpty  Answer = "[]"
	AnswerNull   Answer = "null"
	Answer400    Answer = "400"
	Answer200008 Answer = "200008"
)

// Conference is a meeting that can be recorded and streamed live.
type Conference struct {
	Key         string
	Tenant      string
	EntID       int
	Started     bool // not yet: 200006
	NoRecording bool // openRecord answers 200004
	NoLive      bool // openLive answers 200005
}

type conference struct {
	Conference
	recording *recording // open now, or nil
	begun     time.Time  // of that recording
	live      string     // URL of the live stream, or ""
}

// Recording is what one recordId stands for.
type Recording struct {
	ID            string // 1 to 64 characters
	Tenant        string
	ConferenceKey string
	EntID         int
	Files         []File
	// Also names other recordings whose files this one's listing shows as
	// well, as in the document's sample. A recording without files of its own
	// whose listing only shows others is a redirected one.
	Also []string
	// DeleteTakesAll makes delRecordFile delete those recordings too: the
	// document does not say that it spares them.
	DeleteTakesAll bool
	// LinkTTL and AfterDelete override the Options' where they are set.
	LinkTTL     time.Duration
	AfterDelete Answer
}

// File is one file of a recording.
type File struct {
	Start, Stop time.Time
	Content     content.Content
	// Name and Dir are the link's path; derived from the conference and the
	// start where empty: 1866_094309.mp4 in 2019-05-31.
	Name, Dir string
	// ReadyAt is when the file can be had. Before, its item has neither
	// stopTime nor downUrl, or, if Hidden, isn't listed at all: a late file.
	ReadyAt time.Time
	Hidden  bool
	// CarriedID is the recordId that the item carries instead of its own.
	CarriedID string
	// Modified is the Last-Modified; the zero value is Stop.
	Modified time.Time
}

type recording struct {
	Recording
	files     []*file
	deletedAt time.Time // zero: still there
	deletions int       // delRecordFile calls that took effect on it
}

type file struct {
	File
	owner   *recording
	path    string
	version string // of the content, what the ETag is made from
}

// AddConference makes a conference known, or replaces it.
func (s *Server) AddConference(c Conference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.conferences[c.Key]; ok {
		old.Conference = c
		return
	}
	s.conferences[c.Key] = &conference{Conference: c}
}

// StartConference makes a known conference running, so that it can be
// recorded; it reports whether it is known.
func (s *Server) StartConference(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conferences[key]
	if ok {
		c.Started = true
	}
	return ok
}

// EndConference ends a conference; a recording of it ends as by closeRecord.
// It reports whether the conference is known.
func (s *Server) EndConference(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conferences[key]
	if !ok {
		return false
	}
	if c.recording != nil {
		s.endRecording(c)
	}
	c.Started, c.live = false, ""
	return true
}

// AddRecording makes a recording with its files known, or replaces it. A
// recordId of no or more than 64 characters, an unknown tenant or a file
// without Content is an error.
func (s *Server) AddRecording(r Recording) error {
	if n := len([]rune(r.ID)); n < 1 || n > 64 {
		return fmt.Errorf("add recording %q: a recordId has 1 to 64 characters", r.ID)
	}
	if _, ok := s.opts.Tenants[r.Tenant]; !ok {
		return fmt.Errorf("add recording %s: no tenant %q", r.ID, r.Tenant)
	}
	for i := range r.Files {
		if r.Files[i].Content == nil {
			return fmt.Errorf("add recording %s: file %d has no content", r.ID, i)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(r.ID)
	rec := &recording{Recording: r}
	rec.Also = slices.Clone(r.Also)
	s.recordings[r.ID] = rec
	for _, f := range r.Files {
		s.addFile(rec, f)
	}
	return nil
}

// AddFile adds a file to a recording; one that is not known is an error, and
// so is a file without Content.
func (s *Server) AddFile(recordID string, f File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.recordings[recordID]
	if !ok || f.Content == nil {
		return fmt.Errorf("add file to recording %s: no such recording, or no content", recordID)
	}
	s.addFile(rec, f)
	return nil
}

// ReplaceContent gives file i of a recording other bytes, a new ETag and a new
// Last-Modified, from the next request on; false if there is no such file.
func (s *Server) ReplaceContent(recordID string, i int, c content.Content) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.recordings[recordID]
	if !ok || i < 0 || i >= len(rec.files) {
		return false
	}
	s.serial++
	f := *rec.files[i] // downloads under way keep the old one
	f.Content, f.Modified = c, s.opts.Clock()
	f.version = fmt.Sprintf("%s#%d", f.path, s.serial)
	rec.files[i], s.byPath[f.path] = &f, &f
	return true
}

// RemoveFile takes file i of a recording away, as a vendor's retention does;
// false if there is no such file.
func (s *Server) RemoveFile(recordID string, i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.recordings[recordID]
	if !ok || i < 0 || i >= len(rec.files) {
		return false
	}
	delete(s.byPath, rec.files[i].path)
	rec.files = slices.Delete(slices.Clone(rec.files), i, i+1)
	return true
}

func (s *Server) forget(id string) {
	if old, ok := s.recordings[id]; ok {
		for _, f := range old.files {
			delete(s.byPath, f.path)
		}
	}
}

// addFile fills in what f leaves out and gives it a path of its own. The
// caller holds s.mu.
func (s *Server) addFile(rec *recording, f File) {
	cst := f.Start.In(time.FixedZone("CST", 8*3600))
	if f.Name == "" {
		f.Name = rec.ConferenceKey + cst.Format("_150405") + ".mp4"
	}
	if f.Dir == "" {
		f.Dir = cst.Format("2006-01-02")
	}
	if f.Modified.IsZero() {
		f.Modified = f.Stop
	}
	p := path.Join("/", f.Dir, f.Name)
	for n := 2; s.byPath[p] != nil; n++ {
		p = path.Join("/", fmt.Sprintf("%s-%d", f.Dir, n), f.Name)
	}
	// A path is free again once its file is deleted: the serial keeps the
	// next one there from being taken for the same version.
	s.serial++
	nf := &file{File: f, owner: rec, path: p, version: fmt.Sprintf("%s#%d", p, s.serial)}
	rec.files = append(rec.files, nf)
	s.byPath[p] = nf
}

// endRecording closes c's recording: its file gets an end and its bytes. The
// caller holds s.mu.
func (s *Server) endRecording(c *conference) {
	now := s.opts.Clock().Truncate(time.Second)
	rec := c.recording
	c.recording = nil
	s.addFile(rec, File{
		Start: c.begun, Stop: now, ReadyAt: now.Add(s.opts.ReadyDelay), Content: s.opts.NewContent(rec.ID),
	})
}

// remove deletes rec and, where it is so, what it lists beside it. The caller
// holds s.mu.
func (s *Server) remove(rec *recording) {
	all := []*recording{rec}
	if rec.DeleteTakesAll {
		for _, id := range rec.Also {
			if other, ok := s.recordings[id]; ok {
				all = append(all, other)
			}
		}
	}
	for _, r := range all {
		for _, f := range r.files {
			delete(s.byPath, f.path)
		}
		r.deletedAt = s.opts.Clock()
		r.deletions++
	}
}
