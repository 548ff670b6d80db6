package daemon_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"archiver/internal/config"
	"archiver/internal/daemon"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// keys are what a test puts into the configuration file of its world, by path:
// "poll.settle": "1h". nil takes a key out.
type keys map[string]any

// load writes the world's configuration with these keys, and loads it as the
// command does.
func (w *world) load(set keys) *config.Config {
	w.t.Helper()
	path := w.configFile()
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	file := map[string]any{}
	if err := yaml.Unmarshal(text, &file); err != nil {
		w.t.Fatal(err)
	}
	put(file, []string{"http", "listen"}, "") // many worlds run at once
	for key, v := range set {
		put(file, strings.Split(key, "."), v)
	}
	if text, err = yaml.Marshal(file); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

func put(section map[string]any, path []string, v any) {
	if len(path) > 1 {
		below, ok := section[path[0]].(map[string]any)
		if !ok {
			below = map[string]any{}
			section[path[0]] = below
		}
		put(below, path[1:], v)
		return
	}
	if v == nil {
		delete(section, path[0])
		return
	}
	section[path[0]] = v
}

// with opens the daemon on this world with these keys.
func (w *world) with(set keys) *daemon.Daemon {
	w.t.Helper()
	log := zaptest.NewLogger(w.t, zaptest.Level(zapcore.InfoLevel))
	if w.extra.sink != nil {
		log = zap.New(zapcore.NewTee(log.Core(), w.extra.sink))
	}
	d, err := daemon.Open(w.t.Context(), w.load(set), daemon.Options{
		Logger: log, Clock: w.now, Backoff: 20 * time.Millisecond, Tick: 20 * time.Millisecond, Listen: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = d.Close() })
	return d
}

// runs lets the daemon work until stop, or the end of the test.
func (w *world) runs(d *daemon.Daemon) (stop func()) {
	w.t.Helper()
	ctx, cut := context.WithCancel(context.WithoutCancel(w.t.Context()))
	take, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Run(take, ctx); err != nil && ctx.Err() == nil {
			w.t.Errorf("run: %v", err)
		}
	})
	stop = func() {
		end()
		wg.Wait()
	}
	w.t.Cleanup(func() {
		cut()
		stop() // before the daemon is closed, however the test ends
	})
	return stop
}

// becomes waits until a recording has a status.
func (w *world) becomes(d *daemon.Daemon, id string, s state.Status) {
	w.t.Helper()
	until(w.t, id+" "+string(s), func() bool {
		r, err := d.Store().Get(w.t.Context(), key(id))
		return err == nil && r.Status == s
	})
}

// rounds waits for n more polls of a recording: what does not happen meanwhile
// is held up by something.
func (w *world) rounds(id string, n int) {
	w.t.Helper()
	before := w.asked(id)
	until(w.t, "more polls of "+id, func() bool { return w.asked(id) >= before+n })
}

// asked counts the polls of a recording.
func (w *world) asked(id string) int {
	n := 0
	for _, c := range w.vendor.CallsOf("getRecords") {
		if c.RecordID == id {
			n++
		}
	}
	return n
}

// hold keeps calls of the vendor waiting until release.
func (w *world) hold(call string) (release func()) {
	open := make(chan struct{})
	release = sync.OnceFunc(func() { close(open) })
	w.t.Cleanup(release)
	w.vendor.Inject(vendorsim.Fault{Call: call, Do: vendorsim.Hold{Until: open}})
	return release
}

// file writes a file beside the configuration and returns its path.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := w.dir + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// settled is a test in a world of its own with one small recording, "one".
func settled(t *testing.T, o worldOptions) *world {
	t.Helper()
	t.Parallel()
	w := newWorld(t, o)
	w.recording("one", 1000)
	return w
}
