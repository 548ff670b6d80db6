package socket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// mode lets the service's user and group in.
const mode = 0o660

// StateHeader is the header in which whoever serves the socket names its state
// file (its last path element).
const StateHeader = "Archiver-State"

// answerTimeout is how long a live daemon may take to name its state.
const answerTimeout = 2 * time.Second

// Listen makes archiver.sock beside the state file, mode 0660. A stale socket is
// replaced; one that somebody answers on, and anything that is no socket, is
// an error and stays. Closing the listener removes the socket.
func Listen(statePath string) (net.Listener, error) {
	path := Path(statePath)
	d, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; the directory of the state must be there and readable", path, err)
	}
	defer d.close()
	if err := d.lock(); err != nil {
		return nil, fmt.Errorf("listen on %s: lock its directory: %w", path, err)
	}
	if err := d.clear(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := d.make(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; the service needs the right to write to that directory", path, err)
	}
	return l, nil
}

// clear removes a stale socket.
func (d *directory) clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something that is no socket; move it away")
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", d.address(name))
	if err == nil {
		defer func() { _ = conn.Close() }() // it was only asked something
		return fmt.Errorf("another archiver (state %s) serves there; give each state a directory of its own", stateOf(ctx, conn))
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find out whether another archiver serves there: %w; stop it, or remove the socket", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale socket: %w", err)
	}
	return nil
}

// stateOf asks whoever serves a connection for the name of its state.
func stateOf(ctx context.Context, conn net.Conn) string {
	const unknown = "not told"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://archiver/healthz", http.NoBody)
	if err != nil {
		return unknown
	}
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) != nil {
		return unknown
	}
	if err := req.Write(conn); err != nil {
		return unknown
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return unknown
	}
	defer resp.Body.Close()
	if s := resp.Header.Get(StateHeader); s != "" {
		return s
	}
	return unknown
}

// make binds where nobody else can enter, and renames.
func (d *directory) make(path string) (net.Listener, error) {
	if err := d.removeFresh(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(d.path, fresh), 0o700); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.address(fresh, name), Net: "unix"})
	if err != nil {
		return nil, errors.Join(err, d.removeFresh())
	}
	l.SetUnlinkOnClose(false)
	info, err := d.publish(path)
	if err != nil {
		return nil, errors.Join(err, l.Close(), d.removeFresh())
	}
	return &listener{UnixListener: l, path: path, info: info}, nil
}

func (d *directory) publish(path string) (os.FileInfo, error) {
	made := filepath.Join(d.path, fresh, name)
	if err := os.Chmod(made, mode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(made)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(made, path); err != nil {
		return nil, err
	}
	return info, d.removeFresh()
}

// listener removes its socket when it is closed.
type listener struct {
	*net.UnixListener
	path string
	info os.FileInfo
	once sync.Once
	err  error
}

// Addr names the socket as others see it.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening and removes the socket, unless it is another one by now.
func (l *listener) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.remove(), l.UnixListener.Close()) })
	return l.err
}

func (l *listener) remove() error {
	d, err := openDirectory(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.lock(); err != nil {
		return err
	}
	info, err := os.Lstat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !os.SameFile(info, l.info) {
		return nil
	}
	return os.Remove(l.path)
}
