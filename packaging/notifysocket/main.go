// Command notifysocket is the other end of sd_notify for as-unit.sh: it listens
// where NOTIFY_SOCKET points and prints each line that a service sends (READY=1,
// STATUS=…, WATCHDOG=1, RELOADING=1, STOPPING=1) with the time it came.
//
//	notifysocket PATH
//
// It ends when it is killed.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	fmt.Fprintln(os.Stderr, "notifysocket:", listen(os.Args[1:]))
	os.Exit(1) //nolint:forbidigo // the one place where the exit code leaves
}

// listen returns why it can't, or can't any longer.
func listen(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("got %d arguments; name the one socket to listen on", len(args))
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: args[0]})
	if err != nil {
		return err
	}
	// systemd's own is open to everybody, too, and believes by process id
	if err := os.Chmod(args[0], 0o666); err != nil {
		return err
	}
	datagram := make([]byte, 64<<10)
	for {
		n, err := conn.Read(datagram)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(datagram[:n])) {
			fmt.Printf("%s notify %s\n", time.Now().UTC().Format("15:04:05.000"), strings.TrimSpace(line))
		}
	}
}
