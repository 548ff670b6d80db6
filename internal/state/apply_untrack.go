package state

import "fmt"

// apply leaves the zero Status, as of a recording that was never tracked: the
// store then forgets everything but the audit log.
func (Untrack) apply(m *move) error {
	switch {
	case m.Status == Deleting:
		return fmt.Errorf("untrack it while its source is being deleted; try again when the outcome is known: %w", ErrIllegal)
	case m.Hold:
		return fmt.Errorf("untrack it while it is on hold; unhold it first: %w", ErrIllegal)
	}
	for i := range m.Files {
		f := &m.Files[i]
		switch {
		case f.Phase == Discovered && m.env.Claimed != nil && m.env.Claimed(FileRef{Key: m.ID(), FileID: f.ID}):
			return fmt.Errorf("untrack it while file %s is taken up; try again when that is verified: %w", f.ID, ErrIllegal)
		case f.Phase == Transferring || f.Phase == Stored:
			return fmt.Errorf("untrack it while file %s is %s; try again when that is verified: %w", f.ID, f.Phase, ErrIllegal)
		case f.Upload != nil:
			return fmt.Errorf("untrack it while an upload of file %s is open; try again when that is aborted: %w", f.ID, ErrIllegal)
		}
	}
	m.event(Event{Type: EventUntracked, From: string(m.Status)})
	m.Recording = Recording{Tenant: m.Tenant, RecordID: m.RecordID}
	return nil
}
