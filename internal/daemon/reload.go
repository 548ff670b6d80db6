package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"archiver/internal/config"
)

// Reload takes a new configuration over: what is in flight comes to a recorded
// step under the old one, everything after that follows the new one, and what
// forbids a deletion counts at once. Each difference is logged. On error the
// old configuration is kept.
func (d *Daemon) Reload(ctx context.Context, cfg *config.Config) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	old := d.generation()
	next, restart := keepFixed(old.cfg, cfg)
	diff, err := config.Diff(old.cfg, cfg)
	if err != nil {
		return err
	}
	if len(diff) == 0 {
		d.o.Logger.Info("configuration read again: nothing has changed", zap.String("file", cfg.Path))
		return nil
	}
	g, err := d.generate(ctx, next)
	if err != nil {
		return fmt.Errorf("take over configuration %s, the old one is kept: %w", cfg.Path, err)
	}
	for _, c := range diff {
		d.o.Logger.Info("configuration changed", zap.String("key", c.Key), zap.String("old", c.Old), zap.String("new", c.New))
	}
	if len(restart) > 0 {
		d.o.Logger.Warn("these changes need a restart of the archiver; until then the old values count", zap.Strings("keys", restart))
	}
	d.announcePaused(ctx, next)
	d.metrics.SetTenants(next.TenantNames())
	d.mu.Lock()
	d.current = g
	d.mu.Unlock()
	select {
	case d.replaced <- struct{}{}:
	default:
	}
	return nil
}

// keepFixed returns the new configuration with the old values of what cannot
// change now, and the keys that this is about.
func keepFixed(old, cfg *config.Config) (next *config.Config, restart []string) {
	c := *cfg
	if c.State.Path != old.State.Path {
		restart, c.State = append(restart, "state.path"), old.State
	}
	if c.HTTP.Listen != old.HTTP.Listen {
		restart, c.HTTP.Listen = append(restart, "http.listen"), old.HTTP.Listen
	}
	if c.Log.Format != old.Log.Format {
		restart, c.Log.Format = append(restart, "log.format"), old.Log.Format
	}
	return &c, restart
}

// announcePaused says which tenants the state has recordings of and the
// configuration no longer names.
func (d *Daemon) announcePaused(ctx context.Context, cfg *config.Config) {
	totals, err := d.store.Totals(ctx)
	if err != nil {
		return // whatever is wrong with the state is said elsewhere
	}
	var paused []string
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		if cfg.Tenants[name] == nil {
			paused = append(paused, name)
		}
	}
	if len(paused) > 0 {
		d.o.Logger.Warn("tenants paused: they are not in the configuration, so what is archived of them is kept and the vendor is not called",
			zap.String("tenants", strings.Join(paused, ", ")))
	}
}
