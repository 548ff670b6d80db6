package daemon

import (
	"time"

	"archiver/internal/state"
)

// stage says how far a recording is: whether it is done, waits for the vendor,
// or is being worked on.
type stage uint8

const (
	stageUnseen stage = iota // not looked at yet
	stageWorking
	stageWaiting
	stageDone
	stages = iota
)

func (f *follower) stage(r state.Recording, suspended bool, now time.Time) stage {
	polled := !r.Poll.LastAt.Before(f.started.Truncate(time.Second)) || r.Poll.NextAt.IsZero()
	if !polled && !suspended && !r.Poll.NextAt.After(now) {
		return stageWorking // due, and not asked about since: also the later looks at what is archived
	}
	switch r.Status {
	case state.Redirected, state.SourceDeleted, state.DeletionUnconfirmed:
		return stageDone
	case state.Quarantined:
		if openFiles(r) > 0 {
			return stageWorking
		}
		return stageDone
	case state.Deleting:
		return stageWorking
	case state.Archived:
		del := f.d.deletePolicy(r.Tenant)
		due := del.Enabled && r.Deletable() && !r.Deletion.EligibleFrom.Add(del.After).After(now)
		if r.Manifest.Due && r.Manifest.Error == "" || due && r.Deletion.Error == "" {
			return stageWorking
		}
		return stageDone
	case state.Waiting, state.Archiving:
		switch {
		case openFiles(r) > 0, r.Manifest.Due:
			return stageWorking
		case !polled && !suspended && r.Poll.NextAt.Before(now.Add(time.Minute)):
			return stageWorking // not asked about in this run yet
		}
	}
	return stageWaiting
}

// openFiles counts the files that there is something left to do for: also the
// uploads of quarantined ones have to be aborted.
func openFiles(r state.Recording) int {
	n := 0
	for _, f := range r.Files {
		aborting := f.Phase == state.FileQuarantined && f.Upload != nil
		if !f.Superseded && f.Phase != state.Verified && (f.Phase != state.FileQuarantined || aborting) {
			n++
		}
	}
	return n
}
