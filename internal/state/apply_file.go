package state

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

func (c Discover) apply(m *move) error {
	if _, err := m.file(c.FileID); err == nil {
		return fmt.Errorf("discover file %s twice: %w", c.FileID, ErrIllegal)
	}
	if m.Status == Deleting {
		return m.illegal("discover a file")
	}
	f := File{
		ID: c.FileID, Filename: c.Filename, Dest: c.Dest, Generation: c.Generation,
		DiscoveredAt: m.env.At, DeclaredSize: -1,
	}
	if err := m.reserve(&f, c.Keys); err != nil {
		return err
	}
	f.relist(c.Listing)
	m.Files = append(m.Files, f)
	m.sortFiles()
	m.SourceGoneAt = time.Time{}
	m.Deletion.WarrantID = "" // an old warrant explains nothing of this file
	p, _ := m.file(c.FileID)
	m.phase(p, Discovered, Event{Type: EventDiscovered, Detail: f.Key})
	m.release()
	return nil
}

func (m *move) sortFiles() {
	slices.SortStableFunc(m.Files, func(a, b File) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.ID, b.ID))
	})
}

// onlyRecordingIsBad reports whether none of its files is quarantined.
func (m *move) onlyRecordingIsBad() bool {
	return !slices.ContainsFunc(m.Files, func(f File) bool {
		return !f.Superseded && f.Phase == FileQuarantined
	})
}

// reserve takes the first free key.
func (m *move) reserve(f *File, keys []string) error {
	ref := FileRef{Key: m.ID(), FileID: f.ID}
	for _, k := range keys {
		if !m.env.KeyTaken(ref, f.Dest, k) && !m.takenHere(f.ID, f.Dest, k) {
			f.Key = k
			return nil
		}
	}
	return fmt.Errorf("reserve a key for file %s: all of %s are taken: %w", f.ID, joinKeys(keys), ErrIllegal)
}

// takenHere covers the files that this very transaction has added.
func (m *move) takenHere(id string, d Destination, key string) bool {
	return slices.ContainsFunc(m.Files, func(f File) bool {
		return f.ID != id && f.Dest == d && f.Key == key
	})
}

func (f *File) relist(l Listing) {
	if f.DeclaredSize != l.DeclaredSize {
		f.DoubtedAt = time.Time{}
	}
	f.DeclaredSize = l.DeclaredSize
	f.StartTime, f.StopTime = l.Start, l.Stop
	f.SourcePath, f.Vendor = l.SourcePath, l.Vendor
	f.Deadline = l.Deadline
	f.Missing, f.MissingSince = 0, time.Time{}
}

func (c Relist) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	f.relist(c.Listing)
	m.SourceGoneAt = time.Time{} // it is listed again
	m.sortFiles()
	return nil
}

func (c Miss) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	if f.Missing == 0 {
		f.MissingSince = m.env.At
	}
	f.Missing++
	return nil
}

func (c Start) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	switch f.Phase {
	case Discovered:
		m.phase(f, Transferring, Event{Type: EventTransferring})
	case Transferring:
	default:
		return f.illegal("start")
	}
	return nil
}

func (f *File) illegal(what string) error {
	return fmt.Errorf("%s file %s while it is %s: %w", what, f.ID, f.Phase, ErrIllegal)
}

// transferring returns the file if it is on its way.
func (m *move) transferring(id, what string) (*File, error) {
	f, err := m.file(id)
	if err != nil {
		return nil, err
	}
	if f.Phase != Transferring {
		return nil, f.illegal(what)
	}
	return f, nil
}

// unstored returns the file if it is on its way, or yet to be: of a short
// transfer the state hears only at its end.
func (m *move) unstored(id, what string) (*File, error) {
	f, err := m.file(id)
	if err != nil {
		return nil, err
	}
	if f.Phase != Transferring && f.Phase != Discovered {
		return nil, f.illegal(what)
	}
	return f, nil
}

func (c Pin) apply(m *move) error {
	f, err := m.transferring(c.FileID, "pin the source of")
	if err != nil {
		return err
	}
	v := c.Version
	if f.Upload != nil && f.Upload.ID != "" && f.Version != nil && *f.Version != v && !f.Version.Same(v) {
		// Its parts are of the other version: Restart drops them first.
		return f.illegal("pin a second version of the source of")
	}
	f.Version = &v
	return nil
}

func (c IntendUpload) apply(m *move) error {
	f, err := m.transferring(c.FileID, "open an upload for")
	if err != nil {
		return err
	}
	if f.Upload != nil && f.Upload.ID != "" {
		return f.illegal("open a second upload for")
	}
	f.Upload = &Upload{PartSize: c.PartSize, IntendedAt: m.env.At}
	return nil
}

func (c OpenUpload) apply(m *move) error {
	f, err := m.transferring(c.FileID, "record the upload of")
	if err != nil {
		return err
	}
	if f.Upload == nil || f.Upload.ID != "" || c.UploadID == "" {
		return f.illegal("record an upload that was not intended for")
	}
	if f.Version == nil {
		return f.illegal("record an upload of an unpinned source for")
	}
	f.Upload.ID = c.UploadID
	return nil
}

