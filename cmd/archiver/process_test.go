package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// child is a process that a script began.
type child struct {
	cmd            *exec.Cmd
	stdout, stderr watched
	ended          bool
}

// watched collects output and tells when there is more.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.more != nil {
		close(w.more)
		w.more = nil
	}
	return w.text.Write(p)
}

func (w *watched) look() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.more == nil {
		w.more = make(chan struct{})
	}
	return w.text.String(), w.more
}

// cmdBegin starts a process that goes on beside the script:
//
//	begin NAME COMMAND ARG…
func cmdBegin(ts *testscript.TestScript, _ bool, args []string) {
	c := &child{cmd: exec.Command(args[1], args[2:]...)}
	c.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "ARCHIVER_CONFIG", "NOTIFY_SOCKET", "WATCHDOG_USEC"} {
		c.cmd.Env = append(c.cmd.Env, name+"="+ts.Getenv(name))
	}
	c.cmd.Stdout, c.cmd.Stderr = io.Writer(&c.stdout), io.Writer(&c.stderr)
	ts.Check(c.cmd.Start())
	worldOf(ts).processes[args[0]] = c
	ts.Defer(func() {
		if !c.ended {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
}

func begun(ts *testscript.TestScript, name string) *child {
	c := worldOf(ts).processes[name]
	if c == nil {
		ts.Fatalf("no process %s was begun", name)
	}
	return c
}

// cmdAwaits waits until a process has written what matches to standard error:
//
//	awaits NAME REGEXP
func cmdAwaits(ts *testscript.TestScript, _ bool, args []string) {
	c, want := begun(ts, args[0]), regexp.MustCompile(args[1])
	late := time.After(patience)
	for {
		text, more := c.stderr.look()
		if want.MatchString(text) {
			return
		}
		select {
		case <-more:
		case <-late:
			ts.Fatalf("%s never wrote %s, but:\n%s", args[0], args[1], text)
		}
	}
}

// cmdSignals sends a signal:
//
//	signals NAME INT|TERM|HUP|KILL
func cmdSignals(ts *testscript.TestScript, _ bool, args []string) {
	sig := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}[args[1]]
	ts.Check(begun(ts, args[0]).cmd.Process.Signal(sig))
}

// cmdEnds waits for a process to end, checks its exit code, and leaves what it
// wrote in NAME.out and NAME.err:
//
//	ends NAME CODE
func cmdEnds(ts *testscript.TestScript, _ bool, args []string) {
	c := begun(ts, args[0])
	overdue := time.AfterFunc(patience, func() { _ = c.cmd.Process.Signal(syscall.SIGQUIT) })
	err := c.cmd.Wait()
	overdue.Stop()
	c.ended = true
	stdout, _ := c.stdout.look()
	stderr, _ := c.stderr.look()
	ts.Logf("%s\n%s", stdout, stderr)
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("."), args[0]+".out"), []byte(stdout), 0o600))
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("."), args[0]+".err"), []byte(stderr), 0o600))
	checkCode(ts, err, args[1])
}
