package state

import (
	"errors"
	"fmt"
	"time"
)

func (s *Session) illegal() error {
	if s.Status == "" {
		return errors.New("there is no session")
	}
	return fmt.Errorf("it is %s", s.Status)
}

func (Intend) applySession(s *Session, at time.Time) (recordID, verb string, err error) {
	switch s.Status {
	case SessionOpening, SessionUnresolved:
		return "", "", s.illegal()
	case SessionOpen:
		s.Reopened = true
	case SessionClosed, SessionRefused:
		s.RecordID = ""
	}
	s.Status, s.IntendedAt, s.Error = SessionOpening, at, ""
	return "", "opening", nil
}

func (c Opened) applySession(s *Session, _ time.Time) (recordID, verb string, err error) {
	switch {
	case s.Status != SessionOpening:
		return "", "", s.illegal()
	case s.Kind == KindRecord && c.RecordID == "":
		return "", "", errors.New("no recordId")
	}
	s.Status, s.RecordID, s.Error, s.Reopened = SessionOpen, c.RecordID, "", false
	return c.RecordID, "open", nil
}

func (c Unresolve) applySession(s *Session, _ time.Time) (recordID, verb string, err error) {
	if s.Status != SessionOpening {
		return "", "", s.illegal()
	}
	s.Status, s.Error, s.Reopened = SessionUnresolved, c.Error, false
	return "", "unresolved", nil
}

func (c Refuse) applySession(s *Session, _ time.Time) (recordID, verb string, err error) {
	if s.Status != SessionOpening {
		return "", "", s.illegal()
	}
	s.Status, s.Error = SessionRefused, c.Error
	if s.Reopened {
		s.Status, s.Reopened = SessionOpen, false
	}
	return "", "refused", nil
}

func (c Close) applySession(s *Session, _ time.Time) (recordID, verb string, err error) {
	if c.RecordID != "" {
		s.RecordID = c.RecordID
	}
	s.Status, s.Error, s.Reopened = SessionClosed, c.Error, false
	return c.RecordID, "closed", nil
}

func (c CloseFailed) applySession(s *Session, _ time.Time) (recordID, verb string, err error) {
	if s.Status == "" {
		return "", "", s.illegal()
	}
	s.Error = c.Error
	return "", "close_failed", nil
}
