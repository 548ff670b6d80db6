package state

import "time"

const (
	// quarantineRetry is when a quarantined recording is asked about again,
	// because its source may still exist. As Poll.Interval it marks that
	// Poll.NextAt is such a retry, whenever that is.
	quarantineRetry = 24 * time.Hour
	// shortestRetry is how long a retry is put off at least.
	shortestRetry = time.Hour
)

// RetryAt returns when something that was quarantined at a given time is tried
// again by itself: a day later, or, where the source lives for less than that,
// after half of what is left until its deadline (at least an hour), so that
// there is a retry while it may still help. The zero deadline is not known;
// one that is past shortens nothing.
func RetryAt(at, deadline time.Time) time.Time {
	left := deadline.Sub(at)
	if deadline.IsZero() || left <= 0 || left >= quarantineRetry {
		return at.Add(quarantineRetry)
	}
	return at.Add(max(left/2, shortestRetry))
}

// setAside makes the next poll the retry of what is quarantined from now on.
func (m *move) setAside(deadline time.Time) {
	m.Poll.Interval, m.Poll.NextAt = quarantineRetry, RetryAt(m.env.At, deadline)
}

// release takes the recording out of quarantine, if it is in it and none of its
// files is, and has it asked about at once: the retry is no more.
func (m *move) release() {
	if m.Status != Quarantined || !m.onlyRecordingIsBad() {
		return
	}
	m.Poll.Interval, m.Poll.NextAt = 0, m.env.At
	m.to(Archiving, Event{Type: EventArchiving})
}

func (c Quarantine) apply(m *move) error {
	switch m.Status {
	case Waiting, Archiving, Quarantined:
	default:
		return m.illegal("quarantine")
	}
	m.Reason, m.Detail = c.Reason, c.Detail
	if m.Status != Quarantined {
		m.setAside(time.Time{})
		m.to(Quarantined, Event{Type: EventQuarantined, Reason: c.Reason, Detail: c.Detail})
	}
	return nil
}

func (Retry) apply(m *move) error {
	switch m.Status {
	case Quarantined:
	case Waiting, Archiving:
		m.hurry()
		return nil
	default:
		return m.illegal("retry")
	}
	for i := range m.Files {
		f := &m.Files[i]
		if f.Phase != FileQuarantined {
			continue
		}
		f.Attempts, f.Retakes, f.Missing, f.MissingSince = 0, 0, 0, time.Time{}
		f.NextAttemptAt, f.Error = time.Time{}, ""
		to := Discovered
		if f.Upload != nil {
			to = Transferring
		}
		m.phase(f, to, Event{Type: EventRetried})
	}
	m.Poll.NextAt, m.Poll.Interval = m.env.At, 0
	m.Poll.Refusals, m.Poll.RefusedSince = 0, time.Time{}
	m.Poll.Empty, m.Poll.EmptySince = 0, time.Time{}
	m.SourceGoneAt = time.Time{}
	to := Waiting
	if len(m.Files) > 0 {
		to = Archiving
	}
	m.to(to, Event{Type: EventRetried})
	return nil
}

// hurry makes due at once what waits after a failure.
func (m *move) hurry() {
	for i := range m.Files {
		f := &m.Files[i]
		if f.Phase != Verified && f.Phase != FileQuarantined && !f.Superseded {
			f.Attempts, f.NextAttemptAt = 0, time.Time{}
		}
	}
	m.Manifest.NotBefore = time.Time{}
	m.Poll.NextAt, m.Poll.Interval = m.env.At, 0
	m.event(Event{Type: EventRetried})
}
