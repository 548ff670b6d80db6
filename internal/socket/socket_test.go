package socket_test

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"archiver/internal/socket"
)

// childEnv makes the test binary dial as somebody else.
const childEnv = "ARCHIVER_SOCKET_TEST_DIAL"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(dialAs(path)) //nolint:forbidigo // a process of its own
	}
	goleak.VerifyTestMain(m)
}

const nobody = 65534

// dialAs says what somebody without rights learns: 0 permission, 1 nobody, 2
// anything else.
func dialAs(path string) int {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return 3
		}
	}
	_, err := socket.Dial(newContext(), path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return 0
	case errors.Is(err, socket.ErrNobody):
		return 1
	}
	return 2
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// answers fails unless who listens is reached.
func answers(t *testing.T, path string, l net.Listener) {
	t.Helper()
	conn, err := socket.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := accepted.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenAndClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	l := listen(t, path)
	answers(t, path, l)
	info, err := os.Lstat(socket.Path(path))
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if l.Addr().String() != filepath.Join(dir, "archiver.sock") {
		t.Errorf("Addr %s", l.Addr())
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if _, err := socket.Dial(t.Context(), path); !errors.Is(err, socket.ErrNobody) {
		t.Errorf("after it was closed: %v", err)
	}
}

func TestDialNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "state.db"), filepath.Join(dir, "no", "such", "state.db"), filepath.Join(dir, strings.Repeat("x", 200), "state.db")} {
		if _, err := socket.Dial(t.Context(), path); !errors.Is(err, socket.ErrNobody) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// stale leaves a socket as a killed process does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	stale(t, socket.Path(path))
	if _, err := socket.Dial(t.Context(), path); !errors.Is(err, socket.ErrNobody) {
		t.Errorf("a stale socket: %v", err)
	}
	// One that was killed in Listen leaves this, too.
	fresh := filepath.Join(filepath.Dir(path), ".archiver.sock.new")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	stale(t, filepath.Join(fresh, "archiver.sock"))
	answers(t, path, listen(t, path))
	if _, err := os.Lstat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", fresh, err)
	}
}

func TestLiveSocketIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := listen(t, filepath.Join(dir, "one.db"))
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(socket.StateHeader, "one.db")
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	_, err := socket.Listen(filepath.Join(dir, "two.db"))
	if err == nil || !strings.Contains(err.Error(), "one.db") || !strings.Contains(err.Error(), socket.Path(filepath.Join(dir, "two.db"))) {
		t.Errorf("%v", err)
	}
	if conn, err := socket.Dial(t.Context(), filepath.Join(dir, "one.db")); err != nil {
		t.Errorf("the first one is gone: %v", err)
	} else if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func TestWhatIsNoSocketStays(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"file":      func(path string) error { return os.WriteFile(path, []byte("kept"), 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("nowhere", path) },
	} {
		path := filepath.Join(t.TempDir(), "state.db")
		if err := put(socket.Path(path)); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(socket.Path(path))
		if err != nil {
			t.Fatal(err)
		}
		if l, err := socket.Listen(path); err == nil {
			t.Errorf("a %s was replaced", name)
			_ = l.Close()
		}
		if after, err := os.Lstat(socket.Path(path)); err != nil || !os.SameFile(before, after) {
			t.Errorf("the %s is gone: %v", name, err)
		}
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for n := 100; n <= 110; n++ { // of the socket's path, about the 107 bytes that fit
		dir := filepath.Join(base, strings.Repeat("d", n-len(base)-len("//archiver.sock")))
		long(t, dir, n)
	}
	dir := filepath.Join(base, strings.Repeat("x", 200), strings.Repeat("y", 200))
	long(t, dir, len(dir)+len("/archiver.sock"))
}

func long(t *testing.T, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	if len(socket.Path(path)) != n {
		t.Fatalf("%d bytes, want %d", len(socket.Path(path)), n)
	}
	l := listen(t, path)
	answers(t, path, l)
	hangUp(l)
	if _, err := socket.Listen(path); err == nil {
		t.Errorf("%d bytes: a live socket was replaced", n)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%d bytes: left %v %v", n, left, err)
	}
}

// TestPermission: who may not is told so, and does not hear that nobody serves,
// upon which a command would open the state itself.
func TestPermission(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "socket") //nolint:usetesting // t.TempDir lies where only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	exe := filepath.Join(dir, "dial")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	dial := func() int {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		_ = cmd.Run() // its code is the answer
		return cmd.ProcessState.ExitCode()
	}
	if code := dial(); code != 1 {
		t.Errorf("without a socket: %d, want 1 (nobody)", code)
	}
	l := listen(t, path)
	if os.Getuid() != 0 { // who cannot play another user may shut himself out
		if err := os.Chmod(filepath.Join(dir, "archiver.sock"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if code := dial(); code != 0 {
		t.Errorf("with a socket: %d, want 0 (permission)", code)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestTwoAtOnce: one gets it, the others hear that there is one.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		dir := t.TempDir()
		stale(t, filepath.Join(dir, "archiver.sock"))
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			won []net.Listener
		)
		for _, name := range []string{"a.db", "b.db", "c.db"} {
			wg.Go(func() {
				l, err := socket.Listen(filepath.Join(dir, name))
				if err != nil {
					if !strings.Contains(err.Error(), "another archiver") {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
				hangUp(l)
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d listen", len(won))
		}
		if err := won[0].Close(); err != nil {
			t.Error(err)
		}
	}
}

// hangUp answers the calls of those who look whether it lives.
func hangUp(l net.Listener) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
}

// TestCloseLeavesAnother: a socket that somebody else has put there stays.
func TestCloseLeavesAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	l := listen(t, path)
	if err := os.Remove(socket.Path(path)); err != nil {
		t.Fatal(err)
	}
	other := listen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	answers(t, path, other)
}
