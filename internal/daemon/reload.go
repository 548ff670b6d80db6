package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	diff, err := config.Diff(old.cfg, cfg)
	if err != nil {
		return err
	}
	if len(diff) == 0 {
		d.o.Logger.Info("configuration read again: nothing has changed", zap.String("file", cfg.Path))
		return nil
	}
	next, restart := keepFixed(old.cfg, cfg, diff)
	counts, err := config.Diff(old.cfg, next)
	if err != nil {
		return err
	}
	g := old.under(next)
	if slices.ContainsFunc(counts, needsWorks) {
		if g, err = d.generate(ctx, next); err != nil {
			return fmt.Errorf("take over configuration %s, the old one is kept: %w", cfg.Path, err)
		}
	}
	for _, c := range diff {
		d.o.Logger.Info("configuration changed", zap.String("key", c.Key), zap.String("old", c.Old), zap.String("new", c.New))
	}
	if len(restart) > 0 {
		d.o.Logger.Warn("these changes need a restart of the archiver; until then the old values count", zap.Strings("keys", restart))
	}
	d.announcePaused(ctx, next)
	d.metrics.SetTenants(next.TenantNames())
	d.succeed(g)
	if g.sameWorks(old) && len(counts) > 0 {
		d.o.Logger.Info(inEffect)
	}
	return nil
}

// inEffect is said once a new configuration counts wholly.
const inEffect = "the new configuration is in effect"

// succeed makes a generation the one that is to run. One that never came to run
// is closed.
func (d *Daemon) succeed(g *generation) {
	d.mu.Lock()
	old := d.current
	d.current = g
	if d.working != nil && d.overtook.IsZero() && !d.working.sameWorks(g) {
		d.overtook = time.Now()
	}
	passed := !old.sameWorks(g) && (d.working == nil || !old.sameWorks(d.working))
	d.mu.Unlock()
	if passed {
		old.close()
	}
	select {
	case d.replaced <- struct{}{}:
	default:
	}
}

// needsWorks reports a change for which what is in flight has to come to an end.
// The other keys are read each time that they are needed.
func needsWorks(c config.Difference) bool {
	return c.Key != "log.level" && !strings.HasPrefix(c.Key, "http.")
}

// keepFixed returns the new configuration with the old values of what cannot
// change now, and the keys that this is about. Who may call an address goes with
// the address: an old one that all can reach would otherwise be left open by a
// new one that needs no token.
func keepFixed(old, cfg *config.Config, diff []config.Difference) (next *config.Config, restart []string) {
	c := *cfg
	if c.State.Path != old.State.Path {
		restart, c.State = append(restart, "state.path"), old.State
	}
	if c.HTTP.Listen != old.HTTP.Listen {
		for _, d := range diff {
			if strings.HasPrefix(d.Key, "http.") {
				restart = append(restart, d.Key)
			}
		}
		c.HTTP = old.HTTP
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
