package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/config"
	"archiver/internal/state"
	"archiver/internal/state/bolt"
)

// errNoState says that nothing was ever archived here.
var errNoState = errors.New("there is no such file")

// openState opens the state that is there. It never makes one: who only looks
// leaves nothing behind.
func openState(ctx context.Context, cfg *config.Config) (*bolt.Store, error) {
	if _, err := os.Stat(cfg.State.Path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open state %s: %w; nothing was archived yet, or state.path in %s names another one", cfg.State.Path, errNoState, cfg.Path)
	}
	return bolt.Open(ctx, cfg.State.Path, bolt.Options{Clock: time.Now, Logger: zap.NewNop()})
}

// knownTenants are the tenants of the configuration and of the state.
func knownTenants(ctx context.Context, cfg *config.Config, st state.Records) ([]string, error) {
	totals, err := st.Totals(ctx)
	if err != nil {
		return nil, err
	}
	names := cfg.TenantNames()
	for _, name := range slices.Sorted(maps.Keys(totals)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// checkTenant refuses a --tenant that neither the configuration nor the state
// knows.
func (c *cli) checkTenant(names []string) error {
	if c.tenant == "" || slices.Contains(names, c.tenant) {
		return nil
	}
	return usage("--tenant %s: no such tenant; there are %s", c.tenant, strings.Join(names, ", "))
}

// rendered is the recording as JSON shows it.
func rendered(ctx context.Context, cfg *config.Config, st state.Transfers, r state.Recording) apitype.Recording {
	grace := time.Duration(-1)
	if t := cfg.Tenants[r.Tenant]; t != nil && t.Delete.Enabled {
		grace = t.Delete.After
	}
	return apitype.OfRecording(r, grace, func(f state.File) int64 { return transferred(ctx, st, r, f) })
}

// transferred is how many bytes of an unfinished file the bucket has
// acknowledged; 0 if that can't be read, which is not worth failing for.
func transferred(ctx context.Context, st state.Transfers, r state.Recording, f state.File) int64 {
	if f.Upload == nil {
		return 0
	}
	parts, err := st.Parts(ctx, state.FileRef{Key: r.ID(), FileID: f.ID})
	if err != nil {
		return 0
	}
	var n int64
	for _, p := range parts {
		n += p.Size
	}
	return n
}
