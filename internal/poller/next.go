package poller

import (
	"fmt"
	"time"

	"archiver/internal/state"
)

// schedule says when the recording is asked about next, and ends the waiting
// of one that has waited for too long or for nothing.
func (d *planner) schedule(f facts) {
	lost := anyFile(d.rec, func(f state.File) bool { return awaited(f) && f.Missing > 0 })
	switch {
	case ended(d.rec.Status):
		d.poll.NextAt = time.Time{}
	case d.rec.Status == state.Quarantined:
		d.aside()
	case lost || d.vanishing(f):
		// Absence is being counted: soon enough that it gets decided.
		d.poll.Interval, d.poll.NextAt = 0, d.at.Add(d.pol.settle/2)
	case d.rec.SettledAt.IsZero():
		d.unsettled(f)
	default:
		d.settled(f)
	}
}

// aside leaves a quarantined recording its daily poll, and gives it one if it
// has none yet.
func (d *planner) aside() {
	if d.poll.Interval != day || !d.poll.NextAt.After(d.at) {
		d.daily()
	}
}

// daily asks again in a day, or sooner where the source will not exist for so
// long, while it may still exist.
func (d *planner) daily() {
	d.poll.Interval, d.poll.NextAt = day, d.at.Add(day)
	if d.pol.retention <= 0 {
		return
	}
	stop := d.rec.StopTime
	if stop.IsZero() { // it may have been recorded until we gave up
		stop = d.rec.TrackedAt.Add(d.pol.giveUpAfter)
	}
	deadline := stop.Add(d.pol.retention)
	if !d.at.Before(deadline) {
		d.poll.NextAt = time.Time{}
		return
	}
	for _, f := range d.rec.Files {
		if f.Phase == state.FileQuarantined && !f.Superseded && f.Deadline.After(d.at) && f.Deadline.Before(deadline) {
			deadline = f.Deadline // of what is to be saved
		}
	}
	d.poll.NextAt = state.RetryAt(d.at, deadline)
}

func (d *planner) quarantine(r state.Reason, detail string) {
	d.do(state.Quarantine{Reason: r, Detail: detail})
	d.daily()
}

func (d *planner) unsettled(f facts) {
	if quiet, ok := d.quietFrom(f); ok {
		d.poll.Interval, d.poll.NextAt = 0, quiet
		return
	}
	if d.redirect(f) {
		return
	}
	if !d.giveUp(f) {
		d.wait()
	}
}

// redirect ends a recording whose listings have only ever named others. The
// last sign of life counts as for settling; a stop time in the future is a
// wrong time zone and says nothing.
func (d *planner) redirect(f facts) bool {
	if d.rec.Status != state.Waiting || len(d.rec.Files) > 0 || d.poll.Named || f.others == 0 || f.open > 0 {
		return false
	}
	last := f.newest
	if last.IsZero() || last.After(d.at) {
		last = d.rec.TrackedAt
	}
	if d.poll.ChangedAt.After(last) {
		last = d.poll.ChangedAt
	}
	d.poll.Interval, d.poll.NextAt = 0, last.Add(d.pol.settle)
	if !d.at.Before(d.poll.NextAt) {
		d.poll.NextAt = time.Time{}
		d.do(state.Redirect{Detail: fmt.Sprintf("its listings name only others: %d finished files", f.others)})
	}
	return true
}

// giveUp sets a recording aside that has had no file, or an unfinished one,
// for too long.
func (d *planner) giveUp(f facts) bool {
	switch {
	case d.pol.giveUpAfter <= 0 || !d.rec.SettledAt.IsZero():
		return false
	case len(d.rec.Files) == 0 && d.at.Sub(d.rec.TrackedAt) >= d.pol.giveUpAfter:
		d.quarantine(state.NeverProduced, "no finished file in "+d.pol.giveUpAfter.String())
	case len(d.rec.Files) > 0 && f.open > 0 && d.at.Sub(d.lastSign()) >= d.pol.giveUpAfter:
		d.quarantine(state.NeverProduced, fmt.Sprintf("listed items that were never finished in %s: %d", d.pol.giveUpAfter, f.open))
	default:
		return false
	}
	return true
}

// lastSign is when the listing changed last, or tracking began.
func (d *planner) lastSign() time.Time {
	if d.poll.ChangedAt.After(d.rec.TrackedAt) {
		return d.poll.ChangedAt
	}
	return d.rec.TrackedAt
}

// wait asks again at the next run for an hour, then at growing intervals.
func (d *planner) wait() {
	if d.at.Sub(d.rec.TrackedAt) < eager {
		d.poll.Interval, d.poll.NextAt = 0, d.at
		return
	}
	d.poll.NextAt = d.at.Add(d.grow())
	if end := d.rec.TrackedAt.Add(d.pol.giveUpAfter); end.After(d.at) && end.Before(d.poll.NextAt) && len(d.rec.Files) == 0 {
		d.poll.NextAt = end
	}
}

// grow lengthens the interval by half, from one run of the schedule (at least
// a minute) up to the longest.
func (d *planner) grow() time.Duration {
	shortest := max(d.pol.every, time.Minute)
	if d.poll.Interval < shortest {
		d.poll.Interval = shortest
	} else {
		d.poll.Interval += d.poll.Interval / 2
	}
	d.poll.Interval = min(d.poll.Interval, d.pol.maxInterval)
	return d.poll.Interval
}

// settled looks again for late files. While one is announced or has just come,
// it looks as if the recording were not settled, but not for ever.
func (d *planner) settled(f facts) {
	if f.open > 0 && (d.pol.giveUpAfter <= 0 || d.at.Sub(d.lastSign()) < d.pol.giveUpAfter) {
		d.poll.NextAt = d.at.Add(d.grow())
		return
	}
	d.poll.Interval = 0
	if quiet := d.poll.ChangedAt.Add(d.pol.settle); !d.poll.ChangedAt.IsZero() && d.at.Before(quiet) && len(f.items) > 0 {
		d.poll.NextAt = quiet
		return
	}
	d.recheck()
}

// recheck schedules the next of the later looks. After the last one a
// recording of which something is still outstanding is asked about once a day.
func (d *planner) recheck() {
	for i, after := range d.pol.recheck {
		if t := d.rec.SettledAt.Add(after); !d.rec.SettledAt.IsZero() && t.After(d.at) {
			d.poll.Rechecks, d.poll.NextAt = i, t
			return
		}
	}
	d.poll.Rechecks, d.poll.NextAt = len(d.pol.recheck), time.Time{}
	if d.rec.Status != state.Archived && d.rec.Status != state.DeletionUnconfirmed {
		d.poll.NextAt = d.at.Add(day)
	}
}
