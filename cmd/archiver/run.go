package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
)

func (c *cli) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the archiver until it is told to stop",
		Long: `Polls the vendor for the tracked recordings and archives them, and serves the
other commands, the API and the metrics.

SIGTERM or SIGINT: no more work is taken, parts in flight may finish within
shutdown_grace, and the exit code is 0. A second signal cuts them; nothing is
lost, they are fetched again at the next start. SIGHUP: the configuration is
read again; a wrong one is reported and the old one kept.`,
		Args: cobra.NoArgs,
		RunE: c.act(c.run),
	}
}

func (c *cli) run(ctx context.Context, _ []string) error {
	if c.tenant != "" {
		return usage("--tenant %s: the daemon serves every tenant of the configuration; leave it out", c.tenant)
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	logs, err := newLogger(cfg.Log, c.stderr, isTerminal(c.stderr))
	if err != nil {
		return err
	}
	defer logs.done()
	warn(logs.Logger, cfg)
	take, work, end := stoppable(ctx)
	defer end()
	hangups := make(chan os.Signal, 1) // one that waits is enough: it reads what is there then
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	return c.serve(take, work, hangups, cfg, logs)
}

// serve runs the daemon until it is told to stop, or ends by itself.
func (c *cli) serve(take, work context.Context, hangups <-chan os.Signal, cfg *config.Config, logs logs) (err error) {
	heap := heapLimit{pool: cfg.Transfer.Memory}
	heap.set(cfg.Transfer.Memory)
	sd := newSystemd(logs.Logger)
	var telling, working sync.WaitGroup
	defer telling.Wait()
	closed, end := context.WithCancel(context.WithoutCancel(take))
	defer end()
	running, stop := context.WithCancel(take)
	defer stop()
	opened := sd.starting(closed)
	var d *daemon.Daemon
	d, err = daemon.Open(take, cfg, daemon.Options{
		Logger: logs.Logger, UserAgent: userAgent(), Version: buildVersion().version, Commit: buildVersion().commit, Listen: true,
		Ready: func() {
			announce(logs.Logger, cfg)
			sd.ready()
			working.Go(func() { c.reloads(running, hangups, d, &heap, logs, sd) }) // a hangup that came before has waited
		},
	})
	opened()
	if err != nil {
		if take.Err() != nil { // told to stop before it began
			return nil
		}
		return err
	}
	defer closing(&err, d)
	telling.Go(func() {
		<-running.Done()
		sd.stopping(closed)
	})
	beating, still := context.WithCancel(closed)
	working.Go(func() { sd.beat(beating, d) })
	err = d.Run(take, work)
	stop() // it may have ended by itself
	still()
	working.Wait()
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		return err
	case work.Err() != nil:
		return errors.New("cut by a second signal; what was in flight is fetched again at the next start")
	}
	logs.Info("archiver stopped")
	return nil
}

// heapLimit follows transfer.memory. Work in flight still holds the buffers of
// the configuration before, so that a lower value counts from the next reload
// on.
type heapLimit struct{ pool int64 } // bytes, of the newest configuration

func (h *heapLimit) set(pool int64) {
	daemon.LimitHeap(max(h.pool, pool))
	h.pool = pool
}

// reloads takes over a new configuration at every SIGHUP.
func (c *cli) reloads(ctx context.Context, hangups <-chan os.Signal, d *daemon.Daemon, heap *heapLimit, logs logs, sd *systemd) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			sd.reloading()
			if err := c.reload(ctx, d, heap, logs); err != nil {
				logs.Error("the new configuration is not taken over, the old one stays in effect", zap.Error(err))
			}
			sd.ready()
		}
	}
}

func (c *cli) reload(ctx context.Context, d *daemon.Daemon, heap *heapLimit, logs logs) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	level, err := zap.ParseAtomicLevel(cfg.Log.Level)
	if err != nil {
		return err
	}
	if err := d.Reload(ctx, cfg); err != nil {
		return err
	}
	logs.level.SetLevel(level.Level())
	heap.set(cfg.Transfer.Memory)
	warn(logs.Logger, cfg)
	return nil
}

// announce says in one line what has started.
func announce(log *zap.Logger, cfg *config.Config) {
	buckets := map[string]struct{}{}
	deletes := map[string]bool{}
	for name, t := range cfg.Tenants {
		buckets[t.Storage.Bucket] = struct{}{}
		deletes[name] = t.Delete.Enabled
	}
	log.Info("archiver started",
		zap.String("version", buildVersion().version), zap.Strings("tenants", cfg.TenantNames()),
		zap.Strings("buckets", slices.Sorted(maps.Keys(buckets))), zap.String("state", cfg.State.Path),
		zap.Any("delete_source", deletes))
}
