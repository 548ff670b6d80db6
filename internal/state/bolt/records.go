package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"archiver/internal/state"
)

// maxID is the length in bytes that a name may have in a key. The vendor's and
// ours are far shorter.
const maxID = math.MaxUint8

func checkName(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%s is empty", what)
	case len(s) > maxID:
		return fmt.Errorf("%s has %d bytes, at most %d are possible", what, len(s), maxID)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s %q is no valid UTF-8", what, s)
	}
	return nil
}

func checkKey(k state.Key) error {
	return errors.Join(checkName("tenant", k.Tenant), checkName("recordId", k.RecordID))
}

// load reads a recording with its files; zero Status if it is not tracked.
func (t *txn) load(k state.Key) (state.Recording, error) {
	r := state.Recording{Tenant: k.Tenant, RecordID: k.RecordID}
	key := recordingKey(k)
	stored := t.get(bRecordings, key)
	if stored == nil {
		return r, nil
	}
	r, err := recallJSON(t.memos.recordings, bRecordings, key, stored)
	r.Tenant, r.RecordID = k.Tenant, k.RecordID
	if err != nil {
		return r, err
	}
	c := t.cursor(bFiles, key)
	for k, v := c.first(); k != nil; k, v = c.next() {
		f, err := recallJSON(t.memos.files, bFiles, k, v)
		if err != nil {
			return r, err
		}
		r.Files = append(r.Files, f)
	}
	slices.SortStableFunc(r.Files, func(a, b state.File) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.ID, b.ID))
	})
	return r, nil
}

// save writes what differs between two versions of a recording, everything
// that is derived from it, and the events that tell of it.
func (t *txn) save(before, after state.Recording, events []state.Event) error {
	if err := checkFiles(after); err != nil {
		return err
	}
	k := after.ID()
	if err := t.saveRecording(before, after); err != nil {
		return err
	}
	for _, f := range after.Files {
		old, _ := before.File(f.ID)
		if err := t.saveFile(state.FileRef{Key: k, FileID: f.ID}, old, f); err != nil {
			return err
		}
	}
	if err := t.reindex(entries(before), entries(after)); err != nil {
		return err
	}
	if before.Status != after.Status || len(events) > 0 {
		n, err := t.totalsOf(k.Tenant)
		if err != nil {
			return err
		}
		count(n, before, -1)
		count(n, after, 1)
	}
	return t.appendEvents(events)
}

// saveRecording writes the recording itself, or forgets it if it was untracked,
// with every file that is no more.
func (t *txn) saveRecording(before, after state.Recording) error {
	k := after.ID()
	for _, f := range before.Files {
		if _, kept := after.File(f.ID); kept {
			continue
		}
		ref := state.FileRef{Key: k, FileID: f.ID}
		err := t.dropParts(ref)
		if err == nil {
			err = t.del(bKeys, reservationKey(f.Dest, f.Key))
		}
		if err == nil {
			err = t.del(bFiles, fileKey(ref))
		}
		if err != nil {
			return err
		}
	}
	key := recordingKey(k)
	switch {
	case after.Status != "" && before.Status == "":
		return t.putNew(bRecordings, key, bareRecording{Recording: after})
	case after.Status == "" && before.Status != "":
		return t.del(bRecordings, key)
	case sameRecording(before, after):
		return nil
	}
	stored, err := sealJSON(key, bareRecording{Recording: after})
	if err != nil {
		return err
	}
	if memorable(stored) && recordingSurvives(after) {
		t.memos.recordings.remember(key, stored, after)
	}
	return t.put(bRecordings, key, stored)
}

// checkFiles refuses, before anything is written, what has no place in a key.
func checkFiles(r state.Recording) error {
	if err := checkKey(r.ID()); err != nil {
		return err
	}
	if r.Status != "" && statusCode(r.Status) == 0 {
		return fmt.Errorf("%s: unknown status %q", r.ID(), r.Status)
	}
	for _, f := range r.Files {
		if err := checkName("file ID", f.ID); err != nil {
			return fmt.Errorf("%s: %w", r.ID(), err)
		}
		if n := len(reservationKey(f.Dest, f.Key)); n > math.MaxInt16 {
			return fmt.Errorf("%s/%s: destination and key have %d bytes", r.ID(), f.ID, n)
		}
	}
	return nil
}

func (t *txn) saveFile(ref state.FileRef, before, after state.File) error {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	owner := fileKey(ref)
	stored, err := sealJSON(owner, after)
	if err != nil {
		return err
	}
	if memorable(stored) && fileSurvives(before, after) {
		t.memos.files.remember(owner, stored, after)
	}
	if err := t.put(bFiles, owner, stored); err != nil {
		return err
	}
	if before.Upload != nil && before.Upload.ID != "" && (after.Upload == nil || after.Upload.ID != before.Upload.ID) {
		if err := t.dropParts(ref); err != nil {
			return err
		}
	}
	if before.Key == after.Key && before.Dest == after.Dest {
		return nil
	}
	if before.Key != "" {
		if err := t.del(bKeys, reservationKey(before.Dest, before.Key)); err != nil {
			return err
		}
	}
	key := reservationKey(after.Dest, after.Key)
	return t.put(bKeys, key, seal(key, formatRaw, owner))
}

// env is what Apply may know: the time, who has reserved a key, and what is
// claimed.
func (t *txn) env(s *Store, failed *error) state.Env {
	return state.Env{At: s.now(), Claimed: s.claimed, KeyTaken: func(f state.FileRef, d state.Destination, key string) bool {
		k := reservationKey(d, key)
		v := t.get(bKeys, k)
		if v == nil {
			return false
		}
		owner, err := unseal(bKeys, k, v, formatRaw)
		if err != nil {
			*failed = err
			return true
		}
		return string(owner) != string(fileKey(f))
	}}
}

