package main

import (
	"net"
	"path/filepath"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdManager begins to listen as a service manager does: what processes tell it
// is collected for "told".
func cmdManager(ts *testscript.TestScript, _ bool, _ []string) {
	path := filepath.Join(ts.MkAbs("."), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	ts.Defer(func() { _ = conn.Close() })
	ts.Setenv("NOTIFY_SOCKET", path)
	w := worldOf(ts)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return // the script has ended
			}
			_, _ = w.told.Write(append(b[:n:n], '\n'))
		}
	}()
}

// cmdTold waits until the service manager was told what matches, after what
// matched before:
//
//	told REGEXP
func cmdTold(ts *testscript.TestScript, _ bool, args []string) {
	w, want := worldOf(ts), regexp.MustCompile(args[0])
	late := time.After(patience)
	for {
		text, more := w.told.look()
		if m := want.FindStringIndex(text[w.heard:]); m != nil {
			w.heard += m[1]
			return
		}
		select {
		case <-more:
		case <-late:
			ts.Fatalf("never told %s, but:\n%s", args[0], text[w.heard:])
		}
	}
}
