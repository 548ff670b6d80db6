package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
)

// ErrNobody says that no archiver serves beside that state file: there is no
// socket, or it is what a killed one left.
var ErrNobody = errors.New("nobody serves")

// Dial connects to the archiver that holds the state file. The error wraps
// ErrNobody where there is none, and fs.ErrPermission where we may not.
func Dial(ctx context.Context, statePath string) (net.Conn, error) {
	path := Path(statePath)
	conn, err := dial(ctx, path)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("connect to %s: %w", path, ErrNobody)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("connect to %s: %w; join the group that owns the socket, or run this as the service's user", path, fs.ErrPermission)
	default:
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	if len(path) <= longest {
		// No right to list the directory is needed here.
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	d, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer d.close()
	return (&net.Dialer{}).DialContext(ctx, "unix", d.address(name))
}
