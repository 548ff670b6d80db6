package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// publish gives a finished file its name and makes that durable. What has the
// name already is left alone, and is an error.
func publish(temp, path string) error {
	taken := fmt.Errorf("%s: %w; it is left alone, choose another name", path, fs.ErrExist)
	err := os.Link(temp, path) // unlike a rename, it never replaces
	switch {
	case errors.Is(err, fs.ErrExist):
		return taken
	case err != nil: // a file system without links
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(taken, err)
		}
		if err := os.Rename(temp, path); err != nil {
			return err
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
