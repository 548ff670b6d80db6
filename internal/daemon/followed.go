package daemon

import (
	"archiver/internal/state"
)

// followed is what is known of the recordings that are followed: a byte each,
// and a tally of those whose files are under way. Each has a place: those that
// were named or listed have theirs among keys, those that they led to behind.
type followed struct {
	keys    *state.KeySet
	late    []state.Key
	places  map[state.Key]int // of late
	stages  []stage
	counts  [stages]int
	tallies map[int]tally // of those that are not done and have files
	sum     tally         // of all, done ones included
	ended   int           // recordings that were done when they were listed: they have no place
}

func newFollowed(keys *state.KeySet) followed {
	f := followed{keys: keys, places: map[state.Key]int{}, tallies: map[int]tally{}, stages: make([]stage, keys.Len())}
	f.counts[stageUnseen] = keys.Len()
	return f
}

// tally counts the files of a recording.
type tally struct {
	files, verified  int32
	bytes, bytesDone int64
}

func (t *tally) add(o tally, sign int32) {
	t.files += sign * o.files
	t.verified += sign * o.verified
	t.bytes += int64(sign) * o.bytes
	t.bytesDone += int64(sign) * o.bytesDone
}

// recordings is how many are followed.
func (f *followed) recordings() int { return f.ended + len(f.stages) }

// done is how many of them are.
func (f *followed) done() int { return f.ended + f.counts[stageDone] }

// at returns which recording has a place.
func (f *followed) at(i int) state.Key {
	if n := f.keys.Len(); i >= n {
		return f.late[i-n]
	}
	return f.keys.At(i)
}

func (f *followed) find(k state.Key) (place int, ok bool) {
	if i, ok := f.keys.Find(k); ok {
		return i, true
	}
	place, ok = f.places[k]
	return place, ok
}

// openAt returns the place of a recording that is followed and not done.
func (f *followed) openAt(k state.Key) (place int, ok bool) {
	i, ok := f.find(k)
	return i, ok && f.stages[i] != stageDone
}

// add gives a recording a place, if it has none.
func (f *followed) add(k state.Key) {
	if _, ok := f.find(k); ok {
		return
	}
	f.places[k] = len(f.stages)
	f.late, f.stages = append(f.late, k), append(f.stages, stageUnseen)
	f.counts[stageUnseen]++
}

// note takes down how far a recording is that was not done.
func (f *followed) note(place int, s stage, t tally) {
	f.counts[f.stages[place]]--
	f.counts[s]++
	f.stages[place] = s
	f.sum.add(f.tallies[place], -1)
	f.sum.add(t, +1)
	if s == stageDone || t == (tally{}) {
		delete(f.tallies, place)
	} else {
		f.tallies[place] = t
	}
}

// tallied counts the files of a recording.
func tallied(r state.Recording) tally {
	var t tally
	for _, f := range r.Files {
		if f.Superseded {
			continue
		}
		t.files++
		switch {
		case f.Phase == state.Verified:
			t.verified++
			t.bytes += f.Size
			t.bytesDone += f.Size
		case f.Version != nil && f.Version.Length >= 0:
			t.bytes += f.Version.Length
		default:
			t.bytes += max(f.DeclaredSize, 0)
		}
	}
	return t
}
