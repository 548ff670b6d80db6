package bolt

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"archiver/internal/state"
)

// Step is a step of a migration.
type Step = func(tx *bbolt.Tx, cursor []byte) ([]byte, error)

// OpenSchema opens as a version with other migrations would.
func OpenSchema(ctx context.Context, path string, o Options, version int, steps map[int]Step) (*Store, error) {
	return open(ctx, path, o, schema{version: version, steps: steps})
}

// Present is the schema of this version.
func Present() int { return present().version }

// ToSchema2 is the step to schema 2, so many files at a time.
func ToSchema2(batch int) Step { return toSchema2(batch) }

// Downgrade takes from a state what schema 2 has added.
func Downgrade(tx *bbolt.Tx) error {
	for _, name := range []string{bConferences, bConferencesOpen, bEventsOfConference, bPending} {
		if err := tx.DeleteBucket([]byte(name)); err != nil {
			return err
		}
	}
	return WriteSchema(tx, 1)
}

// Unplug makes every later write fail.
func (s *Store) Unplug() error { return s.file.Close() }

// Steps counts lookups and moves of cursors.
func (s *Store) Steps() int64 { return s.steps.Load() }

// WriteSchema makes a state look as if another version had written it.
func WriteSchema(tx *bbolt.Tx, version int) error {
	return writeHeader(tx, header{App: application, Schema: version})
}

// Seal is how a value is stored.
func Seal(key, payload []byte) []byte { return seal(key, formatRaw, payload) }

// Reseal gives a changed JSON value its right checksum.
func Reseal(key, payload []byte) []byte { return seal(key, formatJSON, payload) }

// Payload is a stored value without its seal.
func Payload(v []byte) []byte { return v[sealSize:] }

// IndexEntry is how an index entry is stored.
func IndexEntry(key []byte) []byte { return seal(key, formatIndex, nil) }

// Gather is how many calls are taken together when so many wait.
func Gather(waiting, expected int, until time.Time) int {
	s := &Store{calls: make(chan *call, waiting)}
	for range waiting {
		s.calls <- &call{}
	}
	return len(s.gather(<-s.calls, expected, until))
}

// Expected is how many calls are waited for behind commits of so many, each of
// which followed soon or not.
func Expected(soon bool, sizes ...int) int {
	var c crowd
	for _, n := range sizes {
		c.saw(n, soon)
	}
	return c.most()
}

// MemoSize is how many recordings are remembered at most.
const MemoSize = memoSize

// Remembered is how many are.
func (s *Store) Remembered() int { return len(s.memos.recordings.known) }

// FileSurvives and RecordingSurvives say whether writing and reading is
// certain to change nothing.
func FileSurvives(old, f state.File) bool { return fileSurvives(old, f) }

func RecordingSurvives(r state.Recording) bool { return recordingSurvives(r) }
