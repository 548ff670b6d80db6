package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/sandbox/vendorsim"
)

// builtArchiver builds the archiver and returns where it is.
func builtArchiver(ctx context.Context, s scale) (string, error) {
	binary := filepath.Join(s.dir, "archiver")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/archiver").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the archiver: %w: %s", err, out)
	}
	return binary, nil
}

// handed gives a list of n ids to `backfill --from`, in a process of its own
// and beside a daemon. The vendor has none of them; at the default api_rate it
// is hardly asked, so it is tracking and following that is measured. It builds
// the archiver.
func handed(ctx context.Context, s scale) (out []figure, err error) {
	binary, err := builtArchiver(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := writeIDs(s.ids(), s.n); err != nil {
		return nil, err
	}
	v := vendorsim.New(vendorsim.Options{Tenants: map[string]string{tenant: "key"}})
	if err := v.Start(""); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	for _, beside := range []bool{false, true} {
		w := handing{s: s, binary: binary, dir: filepath.Join(s.dir, fmt.Sprint("handed-", beside))}
		figures, err := w.measure(ctx, v.APIURL(), beside)
		if err != nil {
			return nil, fmt.Errorf("beside a daemon: %t: %w", beside, err)
		}
		out = append(out, figures...)
	}
	return out, nil
}

// handing is one backfill of a list.
type handing struct {
	s           scale
	binary, dir string
}

// process is an archiver, whose memory is looked at.
type process struct {
	cmd  *exec.Cmd
	peak atomic.Int64 // RssAnon, bytes
	done chan struct{}
	err  error
	last apitype.Progress // told by a backfill, once done
}

func (w handing) start(ctx context.Context, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, w.binary, append(args, "--config", filepath.Join(w.dir, "archiver.yaml"))...), done: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	go p.watch()
	go func() {
		defer close(p.done)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			var l apitype.BackfillLine
			if json.Unmarshal(in.Bytes(), &l) == nil && l.Progress != nil {
				p.last = *l.Progress
			}
		}
		_, _ = io.Copy(io.Discard, stdout) // a summary may be longer than a line is for Scanner
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// watch keeps the largest RssAnon.
func (p *process) watch() {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
		}
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)); err == nil {
			p.peak.Store(max(p.peak.Load(), number(string(b), "RssAnon:")<<10))
		}
	}
}

// stop interrupts and waits. A backfill that was interrupted exits with 1.
func (p *process) stop() error {
	err := p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok && exit.ExitCode() == 1 {
		return err
	}
	return errors.Join(err, p.err)
}

// settled is how long a list is followed once all of it is tracked.
const settled = 30 * time.Second

func (w handing) measure(ctx context.Context, api string, beside bool) (out []figure, err error) {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`tenants:
  %s: {api_url: %q, auth: key, allow_loopback: true}
storage: {endpoint: "http://127.0.0.1:9", bucket: recordings, path_style: true, access_key_id: bench, secret_access_key: benchbench}
state: {path: %q}
log: {level: error}
`, tenant, api, filepath.Join(w.dir, "state.db"))
	if err := os.WriteFile(filepath.Join(w.dir, "archiver.yaml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	what, works := "backfill --from, alone", (*process)(nil)
	if beside {
		what = "backfill --from, beside a daemon"
		if works, err = w.start(ctx, "run"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, works.stop()) }()
		if err := w.until(ctx, works, func(apitype.Stats) bool { return true }); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	asks, err := w.start(ctx, "backfill", "--json", "--from", w.s.ids())
	if err != nil {
		return nil, err
	}
	if works == nil {
		works = asks
	}
	err = w.until(ctx, asks, func(st apitype.Stats) bool {
		return len(st.Tenants) == 1 && st.Tenants[0].Recordings["waiting"] >= w.s.n
	})
	tracked, peak := time.Since(begun), works.peak.Load()
	if err != nil {
		return nil, errors.Join(err, asks.stop())
	}
	select {
	case <-time.After(settled):
	case <-ctx.Done():
	}
	before := processorOf(works)
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	busy := processorOf(works) - before
	err = asks.stop()
	out = append(out,
		figure{what + ": until all are tracked", show(tracked), fmt.Sprintf("%.0f MiB (peak RssAnon of the process that archives)", mib(peak))},
		figure{what + ": followed", fmt.Sprintf("%.0f %% of a core", 10*busy.Seconds()), fmt.Sprintf("peak with the summary %.0f MiB; %d of %d known to wait", mib(works.peak.Load()), asks.last.Waiting, asks.last.Recordings)})
	if works != asks {
		out = append(out, figure{what + ": the command", fmt.Sprintf("%.0f MiB", mib(asks.peak.Load())), "peak RssAnon"})
	}
	return out, err
}

// until asks the archiver for its totals until they are right.
func (w handing) until(ctx context.Context, p *process, right func(apitype.Stats) bool) error {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(w.dir, "archiver.sock"))
	}}}
	defer client.CloseIdleConnections()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/stats", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			var stats apitype.Stats
			err = json.NewDecoder(resp.Body).Decode(&stats)
			if errors.Join(err, resp.Body.Close()) == nil && right(stats) {
				return nil
			}
		}
		select {
		case <-t.C:
		case <-p.done:
			return fmt.Errorf("the archiver ended: %w", p.err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// processorOf is what a process has had, from /proc; 0 where there is none.
func processorOf(p *process) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	return ticks(string(b))
}
