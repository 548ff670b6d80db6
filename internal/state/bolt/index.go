package bolt

import (
	"encoding/binary"
	"time"

	"archiver/internal/state"
)

// entry is an index entry that a recording calls for.
type entry struct {
	bucket  string
	key     string
	payload string
	// ready is, of an entry of delayed, the key under which Claim puts the
	// file into transfer once its time has come. Either is right.
	ready string
}

// entries returns all index entries of a recording: the one place that knows
// them; writing and checking both follow it.
func entries(r state.Recording) []entry {
	if r.Status == "" {
		return nil
	}
	out := make([]entry, 0, 4+2*len(r.Files))
	ref := state.FileRef{Key: r.ID()}
	work := func(bucket string, due time.Time) {
		out = append(out, entry{bucket: bucket, key: string(workKey(ref, instant(due)))})
	}
	at := listedAt(r)
	out = append(out, entry{bucket: bByStatus, key: string(listKey(statusPrefix(r.Tenant, r.Status), at, r.RecordID))})
	if r.ConferenceKey != "" {
		k := listKey(conferencePrefix(r.Tenant, r.ConferenceKey), at, r.RecordID)
		out = append(out, entry{bucket: bByConference, key: string(k)})
	}
	if !r.Poll.NextAt.IsZero() {
		work(bPoll, r.Poll.NextAt)
	}
	if r.Manifest.Due {
		work(bManifest, r.Manifest.NotBefore)
	}
	if r.Deletable() {
		work(bDelete, r.Deletion.EligibleFrom)
	}
	if r.Status == state.Deleting {
		work(bConfirm, time.Time{})
	}
	for _, f := range r.Files {
		if !pending(f) {
			continue
		}
		of := state.FileRef{Key: r.ID(), FileID: f.ID}
		rank := rankOf(of, f)
		if f.Phase != state.FileQuarantined || f.Upload != nil { // else there is nothing to be done for it
			out = append(out, transferEntry(of, f, rank))
		}
		out = append(out, entry{bucket: bPending, key: rank})
	}
	return out
}

// listedAt is the time by which a recording is listed.
func listedAt(r state.Recording) uint64 {
	if r.StartTime.IsZero() {
		return instant(r.TrackedAt)
	}
	return instant(r.StartTime)
}

// pending reports whether a file is not in the bucket yet and still may be.
func pending(f state.File) bool {
	lost := f.Phase == state.FileQuarantined && f.Reason == state.SourceGone && f.Upload == nil
	return f.Phase != state.Verified && !f.Superseded && !lost
}

// rankOf is the key that ranks a pending file by urgency, due or not.
func rankOf(ref state.FileRef, f state.File) string {
	deadline, begin := urgency(f)
	return string(transferKey(ref, deadline, begin))
}

// urgency orders files: by deadline, then by start.
func urgency(f state.File) (deadline, begin uint64) {
	start := f.StartTime
	if start.IsZero() {
		start = f.DiscoveredAt
	}
	return instantOr(f.Deadline, never), instant(start)
}

// transferEntry returns the entry of a file that waits for WorkTransfer. A
// quarantined one waits for its upload to be aborted.
func transferEntry(ref state.FileRef, f state.File, rank string) entry {
	if f.NextAttemptAt.IsZero() {
		return entry{bucket: bTransfer, key: rank}
	}
	deadline, begin := urgency(f)
	p := binary.BigEndian.AppendUint64(nil, deadline)
	p = binary.BigEndian.AppendUint64(p, begin)
	return entry{
		bucket: bDelayed, key: string(workKey(ref, instant(f.NextAttemptAt))),
		payload: string(p), ready: rank,
	}
}

// reindex writes the difference between the entries of two versions of a
// recording.
func (t *txn) reindex(before, after []entry) error {
	// Both come in the same order, and most often little has changed.
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	var kept map[entry]bool
	if len(before) > 0 && len(after) > 0 { // else there is nothing to compare with
		kept = make(map[entry]bool, len(after))
		for _, e := range after {
			kept[e] = false
		}
	}
	for _, e := range before {
		if _, ok := kept[e]; ok {
			kept[e] = true
			continue
		}
		if err := t.del(e.bucket, []byte(e.key)); err != nil {
			return err
		}
		if e.ready == "" {
			continue
		}
		if err := t.del(bTransfer, []byte(e.ready)); err != nil {
			return err
		}
	}
	for _, e := range after {
		if kept[e] {
			continue
		}
		if err := t.putIndex(e.bucket, []byte(e.key), []byte(e.payload)); err != nil {
			return err
		}
	}
	return nil
}
