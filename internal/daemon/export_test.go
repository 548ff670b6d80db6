package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// Backfill runs the daemon until the recordings are done, as the command does
// it over the API, and returns what came of it. Ended by take, it returns what
// is true then and take's error.
func (d *Daemon) Backfill(take, work context.Context, keys []state.Key, wait time.Duration) (Summary, error) {
	running, stop := context.WithCancel(take)
	defer stop()
	var (
		wg   sync.WaitGroup
		rerr error
	)
	following, cut := context.WithCancel(context.WithoutCancel(take))
	defer cut()
	wg.Go(func() {
		if rerr = d.Run(running, work); rerr != nil {
			cut()
		}
	})
	sum, err := d.Follow(following, state.KeySetOf(keys...), wait, func(apitype.Progress) error { return nil })
	stop()
	wg.Wait()
	if rerr != nil {
		return sum, rerr
	}
	return sum, errors.Join(take.Err(), err)
}

// NamedAttention is how many recordings a summary names.
const NamedAttention = namedAttention
