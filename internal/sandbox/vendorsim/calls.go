package vendorsim

import (
	"fmt"
	"time"
)

const timeFormat = "2006-01-02 15:04:05" // of startTime and stopTime

// conferenceOf finds a tenant's conference, or the code that refuses it. The
// caller holds s.mu.
func (s *Server) conferenceOf(tenant, key string) (*conference, string) {
	c, ok := s.conferences[key]
	switch {
	case key == "":
		return nil, codeBadParam
	case !ok:
		return nil, codeNoConference
	case c.Tenant != tenant:
		return nil, codeNotYours
	}
	return c, codeOK
}

func (s *Server) openRecord(tenant string, p params) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, code := s.conferenceOf(tenant, p.ConferenceKey)
	switch {
	case c == nil:
		return outcome{code: code}
	case !c.Started:
		return outcome{code: codeNotStarted}
	case c.NoRecording:
		return outcome{code: codeNoRecord}
	case c.recording != nil:
		return outcome{code: codeRecordOpen}
	}
	s.serial++
	id := fmt.Sprintf("%08x-207a-4853-ba39-%012x", 0xa1e30000+s.serial, 0xc57600000000+s.serial)
	c.recording = &recording{Recording: Recording{ID: id, Tenant: tenant, ConferenceKey: c.Key, EntID: c.EntID}}
	c.begun = s.opts.Clock().Truncate(time.Second)
	s.recordings[id] = c.recording
	return outcome{codeOK, Item{{"recordId", id}}, true}
}

func (s *Server) closeRecord(tenant string, p params) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, code := s.conferenceOf(tenant, p.ConferenceKey)
	switch {
	case c == nil:
		return outcome{code: code}
	case !c.Started:
		return outcome{code: codeNotStarted}
	case c.recording == nil:
		return outcome{code: codeNotRecording}
	}
	id := c.recording.ID
	s.endRecording(c)
	return outcome{codeOK, Item{{"recordId", id}}, true}
}

func (s *Server) openLive(tenant string, p params) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, code := s.conferenceOf(tenant, p.ConferenceKey)
	switch {
	case c == nil:
		return outcome{code: code}
	case !c.Started:
		return outcome{code: codeNotStarted}
	case c.NoLive:
		return outcome{code: codeNoLive}
	case c.live != "":
		return outcome{code: codeLiveOpen}
	}
	s.serial++
	c.live = fmt.Sprintf("https://vapi.example.com/live/%04x", s.serial)
	return outcome{codeOK, Item{{"liveurl", c.live}}, true}
}

// closeLive of a conference that is not live succeeds: the document has no
// code for it.
func (s *Server) closeLive(tenant string, p params) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, code := s.conferenceOf(tenant, p.ConferenceKey)
	if c == nil {
		return outcome{code: code}
	}
	was := c.live != ""
	c.live = ""
	return outcome{codeOK, absent{}, was}
}

// recordingOf finds a tenant's recording, or the code that refuses it. The
// caller holds s.mu.
func (s *Server) recordingOf(tenant, id string) (*recording, string) {
	rec, ok := s.recordings[id]
	switch {
	case !ok:
		return nil, codeBadParam
	case rec.Tenant != tenant:
		return nil, codeForbidden // somebody else's auth is being used
	}
	return rec, codeOK
}

func (s *Server) getRecords(tenant string, p params) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, code := s.recordingOf(tenant, p.RecordID)
	if rec == nil {
		return outcome{code: code}
	}
	items := s.itemsOf(rec)
	for _, id := range rec.Also {
		if other, ok := s.recordings[id]; ok {
			items = append(items, s.itemsOf(other)...)
		}
	}
	if len(items) == 0 && !rec.deletedAt.IsZero() {
		return s.afterDelete(rec)
	}
	return outcome{codeOK, items, false}
}

// afterDelete is the answer for a recording of which nothing is left.
func (s *Server) afterDelete(rec *recording) outcome {
	answer := rec.AfterDelete
	if answer == "" {
		answer = s.opts.AfterDelete
	}
	switch answer {
	case AnswerNull:
		return outcome{code: codeOK}
	case Answer400, Answer200008:
		return outcome{code: string(answer)}
	case AnswerEmpty:
	}
	return outcome{codeOK, []Item{}, false}
}

// itemsOf lists a recording's own files as they stand now, with fresh links.
// The caller holds s.mu.
func (s *Server) itemsOf(rec *recording) []Item {
	items := []Item{}
	if !rec.deletedAt.IsZero() {
		return items
	}
	now := s.opts.Clock()
	for _, f := range rec.files {
		ready := !now.Before(f.ReadyAt)
		if !ready && f.Hidden {
			continue
		}
		it := Item{
			{"recordId", f.carriedID()},
			{"conferenceKey", rec.ConferenceKey},
			{"entId", rec.EntID},
			{"startTime", f.Start.In(s.opts.Zone).Format(timeFormat)},
		}
		if ready {
			it.Set("fileSize", f.Content.Size())
			it.Set("stopTime", f.Stop.In(s.opts.Zone).Format(timeFormat))
			it.Set("downUrl", s.link(f, now))
		}
		items = append(items, it)
	}
	return items
}

func (s *Server) delRecordFile(tenant string, p params) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, code := s.recordingOf(tenant, p.RecordID)
	if rec == nil {
		return outcome{code: code}
	}
	if !rec.deletedAt.IsZero() {
		if again := s.afterDelete(rec); again.code != codeOK {
			return again
		}
		return outcome{codeOK, Item{{"recordId", rec.ID}}, false}
	}
	s.remove(rec)
	return outcome{codeOK, Item{{"recordId", rec.ID}}, true}
}
