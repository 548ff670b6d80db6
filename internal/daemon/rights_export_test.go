package daemon

import (
	"context"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// Verify does what the command does.
func (d *Daemon) Verify(ctx context.Context, k state.Key, deep bool) (apitype.Verification, error) {
	return api{d}.Verify(ctx, k, deep)
}
