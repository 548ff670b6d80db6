package poller

import (
	"bytes"
	"fmt"
	"time"

	"archiver/internal/state"
)

// files turns the recording's finished items into files. A recording that has
// ended only takes files that it does not know: never lose one, never touch
// what is done.
func (d *planner) files(f facts) {
	current := map[string]state.File{}
	generation := map[string]int{}
	for _, file := range d.rec.Files {
		id := state.Identity(file.ID)
		generation[id] = max(generation[id], file.Generation, 1)
		if !file.Superseded {
			current[id] = file
		}
	}
	over := ended(d.rec.Status)
	var out []state.Change
	if !over && len(f.items) > 0 {
		out = append(out, describe(f.items))
	}
	for _, it := range f.items {
		if !it.Finished() {
			continue
		}
		cur, known := current[it.FileID]
		switch l := d.listingOf(it, cur); {
		case !known && generation[it.FileID] == 0:
			out = append(out, d.discover(it, it.FileID, 0, l))
		case over || !known:
		case sourceChanged(cur, it):
			n := generation[it.FileID] + 1
			out = append(out,
				state.Supersede{FileID: cur.ID, Detail: fmt.Sprintf("its listed size changed from %d to %d bytes", cur.DeclaredSize, it.FileSize)},
				d.discover(it, fmt.Sprintf("%s-%d", it.FileID, n), n, l))
		case relisted(cur, l):
			out = append(out, state.Relist{FileID: cur.ID, Listing: l})
		}
	}
	d.do(out...)
}

func (d *planner) discover(it listed, fileID string, generation int, l state.Listing) state.Discover {
	d.discovered = true
	return state.Discover{
		FileID: fileID, Filename: it.Filename, Dest: d.pol.dest, Keys: d.pol.keys(it.Identified, fileID),
		Listing: l, Generation: generation,
	}
}

func describe(items []listed) state.Describe {
	var c state.Describe
	for _, it := range items {
		if c.ConferenceKey == "" {
			c.ConferenceKey = it.ConferenceKey
		}
		if c.EntID == "" {
			c.EntID = it.EntID
		}
		if !it.StartTime.IsZero() && (c.Start.IsZero() || it.StartTime.Before(c.Start)) {
			c.Start = it.StartTime
		}
		if it.StopTime.After(c.Stop) {
			c.Stop = it.StopTime
		}
	}
	return c
}

// listingOf is what the state keeps of an item. A size that was listed before
// is not forgotten because a listing leaves it out: its change would not be
// seen then.
func (d *planner) listingOf(it listed, cur state.File) state.Listing {
	l := state.Listing{
		DeclaredSize: it.FileSize, Start: it.StartTime, Stop: it.StopTime,
		SourcePath: it.source, Vendor: it.vendor,
	}
	if l.DeclaredSize < 0 && cur.ID != "" {
		l.DeclaredSize = cur.DeclaredSize
	}
	if d.pol.retention > 0 && !it.StopTime.IsZero() {
		l.Deadline = it.StopTime.Add(d.pol.retention)
	}
	return l
}

// sourceChanged reports whether the vendor now lists another source than the
// one that we stored. A size that is corrected to what we have is no change.
func sourceChanged(f state.File, it listed) bool {
	return have(f) && it.FileSize > 0 && f.DeclaredSize > 0 && it.FileSize != f.DeclaredSize && it.FileSize != f.Size
}

func relisted(f state.File, l state.Listing) bool {
	return f.Missing > 0 || f.DeclaredSize != l.DeclaredSize || !f.StartTime.Equal(l.Start) || !f.StopTime.Equal(l.Stop) ||
		f.SourcePath != l.SourcePath || !f.Deadline.Equal(l.Deadline) || !bytes.Equal(f.Vendor, l.Vendor)
}

// missing counts the listings that lack a file, and sets those aside that
// three in a row over at least settle lack before we have them.
func (d *planner) missing(f facts) {
	listed := map[string]bool{}
	for _, it := range f.items {
		listed[it.FileID] = true
	}
	var out []state.Change
	for _, file := range d.rec.Files {
		if file.Superseded || listed[state.Identity(file.ID)] {
			continue
		}
		out = append(out, state.Miss{FileID: file.ID})
		since := file.MissingSince
		if file.Missing == 0 {
			since = d.at
		}
		if awaited(file) && file.Missing+1 >= enough && d.at.Sub(since) >= d.pol.settle {
			out = append(out, state.QuarantineFile{
				FileID: file.ID, Reason: state.SourceGone,
				Detail: fmt.Sprintf("not listed since %s, %d times in a row", since.UTC().Format(time.RFC3339), file.Missing+1),
			})
		}
	}
	d.do(out...)
}

// have reports whether all bytes of the file are in the bucket.
func have(f state.File) bool { return f.Phase == state.Stored || f.Phase == state.Verified }

// awaited reports whether the file still has to be fetched.
func awaited(f state.File) bool { return f.Phase == state.Discovered || f.Phase == state.Transferring }

// anyFile looks at the files that still count.
func anyFile(r state.Recording, is func(state.File) bool) bool {
	for _, f := range r.Files {
		if !f.Superseded && is(f) {
			return true
		}
	}
	return false
}
