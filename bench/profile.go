package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
)

// profiled is what the archiver is built with for a profile, in place of its
// call of os.Exit: the profiler is no part of the product.
const profiled = `package main

import (
	"os"
	"runtime/pprof"
)

var profile *os.File

func init() {
	var err error
	if profile, err = os.Create(os.Getenv("BENCH_PROFILE")); err == nil {
		err = pprof.StartCPUProfile(profile)
	}
	if err != nil {
		panic(err)
	}
}

func exitProfiled(code int) {
	pprof.StopCPUProfile()
	if err := profile.Close(); err != nil {
		panic(err)
	}
	os.Exit(code)
}
`

// buildProfiled builds our binary with the profiler laid over its sources.
func buildProfiled(ctx context.Context, dir string) (string, error) {
	command, err := filepath.Abs("cmd/archiver")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(command, "main.go"))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), "os.Exit("); n != 1 {
		return "", fmt.Errorf("build for a profile: %d calls of os.Exit in cmd/archiver/main.go, 1 was expected", n)
	}
	replaced := map[string]string{}
	for name, text := range map[string]string{
		"main.go":          strings.Replace(string(text), "os.Exit(", "exitProfiled(", 1),
		"bench_profile.go": profiled,
	} {
		to := filepath.Join(dir, name+".overlay")
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replaced[filepath.Join(command, name)] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "archiver-profiled")
	return binary, goBuild(ctx, ".", binary, "./cmd/archiver", "-overlay", path)
}

// profile runs our side of a row once more and writes two CPU profiles to dir:
// ours, and that of this process, which is source and store.
func (b bench) profile(ctx context.Context, r *row, dir string) (err error) {
	w, err := newWorld(ctx, r, b.dir, r.age)
	if err != nil {
		return err
	}
	defer w.close()
	path := filepath.Join(dir, r.name+".servers.pprof")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	_, err = b.once(ctx, r, w, -1)
	pprof.StopCPUProfile()
	say("go tool pprof -top %s; go tool pprof -top %s", filepath.Join(dir, r.name+".ours.pprof"), path)
	return err
}

// goBuild builds pkg, as seen from dir.
func goBuild(ctx context.Context, dir, binary, pkg string, flags ...string) error {
	args := append([]string{"build", "-C", dir, "-trimpath", "-o", binary}, flags...)
	build := exec.CommandContext(ctx, "go", append(args, pkg)...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}
