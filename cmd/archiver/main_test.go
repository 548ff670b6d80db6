package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"archiver/internal/sandbox/s3server"
)

// store is the S3 server of this test process, and scripts where the scripts
// are: the server changes the working directory. Every script has a bucket of
// its own.
var (
	store   *s3server.Server
	scripts string
)

// process is the test binary as go test runs it; as "archiver" it is the
// command itself.
type process struct{ m *testing.M }

func (p process) Run() int {
	dir, err := os.MkdirTemp("", "archiver-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if scripts, err = filepath.Abs(filepath.Join("testdata", "script")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	store, err = s3server.Start(context.Background(), s3server.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = store.Close() }()
	return p.m.Run()
}

func TestMain(m *testing.M) {
	testscript.Main(process{m}, map[string]func(){"archiver": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 scripts,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "", // writes the golden files anew
		Setup: func(e *testscript.Env) error {
			e.Values[worldKey{}] = &world{processes: map[string]*child{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"world": cmdWorld, "recording": cmdRecording, "fault": cmdFault, "calls": cmdCalls, "reached": cmdReached,
			"stored": cmdStored, "sound": cmdSound, "exits": cmdExits, "normal": cmdNormal,
			"conference": cmdConference, "spoil": cmdSpoil, "mode": cmdMode, "sized": cmdSized, "files": cmdFiles, "again": cmdAgain, "sed": cmdSed, "manager": cmdManager, "told": cmdTold,
			"begin": cmdBegin, "awaits": cmdAwaits, "signals": cmdSignals, "ends": cmdEnds,
		},
	})
}
