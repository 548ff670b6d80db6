package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"
)

// manager listens as a service manager does and returns what reads the next
// thing that it is told.
func manager(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// However long a stop takes, more time is asked for until all is closed; and
// nothing that ends meanwhile takes the stop back.
func TestStoppingExtends(t *testing.T) {
	next := manager(t)
	s := newSystemd(zaptest.NewLogger(t))
	s.every = time.Millisecond
	ctx, closed := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.stopping(ctx)
	}()
	if got := next(); !strings.HasPrefix(got, "STOPPING=1\nEXTEND_TIMEOUT_USEC=") {
		t.Errorf("told %q", got)
	}
	s.reloading()
	s.ready()
	for range 3 {
		if got := next(); !strings.HasPrefix(got, "EXTEND_TIMEOUT_USEC=") {
			t.Errorf("told %q", got)
		}
	}
	closed()
	<-done
}

// The buffers of the configuration before are still in use when a lower
// transfer.memory is taken over.
func TestHeapLimit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "") // so that it is put back
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	h := heapLimit{}
	var got []int64 // more than the first limit
	first := int64(0)
	for i, pool := range []int64{200 << 20, 100 << 20, 100 << 20, 300 << 20} {
		h.set(pool)
		if i == 0 {
			first = debug.SetMemoryLimit(-1)
		}
		got = append(got, debug.SetMemoryLimit(-1)-first)
	}
	if diff := cmp.Diff([]int64{0, 0, -100 << 20, 100 << 20}, got); diff != "" {
		t.Error(diff)
	}
}
