package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	anon      int64 // peak of RssAnon in bytes: a mapped state file is no heap
}

// command runs a process to its end and measures it. A failure is an error
// with what it printed.
func command(ctx context.Context, env []string, name string, args ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	done := make(chan struct{})
	var (
		wg   sync.WaitGroup
		peak int64
	)
	wg.Go(func() { peak = watch(cmd.Process.Pid, done) })
	err := cmd.Wait()
	u := usage{wall: time.Since(begin)}
	close(done)
	wg.Wait()
	if err != nil {
		said := out.Bytes()
		return u, fmt.Errorf("%s %s: %w: … %s", name, args[0], err, said[max(0, len(said)-1000):])
	}
	u.cpu, u.anon = cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), peak
	return u, nil
}

// watch samples RssAnon until done and returns the largest.
func watch(pid int, done <-chan struct{}) int64 {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	var peak int64
	for {
		peak = max(peak, rssAnon(pid))
		select {
		case <-done:
			return peak
		case <-t.C:
		}
	}
}

func rssAnon(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	field, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(field, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}
