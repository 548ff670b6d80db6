package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	name = "archiver.sock"
	// fresh is where a socket is made before it has its mode and its name.
	fresh = ".archiver.sock.new"
	// longest is how many bytes of path fit into a sockaddr_un, its NUL aside.
	longest = 107
)

// Path returns where the socket beside a state file lies.
func Path(statePath string) string {
	return filepath.Join(filepath.Dir(statePath), name)
}

// directory is an open directory, through which what lies in it has a short name.
type directory struct {
	path string
	file *os.File
}

func openDirectory(path string) (*directory, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &directory{path: path, file: f}, nil
}

// address returns a path to what lies in the directory that fits into a
// socket's address for as long as the directory is open.
func (d *directory) address(elem ...string) string {
	p := filepath.Join(append([]string{d.path}, elem...)...)
	if len(p) <= longest {
		return p
	}
	return filepath.Join(append([]string{fmt.Sprintf("/proc/self/fd/%d", d.file.Fd())}, elem...)...)
}

// lock waits until no other process is at work on the directory's socket.
// Closing the directory ends it.
func (d *directory) lock() error {
	for {
		err := syscall.Flock(int(d.file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func (d *directory) close() { _ = d.file.Close() } // nothing was written

// removeFresh removes what a process left that was killed in Listen.
func (d *directory) removeFresh() error {
	for _, p := range []string{filepath.Join(d.path, fresh, name), filepath.Join(d.path, fresh)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
