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
	"syscall"
	"time"
)

// usage is what one run of one side took.
type usage struct {
	wall, cpu  time.Duration // cpu with that of children that have ended
	anon, file int64         // peaks of RssAnon and RssFile in bytes: a mapped state file is no heap
	servers    time.Duration // CPU of this process meanwhile: source, store and the watching
}

// process is one that is being measured.
type process struct {
	cmd     *exec.Cmd
	out     bytes.Buffer
	begun   time.Time
	servers time.Duration
	done    chan struct{}
	watcher sync.WaitGroup
	peak    usage // anon and file alone; of the watcher until it has ended
}

// begin starts a process and watches its memory.
func begin(ctx context.Context, env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.servers, p.begun = ownCPU(), time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.watcher.Go(p.watch)
	return p, nil
}

// watch samples the process's memory every 5 ms.
func (p *process) watch() {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		anon, file := resident(p.cmd.Process.Pid)
		p.peak.anon, p.peak.file = max(p.peak.anon, anon), max(p.peak.file, file)
		select {
		case <-p.done:
			return
		case <-t.C:
		}
	}
}

// end waits for the process and returns what it took from its start on. A
// failure is an error with the last of what it printed.
func (p *process) end() (usage, error) {
	err := p.cmd.Wait()
	wall := time.Since(p.begun)
	close(p.done)
	p.watcher.Wait()
	u := p.peak
	u.wall, u.servers = wall, ownCPU()-p.servers
	u.cpu = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	if err != nil {
		said := p.out.Bytes()
		return u, fmt.Errorf("%s: %w: … %s", strings.Join(p.cmd.Args[:min(2, len(p.cmd.Args))], " "), err, said[max(0, len(said)-1000):])
	}
	return u, nil
}

// cpu is what the process has taken so far, to 10 ms.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// Behind the command's name in parentheses: state is field 3, and utime,
	// stime, cutime, cstime are 14 to 17 (proc_pid_stat(5)), in 1/100 s.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const utime = 14 - 3
	if len(fields) < utime+4 {
		return 0, fmt.Errorf("read CPU time of %s: %d fields", p.cmd.Path, len(fields))
	}
	var ticks int64
	for _, f := range fields[utime : utime+4] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// command runs a process to its end and measures it.
func command(ctx context.Context, env []string, name string, args ...string) (usage, error) {
	p, err := begin(ctx, env, name, args...)
	if err != nil {
		return usage{}, err
	}
	return p.end()
}

// resident reads RssAnon and RssFile, in bytes; zero of a process that is gone.
func resident(pid int) (anon, file int64) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0
	}
	of := func(name string) int64 {
		_, rest, _ := strings.Cut(string(b), name)
		field, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return of("RssAnon:"), of("RssFile:")
}

// ownCPU is what this process has taken so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
