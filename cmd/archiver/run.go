package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
)

func (c *cli) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the archiver until it is told to stop",
		Long: `Polls the vendor for the tracked recordings and archives them.

SIGTERM or SIGINT: no more work is taken, parts in flight may finish within
shutdown_grace, and the exit code is 0. A second signal cuts them; nothing is
lost, they are fetched again at the next start.`,
		Args: cobra.NoArgs,
		RunE: act(c.run),
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
	log, done, err := newLogger(cfg.Log, c.stderr)
	if err != nil {
		return err
	}
	defer done()
	warn(log, cfg)
	take, work, end := stoppable(ctx)
	defer end()
	return serve(take, work, cfg, log)
}

// serve runs the daemon until it is told to stop.
func serve(take, work context.Context, cfg *config.Config, log *zap.Logger) (err error) {
	daemon.LimitHeap(cfg.Transfer.Memory)
	d, err := daemon.Open(take, cfg, daemon.Options{Logger: log, UserAgent: userAgent()})
	if err != nil {
		if take.Err() != nil { // told to stop before it began
			return nil
		}
		return err
	}
	defer closing(&err, d)
	announce(log, cfg)
	if err := d.Run(take, work); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if work.Err() != nil {
		return errors.New("cut by a second signal; what was in flight is fetched again at the next start")
	}
	log.Info("archiver stopped")
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
