package daemon

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"archiver/internal/state"
)

// TestFollowed: whatever is noted in whatever order, the sums are those of what
// was noted last, and nothing is kept of what is done.
func TestFollowed(t *testing.T) {
	t.Parallel()
	const named, all = 50, 80
	var b state.KeySetBuilder
	for i := range named {
		b.Add(state.Key{Tenant: "acme", RecordID: fmt.Sprintf("%02d", i)})
	}
	f := newFollowed(b.Set())
	for i := range all { // those that are there stay where they are
		f.add(state.Key{Tenant: "acme", RecordID: fmt.Sprintf("%02d", i)})
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	stageOf, tallyOf := make([]stage, all), make([]tally, all)
	for range 5_000 {
		i := rnd.IntN(all)
		k := f.at(i)
		if k.RecordID != fmt.Sprintf("%02d", i) {
			t.Fatalf("%s is at %d", k, i)
		}
		place, open := f.openAt(k)
		if place != i || open != (stageOf[i] != stageDone) {
			t.Fatalf("%s is at %d, open: %t", k, place, open)
		}
		if !open {
			continue
		}
		stageOf[i] = []stage{stageWorking, stageWaiting, stageWorking, stageDone}[min(rnd.IntN(40), 3)%4]
		if rnd.IntN(20) > 0 && stageOf[i] == stageDone {
			stageOf[i] = stageWaiting
		}
		tallyOf[i] = tally{files: rnd.Int32N(3), verified: rnd.Int32N(3), bytes: rnd.Int64N(100), bytesDone: rnd.Int64N(100)}
		f.note(i, stageOf[i], tallyOf[i])
	}
	var (
		sum    tally
		counts [stages]int
		kept   int
	)
	for i := range all {
		counts[stageOf[i]]++
		sum.add(tallyOf[i], +1)
		if _, is := f.tallies[i]; is {
			kept++
		}
		if _, is := f.tallies[i]; is && stageOf[i] == stageDone {
			t.Errorf("a tally is kept of %d, which is done", i)
		}
	}
	if f.sum != sum || f.counts != counts || len(f.tallies) != kept || f.recordings() != all || f.done() != counts[stageDone] {
		t.Errorf("%+v %v, want %+v %v; %d tallies", f.sum, f.counts, sum, counts, len(f.tallies))
	}
	if _, ok := f.find(state.Key{Tenant: "globex", RecordID: "01"}); ok {
		t.Error("another tenant's was found")
	}
}
