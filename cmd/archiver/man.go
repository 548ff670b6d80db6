//go:build man

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"
)

// With the build tag man this program is another one: it writes the manual page
// of every command into a directory and ends, so that the archiver itself does
// not carry what only packaging needs.
//
//	SOURCE_DATE_EPOCH=1700000000 go run -tags man ./cmd/archiver DIR
func init() {
	if err := writeManual(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed) //nolint:forbidigo // main is never reached
	}
	os.Exit(exitFine) //nolint:forbidigo // main is never reached
}

// writeManual writes into the directory that the only argument names. The date
// on the pages is SOURCE_DATE_EPOCH, else today.
func writeManual(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("write manual pages: name one directory that is there")
	}
	// no environment: its $ARCHIVER_CONFIG would become the pages' default
	c := &cli{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: func(string) (string, bool) { return "", false }}
	root := c.root()
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "archiver", Manual: "Archiver of meeting recordings"}
	if err := doc.GenManTree(root, header, args[0]); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	return nil
}
