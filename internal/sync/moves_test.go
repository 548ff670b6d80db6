package sync

import (
	"context"
	"errors"
	"testing"
	"time"

	"archiver/internal/state"
)

// holder is a store of one recording.
type holder struct {
	Store
	rec state.Recording
}

// Update implements Store.
func (h *holder) Update(_ context.Context, _ state.Key, decide state.Decide) (state.Recording, error) {
	changes, err := decide(h.rec)
	if err != nil {
		return h.rec, err
	}
	rec, _, err := state.Apply(h.rec, state.Env{At: time.Unix(1, 0)}, changes...)
	if err == nil {
		h.rec = rec
	}
	return rec, err
}

// TestMovesIsOfTheSameFile: what was untracked while it was taken up, and is
// tracked anew, is not marked by a transfer of what it was.
func TestMovesIsOfTheSameFile(t *testing.T) {
	t.Parallel()
	k := state.Key{Tenant: "acme", RecordID: "r"}
	claimed := state.File{ID: "f", Key: "a", Phase: state.Discovered, DiscoveredAt: time.Unix(5, 0)}
	for name, change := range map[string]func(*state.File){
		"same":    func(*state.File) {},
		"key":     func(f *state.File) { f.Key = "b" },
		"bucket":  func(f *state.File) { f.Dest.Bucket = "other" },
		"another": func(f *state.File) { f.DiscoveredAt = time.Unix(6, 0) },
	} {
		now := claimed
		change(&now)
		h := &holder{rec: state.Recording{Tenant: k.Tenant, RecordID: k.RecordID, Status: state.Archiving, Files: []state.File{now}}}
		x := &transfer{Syncer: &Syncer{o: Options{Store: h}}, ref: state.FileRef{Key: k, FileID: "f"}, f: claimed}
		err := x.moves(t.Context())
		if same := name == "same"; same != (err == nil) || !same && !errors.Is(err, state.ErrIllegal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
