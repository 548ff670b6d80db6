package poller

import (
	"errors"
	"fmt"
	"os"
)

// FindID returns in which line of a record_ids_file a recordId stands, from 1;
// 0 if it doesn't. Errors are the file's.
func FindID(path, recordID string) (line int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("look for %s in record_ids_file: %w", recordID, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	ignore := func(int, string) {}
	found := errors.New("found")
	err = readIDs(f, ignore, func(n int, id string) error {
		if id == recordID {
			line = n
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		err = nil
	}
	return line, err
}