func (c Fail) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	switch f.Phase {
	case Verified:
		return f.illegal("record a failed attempt of")
	case FileQuarantined:
		f.NextAttemptAt = c.RetryAt // of aborting its upload; Error says why it is quarantined
		return nil
	case Discovered, Transferring, Stored:
	}
	news := c.Counts || c.Error != f.Error
	if c.Counts {
		f.Attempts++
	}
	f.Error, f.NextAttemptAt = c.Error, c.RetryAt
	if !news {
		return nil // or a bucket that refuses everything would fill the log
	}
	m.event(Event{Type: EventAttemptFailed, FileID: f.ID, From: string(f.Phase), To: string(f.Phase), Detail: c.Error})
	return nil
}

func (c Progressed) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	if f.Phase == FileQuarantined {
		return nil // Error says why it is quarantined
	}
	f.Attempts, f.Error, f.NextAttemptAt = 0, "", time.Time{}
	return nil
}

func (c Restart) apply(m *move) error {
	f, err := m.unstored(c.FileID, "restart")
	if err != nil {
		return err
	}
	if f.Upload == nil || f.Upload.ID != "" { // of an upload that was only intended nothing was transferred
		f.Retakes++
	}
	f.Version, f.Upload, f.Suspect = nil, nil, c.Suspect
	f.Error, f.NextAttemptAt = c.Detail, c.RetryAt
	m.phase(f, Discovered, Event{Type: EventRestarted, Detail: c.Detail})
	return nil
}

func (c Doubt) apply(m *move) error {
	f, err := m.unstored(c.FileID, "doubt")
	if err != nil {
		return err
	}
	if f.DoubtedAt.IsZero() {
		f.DoubtedAt = m.env.At
	}
	f.Version, f.Upload = nil, nil
	f.Error, f.NextAttemptAt = c.Detail, c.RetryAt
	m.phase(f, Discovered, Event{Type: EventRestarted, Detail: c.Detail})
	return nil
}

func (c MarkStored) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	// A file that vanished from the listing while it was on its way may have
	// come whole all the same.
	vanished := f.Phase == FileQuarantined && f.Reason == SourceGone
	if f.Phase != Transferring && !vanished {
		return f.illegal("store")
	}
	v := c.Version
	f.Version, f.Size, f.Sums, f.Object, f.Marks = &v, c.Size, c.Sums, c.Object, c.Marks
	f.Parts, f.Upload, f.Attempts, f.Error, f.NextAttemptAt = c.Parts, nil, 0, "", time.Time{}
	f.StoredAt, f.ReadbackAt = m.env.At, time.Time{}
	m.phase(f, Stored, Event{Type: EventStored, Detail: f.Marks.String()})
	if vanished && !f.Superseded {
		m.release()
	}
	return nil
}

func (c Rekey) apply(m *move) error {
	f, err := m.unstored(c.FileID, "move the key of")
	if err != nil {
		return err
	}
	old := f.Key
	if err := m.reserve(f, c.Keys); err != nil {
		return err
	}
	f.Upload, f.NextAttemptAt, f.Spoiled = nil, time.Time{}, false
	m.phase(f, Discovered, Event{Type: EventRestarted, Detail: "another object lies at " + old})
	return nil
}

func (c Verify) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	if c.Readback {
		f.ReadbackAt = m.env.At
	}
	switch f.Phase {
	case Stored:
		f.Level, f.Object, f.VerifiedAt = c.Level, c.Object, m.env.At
		f.Error, f.Attempts, f.NextAttemptAt = "", 0, time.Time{}
		m.phase(f, Verified, Event{Type: EventVerified, Detail: string(c.Level)})
	case Verified:
		// Proven again: the grace time keeps counting from the first proof.
		if !c.Readback && !f.Object.Same(c.Object) {
			f.ReadbackAt = time.Time{} // those were the bytes of another object
		}
		if f.Level != c.Level && !m.Manifest.WrittenAt.IsZero() {
			m.Manifest.Due = true
		}
		f.Level, f.Object = c.Level, c.Object
	default:
		return f.illegal("verify")
	}
	return nil
}

func (c QuarantineFile) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	if f.Phase == FileQuarantined {
		if c.Aborted {
			f.Upload, f.Version, f.NextAttemptAt = nil, nil, time.Time{}
		}
		return nil
	}
	if m.Status == Deleting || m.Status == SourceDeleted {
		return m.illegal("quarantine a file")
	}
	f.Error, f.NextAttemptAt = c.Detail, time.Time{}
	if c.Aborted {
		f.Upload, f.Version = nil, nil
	}
	m.phase(f, FileQuarantined, Event{Type: EventQuarantined, Reason: c.Reason, Detail: c.Detail})
	f.Reason = c.Reason
	f.Spoiled = f.Spoiled || c.Reason == VerifyFailed
	return nil
}

func (c Supersede) apply(m *move) error {
	f, err := m.file(c.FileID)
	if err != nil {
		return err
	}
	if m.Status == Deleting {
		return m.illegal("supersede a file")
	}
	if f.Phase != Verified && f.Phase != Stored {
		return f.illegal("supersede")
	}
	if f.Superseded {
		return nil
	}
	f.Superseded = true
	m.event(Event{Type: EventSuperseded, FileID: f.ID, From: string(f.Phase), To: string(f.Phase), Detail: c.Detail})
	return nil
}
