package socket_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"archiver/internal/socket"
)

func newContext() context.Context { return context.Background() }

// TestNeverWider looks at the socket from before it is there: it has its mode
// from the first instant on.
func TestNeverWider(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	seen, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(seen)
		for {
			info, err := os.Lstat(socket.Path(path))
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				t.Error(err)
				return
			case info.Mode() != fs.ModeSocket|0o660:
				t.Errorf("seen with %v", info.Mode())
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 50 {
		l, err := socket.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-seen
}
