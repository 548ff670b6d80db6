package bolt

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"

	"archiver/internal/state"
)

// pendingBatch is how many files a step towards schema 2 looks at.
const pendingBatch = 5000

// toSchema2 returns the step from schema 1, so many files at a time.
func toSchema2(batch int) func(*bbolt.Tx, []byte) ([]byte, error) {
	return func(tx *bbolt.Tx, cursor []byte) ([]byte, error) { return rankFiles(tx, cursor, batch) }
}

// rankFiles adds the sessions of record and live with what is derived from
// them, and the index of files by urgency alone, which it fills. Schema 1 has
// none of these, nor events that are about no recording or about one that is
// gone: its check would take those for damage.
func rankFiles(tx *bbolt.Tx, cursor []byte, batch int) (next []byte, err error) {
	for _, name := range []string{bConferences, bConferencesOpen, bEventsOfConference, bPending} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return nil, err
		}
	}
	files := tx.Bucket([]byte(bFiles))
	if files == nil {
		return nil, errors.New("there is no bucket of files")
	}
	c := files.Cursor()
	k, v := c.Seek(cursor)
	for n := 0; k != nil; k, v = c.Next() {
		if n++; n > batch {
			return bytes.Clone(k), nil
		}
		var f state.File
		if err := unsealJSON(bFiles, k, v, &f); err != nil {
			return nil, err
		}
		key, _, ok := parseRecordingKey(k)
		if !ok {
			return nil, &damage{bFiles, bytes.Clone(k), "the key is no file"}
		}
		if !pending(f) {
			continue
		}
		rank := rankOf(state.FileRef{Key: key, FileID: f.ID}, f)
		if err := tx.Bucket([]byte(bPending)).Put([]byte(rank), seal([]byte(rank), formatIndex, nil)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