// change loads, decides, applies and saves: what Update promises.
func (s *Store) change(t *txn, k state.Key, decide state.Decide) (state.Recording, error) {
	before, err := t.load(k)
	if err != nil {
		return before, err
	}
	// The files are decide's own: what it does to them must not reach before,
	// from which the old index entries are told.
	seen := before
	seen.Files = slices.Clone(before.Files)
	changes, err := s.ask(decide, seen)
	if err != nil || len(changes) == 0 {
		return before, err
	}
	var failed error
	after, events, err := state.Apply(before, t.env(s, &failed), changes...)
	if err = cmp.Or(failed, err); err != nil {
		return before, err
	}
	return after, t.save(before, after, events)
}

// ask keeps a panic of the caller's code from being taken for damage, and from
// reaching the others of the group.
func (s *Store) ask(decide state.Decide, r state.Recording) (changes []state.Change, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decide on %s: panic: %v", r.ID(), p)
			s.log.Error("a decision panicked", zap.Error(err), zap.ByteString("stack", debug.Stack()))
		}
	}()
	return decide(r)
}

// Update implements state.Records.
func (s *Store) Update(ctx context.Context, k state.Key, decide state.Decide) (state.Recording, error) {
	if err := checkKey(k); err != nil {
		return state.Recording{}, err
	}
	var r state.Recording
	err := s.update(ctx, func(t *txn) (err error) { r, err = s.change(t, k, decide); return err })
	if err != nil {
		return state.Recording{}, err
	}
	return r, nil
}

// trackBatch is how many recordings Track writes in one transaction. Others
// that write wait for it.
const trackBatch = 2000

// Track implements state.Records. A key that cannot be stored is an error
// before anything is written. Many keys are taken in the order in which they
// lie in the file: each page is then written once, not once a transaction.
func (s *Store) Track(ctx context.Context, keys []state.Key) ([]bool, error) {
	for _, k := range keys {
		if err := checkKey(k); err != nil {
			return nil, fmt.Errorf("track %q: %w", k.String(), err)
		}
	}
	order := make([]int32, len(keys))
	for i := range order {
		order[i] = int32(i)
	}
	if len(keys) > trackBatch {
		slices.SortStableFunc(order, func(a, b int32) int { return compareKeys(keys[a], keys[b]) })
	}
	isNew := make([]bool, len(keys))
	seen := 0
	for batch := range slices.Chunk(order, trackBatch) {
		// Those that are there are most often all: writers need not wait for
		// them to be looked up.
		unknown, err := s.unknown(ctx, keys, batch)
		if e, ok := errors.AsType[*state.OpenError](err); ok && e.Kind == state.StateDamaged {
			unknown, err = batch, nil // a write finds out how bad it is
		}
		if err == nil && len(unknown) > 0 {
			err = s.update(ctx, func(t *txn) error { return s.track(t, keys, unknown, isNew) })
		}
		if err != nil {
			return isNew[:reported(order, seen)], err
		}
		seen += len(batch)
	}
	return isNew, nil
}

// unknown returns those of a batch, by their index in keys, that are not
// tracked.
func (s *Store) unknown(ctx context.Context, keys []state.Key, batch []int32) (out []int32, err error) {
	err = s.view(ctx, func(t *txn) error {
		for _, i := range batch {
			if t.get(bRecordings, recordingKey(keys[i])) == nil {
				out = append(out, i)
			}
		}
		return nil
	})
	return out, err
}

// track tracks those of a batch that are still not tracked, and says which
// they are.
func (s *Store) track(t *txn, keys []state.Key, batch []int32, isNew []bool) error {
	t.dense = len(keys) > trackBatch
	defer func() { t.dense = false }()
	for _, i := range batch {
		k := keys[i]
		if isNew[i] = t.get(bRecordings, recordingKey(k)) == nil; !isNew[i] {
			continue
		}
		before := state.Recording{Tenant: k.Tenant, RecordID: k.RecordID}
		after, events, err := state.Apply(before, state.Env{At: s.now()}, state.Track{})
		if err == nil {
			err = t.save(before, after, events)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compareKeys orders keys as they lie in the file.
func compareKeys(a, b state.Key) int {
	if c := compareStrings(a.Tenant, b.Tenant); c != 0 {
		return c
	}
	return compareStrings(a.RecordID, b.RecordID)
}

// compareStrings orders what appendString has written.
func compareStrings(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// reported is how many of the first keys are among the first n of order.
func reported(order []int32, n int) int {
	first := len(order)
	for _, i := range order[n:] {
		first = min(first, int(i))
	}
	return first
}

// Get implements state.Records.
func (s *Store) Get(ctx context.Context, k state.Key) (state.Recording, error) {
	if err := checkKey(k); err != nil {
		return state.Recording{}, fmt.Errorf("%w: %w", state.ErrNotFound, err)
	}
	var r state.Recording
	err := s.view(ctx, func(t *txn) (err error) { r, err = t.load(k); return err })
	switch {
	case err != nil:
		return state.Recording{}, err
	case r.Status == "":
		return state.Recording{}, fmt.Errorf("%s: %w", k, state.ErrNotFound)
	}
	return r, nil
}

func matches(r state.Recording, q state.Query) bool {
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, r.Status) {
		return false
	}
	if q.ConferenceKey != "" && r.ConferenceKey != q.ConferenceKey {
		return false
	}
	if q.Text == "" {
		return true
	}
	text := strings.ToLower(q.Text)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return has(r.RecordID) || has(r.ConferenceKey) ||
		slices.ContainsFunc(r.Files, func(f state.File) bool { return has(f.Filename) })
}
