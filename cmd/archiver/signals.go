package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// stoppable derives the two contexts of a stop: the first SIGINT or SIGTERM
// ends take, the second one ends work. end must be called, once.
func stoppable(ctx context.Context) (take, work context.Context, end func()) {
	take, stop := context.WithCancel(ctx)
	work, cut := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, end := range []func(){stop, cut} {
			select {
			case <-signals:
				end()
			case <-done:
				return // a late signal is swallowed: we are about to end
			}
		}
		signal.Stop(signals) // whoever asks a third time gets it from the system
	})
	return take, work, func() {
		close(done)
		wg.Wait()
		stop()
		cut()
	}
}
