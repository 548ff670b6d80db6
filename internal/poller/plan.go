package poller

import (
	"time"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

const (
	// eager is how long a waiting recording is asked about at every run.
	eager = time.Hour
	// day is how often a quarantined recording is asked about. As
	// Poll.Interval it marks that Poll.NextAt is such a daily poll, also one
	// that a deadline brought forward; state sets it likewise for what others
	// quarantine.
	day = 24 * time.Hour
	// lapse is when a daily poll that could not be answered is repeated.
	lapse = time.Hour
	// enough is how many listings in a row must lack something.
	enough = 3
	// patience is how many times 400 must be answered in a row.
	patience = 5
)

// policy is what the configuration says of polls and files.
type policy struct {
	settle, maxInterval, giveUpAfter time.Duration
	recheck                          []time.Duration // ascending
	every                            time.Duration   // between two runs of the schedule
	retention                        time.Duration   // of the source; 0 unknown
	dest                             state.Destination
	// keys are the candidates for a file's object key, best first; the last
	// one is unique by construction.
	keys func(it meetingapi.Identified, fileID string) []string
}

// planner collects changes and keeps rec as it will be after them, so that each
// rule sees what the rules before it have led to.
type planner struct {
	rec  state.Recording
	poll state.Poll // becomes Polled, last
	at   time.Time
	pol  policy

	out        []state.Change
	discovered bool
	err        error
}

// plan says what the answer to a poll changes in the recording that was asked
// for. It is pure. An error (state.ErrIllegal) is a fault of this package.
func plan(rec state.Recording, a answer, at time.Time, pol policy) ([]state.Change, error) {
	d := &planner{rec: rec, poll: rec.Poll, at: at, pol: pol}
	switch {
	case rec.Status == "":
		return nil, nil // untracked while the vendor was being asked
	case rec.Status == state.Deleting:
		d.postpone()
	case a.refused == nil:
		d.listing(a.facts)
	case a.refused.empty(rec):
		d.listing(read(rec.RecordID, nil))
		d.poll.Error = a.refused.text
	default:
		d.refuse(a.refused)
	}
	return d.done(rec)
}

// planOther says what another recording's listing changes in the owner of some
// of its items, tracked or not yet.
func planOther(owner state.Recording, asked string, f facts, at time.Time, pol policy) ([]state.Change, error) {
	d := &planner{rec: owner, poll: owner.Poll, at: at, pol: pol}
	if owner.Status == state.Deleting {
		return nil, nil // its own next poll will tell, if it is not deleted
	}
	if owner.Status == "" {
		d.do(state.Track{AdoptedFrom: asked})
		d.poll = d.rec.Poll
	}
	d.files(f)
	d.poll.Named = true
	d.poll.Empty, d.poll.EmptySince = 0, time.Time{}
	if d.discovered && d.rec.Status != state.Quarantined {
		d.poll.NextAt, d.poll.Interval = at, 0
	}
	return d.done(owner)
}

func (d *planner) do(changes ...state.Change) {
	if d.err != nil || len(changes) == 0 {
		return
	}
	env := state.Env{At: d.at, KeyTaken: func(state.FileRef, state.Destination, string) bool { return false }}
	d.rec, _, d.err = state.Apply(d.rec, env, changes...)
	d.out = append(d.out, changes...)
}

func (d *planner) done(before state.Recording) ([]state.Change, error) {
	if d.err != nil {
		return nil, d.err
	}
	if d.poll != before.Poll {
		d.out = append(d.out, state.Polled{Poll: d.poll})
	}
	return d.out, nil
}

// postpone leaves a recording that is being deleted to whoever deletes it.
func (d *planner) postpone() {
	if !d.poll.NextAt.IsZero() && !d.poll.NextAt.After(d.at) {
		d.poll.NextAt = d.at.Add(max(d.pol.every, time.Minute))
	}
}

// ended reports whether the recording is not polled any more.
func ended(s state.Status) bool { return s == state.SourceDeleted || s == state.Redirected }

func (d *planner) listing(f facts) {
	aside := d.rec.Status == state.Quarantined
	again := aside && d.poll.Interval == day && !d.poll.NextAt.After(d.at)
	d.remember(f)
	if again && d.worthRetrying(f) {
		d.do(state.Retry{})
	}
	d.files(f)
	if aside && d.rec.Status != state.Quarantined {
		d.poll.Interval = 0 // it was the mark of a daily poll
	}
	if !ended(d.rec.Status) {
		d.missing(f)
		d.gone(f)
		d.settle(f)
	}
	d.schedule(f)
}

// remember updates what the next poll compares with.
func (d *planner) remember(f facts) {
	p := &d.poll
	p.LastAt, p.Error = d.at, ""
	p.Refusals, p.RefusedSince = 0, time.Time{}
	if p.Digest != "" && p.Digest != f.digest { // the first listing is not a change
		p.ChangedAt = d.at
		if d.rec.Status != state.Quarantined {
			p.Interval = 0 // a sign of life
		}
	}
	p.Digest = f.digest
	if len(f.items) > 0 {
		p.Named = true
		p.Empty, p.EmptySince = 0, time.Time{}
		return
	}
	if p.Empty == 0 {
		p.EmptySince = d.at
	}
	p.Empty++
}

// worthRetrying reports whether the daily poll of a quarantined recording
// found what it is about.
func (d *planner) worthRetrying(f facts) bool {
	listed := map[string]bool{}
	for _, it := range f.items {
		listed[it.FileID] = it.Finished()
	}
	bad := false
	for _, file := range d.rec.Files {
		if file.Superseded || file.Phase != state.FileQuarantined {
			continue
		}
		if listed[state.Identity(file.ID)] {
			return true
		}
		bad = true
	}
	if bad {
		return false
	}
	if len(f.items) == 0 { // then only others count, which redirect it
		return f.others > 0 && f.open == 0 && len(d.rec.Files) == 0
	}
	if d.rec.Reason == state.NeverProduced && len(d.rec.Files) > 0 {
		return f.open == 0 // it was set aside because of unfinished items
	}
	for _, it := range f.items {
		if it.Finished() {
			return true
		}
	}
	return false
}

// gone applies the rule for a recording of which nothing is listed any more:
// three listings in a row over at least settle, and no warrant of ours.
func (d *planner) gone(f facts) {
	if d.vanishing(f) && d.poll.Empty >= enough && d.at.Sub(d.poll.EmptySince) >= d.pol.settle {
		d.do(state.Gone{Detail: "three listings in a row over " + d.pol.settle.String() + " list nothing of it"})
	}
	// Also later: a transfer that was under way may have come to a good end.
	if len(f.items) == 0 && !d.rec.SourceGoneAt.IsZero() && d.rec.SettledAt.IsZero() &&
		len(d.rec.Files) > 0 && !anyFile(d.rec, func(f state.File) bool { return !have(f) }) {
		d.do(state.Settle{}) // we have all that there was, and nothing can follow
	}
}

// vanishing reports whether empty listings are being counted.
func (d *planner) vanishing(f facts) bool {
	return len(f.items) == 0 && (len(d.rec.Files) > 0 || d.poll.Named) &&
		d.rec.Deletion.WarrantID == "" && d.rec.SourceGoneAt.IsZero()
}

// settle holds the listing to be complete when nothing has happened for long.
func (d *planner) settle(f facts) {
	if quiet, ok := d.quietFrom(f); ok && d.rec.SettledAt.IsZero() && !d.at.Before(quiet) {
		d.do(state.Settle{})
	}
}

// quietFrom returns when a listing that has finished items only is complete,
// false if it is not such a listing. A stop time behind the discovery of its
// file is a wrong time zone: a finished file stopped before it was first seen.
func (d *planner) quietFrom(f facts) (time.Time, bool) {
	if len(f.items) == 0 || f.open > 0 {
		return time.Time{}, false
	}
	listed := map[string]bool{}
	for _, it := range f.items {
		listed[it.FileID] = true
	}
	last := d.poll.ChangedAt
	for _, file := range d.rec.Files {
		if file.Superseded || !listed[state.Identity(file.ID)] {
			continue
		}
		stop := file.StopTime
		if stop.IsZero() || stop.After(file.DiscoveredAt) {
			stop = file.DiscoveredAt
		}
		if stop.After(last) {
			last = stop
		}
	}
	return last.Add(d.pol.settle), true
}

// refuse handles an answer that is no listing.
func (d *planner) refuse(r *refusal) {
	first := d.poll.Error == ""
	d.poll.LastAt, d.poll.Error = d.at, r.text
	switch {
	case ended(d.rec.Status):
	case r.kind == fault.BadRequest && d.rec.Status != state.Quarantined:
		d.refused400(r)
	case r.kind == fault.Rejected || r.kind == fault.BadRequest:
		d.rejected(r)
	case r.kind == fault.Unauthorized:
		d.poll.NextAt = d.at // the tenant is suspended: last in the row of its probes
	case d.rec.Status == state.Quarantined:
		d.poll.NextAt = d.at.Add(max(lapse, r.after))
	case r.kind == fault.NotReady:
		if !d.giveUp(facts{}) {
			d.wait()
		}
	default:
		d.poll.NextAt = d.at // one failure costs no more than the time to the next run
		if !first {
			d.poll.NextAt = d.at.Add(d.grow())
		}
		if earliest := d.at.Add(r.after); d.poll.NextAt.Before(earliest) {
			d.poll.NextAt = earliest
		}
	}
}

// refused400 counts: a recording may have been asked about too early.
func (d *planner) refused400(r *refusal) {
	p := &d.poll
	if p.Refusals == 0 {
		p.RefusedSince = d.at
	}
	p.Refusals++
	if p.Refusals >= patience && d.at.Sub(p.RefusedSince) >= d.pol.settle {
		d.rejected(r)
		return
	}
	p.NextAt = d.at.Add(d.grow())
}

// rejected sets the recording aside, where that is a legal move: what is
// archived stays so.
func (d *planner) rejected(r *refusal) {
	switch d.rec.Status {
	case state.Quarantined:
		d.aside()
	case state.Waiting, state.Archiving:
		d.quarantine(state.VendorRejected, r.text)
	case state.Archived, state.Deleting, state.SourceDeleted, state.DeletionUnconfirmed, state.Redirected:
		d.recheck()
	}
}
