package state_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

func collected(s *state.KeySet) []state.Key {
	out := []state.Key{}
	for i, k := range s.All() {
		if s.At(i) != k {
			panic(k)
		}
		out = append(out, k)
	}
	return out
}

// TestKeySet: whatever comes in whatever order is there once, in order, and
// found; nothing else is.
func TestKeySet(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var (
		b    state.KeySetBuilder
		want []state.Key
	)
	for range 20_000 { // several texts long
		k := state.Key{
			Tenant:   []string{"acme", "globex", "a"}[rnd.IntN(3)],
			RecordID: strings.Repeat(string(rune('a'+rnd.IntN(26))), rnd.IntN(64)) + string(rune('a'+rnd.IntN(26))),
		}
		switch rnd.IntN(4) { // also hexadecimal ones, of either case, and what sorts before and behind them
		case 0:
			k.RecordID = fmt.Sprintf("%x", rnd.Uint64()>>rnd.IntN(64))
		case 1:
			k.RecordID = fmt.Sprintf("%0*X", rnd.IntN(40), rnd.Uint64())
		case 2:
			k.RecordID = fmt.Sprintf("%032x", rnd.Uint64())[rnd.IntN(30):] + []string{"", "", "-", "é", "g"}[rnd.IntN(5)]
		}
		b.Add(k)
		want = append(want, k)
	}
	if b.Len() != len(want) {
		t.Errorf("%d were added, want %d", b.Len(), len(want))
	}
	slices.SortFunc(want, func(x, y state.Key) int {
		return cmp.Or(strings.Compare(x.Tenant, y.Tenant), strings.Compare(x.RecordID, y.RecordID))
	})
	want = slices.Compact(want)
	s := b.Set()
	if d := gocmp.Diff(want, collected(s)); d != "" {
		t.Error(d)
	}
	for i, k := range want {
		if got, ok := s.Find(k); got != i || !ok {
			t.Fatalf("%s is at %d, %v; want %d", k, got, ok, i)
		}
		for _, other := range []state.Key{{Tenant: k.Tenant, RecordID: k.RecordID + "!"}, {Tenant: "initech", RecordID: k.RecordID}, {Tenant: k.Tenant}} {
			if _, ok := s.Find(other); ok {
				t.Fatalf("%s was found", other)
			}
		}
	}
	if b.Len() != 0 || b.Set().Len() != 0 {
		t.Error("the builder is not empty")
	}
}

func TestKeySetNone(t *testing.T) {
	t.Parallel()
	var none *state.KeySet
	for _, s := range []*state.KeySet{none, state.KeySetOf()} {
		if _, found := s.Find(state.Key{Tenant: "acme", RecordID: "a"}); found || s.Len() != 0 || len(collected(s)) != 0 {
			t.Errorf("%v is not empty", s)
		}
	}
}

// TestKeySetIsSmall: a key of a list costs no allocation of its own.
func TestKeySetIsSmall(t *testing.T) {
	var b state.KeySetBuilder
	k := state.Key{Tenant: "acme", RecordID: strings.Repeat("x", 32)}
	b.Add(k)
	if n := testing.AllocsPerRun(50_000, func() { b.Add(k) }); n != 0 {
		t.Errorf("%v allocations a key", n)
	}
}
