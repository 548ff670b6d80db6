package daemon_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"archiver/internal/config"
	"archiver/internal/daemon"
)

// childConfig is the environment variable that turns this test binary into an
// archiver of its own, so that it can be killed for real.
const childConfig = "ARCHIVER_E2E_CHILD"

// childMain runs the daemon until it is killed; it reports false in the test
// process itself.
func childMain() bool {
	path, ok := os.LookupEnv(childConfig)
	if !ok {
		return false
	}
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	ctx := context.Background()
	d, err := daemon.Open(ctx, cfg, daemon.Options{Logger: zap.NewExample(), Backoff: 20 * time.Millisecond, Tick: 10 * time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	if err := d.Run(ctx, ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}
