package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit, and what it was built with",
		Args:  cobra.NoArgs,
		RunE: c.act(func(context.Context, []string) error {
			_, err := fmt.Fprintln(c.stdout, buildVersion())
			return err
		}),
	}
}

// build is what is known of this binary.
type build struct {
	version, commit string
}

// String renders "archiver VERSION (COMMIT) GO OS/ARCH".
func (b build) String() string {
	return fmt.Sprintf("archiver %s (commit %s) %s %s/%s", b.version, b.commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func buildVersion() build {
	info, _ := debug.ReadBuildInfo()
	return versionOf(version, info)
}

// versionOf puts together what the linker and the toolchain said; info may be
// nil.
func versionOf(linked string, info *debug.BuildInfo) build {
	b := build{version: linked, commit: "unknown"}
	if info != nil {
		if b.version == "" {
			b.version = info.Main.Version
		}
		modified := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && s.Value != "":
				b.commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
		b.commit += modified
	}
	if b.version == "" || b.version == "(devel)" {
		b.version = "devel"
	}
	return b
}

// userAgent is how the archiver introduces itself to the vendor.
func userAgent() string { return "archiver/" + buildVersion().version }
