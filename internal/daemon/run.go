package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"archiver/internal/socket"
	"archiver/internal/web"
)

// running is one call of Run, as others see it.
type running struct {
	begun    chan struct{}
	stopping chan struct{} // no more work is taken
	ended    chan struct{} // nothing is in flight any more
}

func newRunning() *running {
	return &running{begun: make(chan struct{}), stopping: make(chan struct{}), ended: make(chan struct{})}
}

// present returns the run that is under way, else the one to come.
func (d *Daemon) present() *running {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.run
}

// active reports whether the loops are to be beating.
func (r *running) active() bool {
	select {
	case <-r.stopping:
		return false
	default:
	}
	select {
	case <-r.begun:
		return true
	default:
		return false
	}
}

// Run serves the socket (and TCP, with Options.Listen) and works until take
// ends; then what is in flight may come to a recorded step until work ends or
// shutdown_grace is over. It stops likewise, and returns an error, once the
// state refuses everything.
func (d *Daemon) Run(take, work context.Context) error {
	r := d.present()
	servers, err := d.listen(take)
	if err != nil {
		return err
	}
	taking, stopping := context.WithCancel(take)
	defer stopping()
	serving, unserve := context.WithCancel(context.WithoutCancel(take))
	defer unserve()
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() { s.serve(serving, d.o.Logger) })
	}
	wg.Go(func() { d.metrics.Run(serving) })
	wg.Go(func() {
		select {
		case <-d.store.Failed():
			stopping()
		case <-taking.Done():
		}
		close(r.stopping)
	})
	close(r.begun)
	if d.o.Ready != nil {
		d.o.Ready()
	}
	err = d.generations(taking, work)
	stopping()
	<-r.stopping
	d.mu.Lock()
	d.run = newRunning()
	d.mu.Unlock()
	close(r.ended)
	unserve()
	wg.Wait()
	return errors.Join(err, d.stateFailed(context.WithoutCancel(take)))
}

// generations runs one generation after the other, until taking ends.
func (d *Daemon) generations(taking, work context.Context) error {
	for {
		g := d.generation()
		err := d.runGeneration(taking, work, g)
		if err != nil || taking.Err() != nil || d.generation() == g {
			return err
		}
		g.close()
		d.o.Logger.Info("the new configuration is in effect")
	}
}

// runGeneration runs a generation until take ends or another one is to take
// its place, and what was in flight has come to a recorded step.
func (d *Daemon) runGeneration(take, work context.Context, g *generation) error {
	work, cut := context.WithCancel(work)
	defer cut()
	taking, stopping := context.WithCancel(take)
	defer stopping()
	var (
		wg    sync.WaitGroup
		perr  error
		ended = make(chan struct{})
	)
	wg.Go(func() {
		d.untilReplaced(taking, g)
		stopping()
		d.o.Logger.Info("stopping: no more work is taken", zap.Duration("grace", g.cfg.ShutdownGrace))
		grace := time.NewTimer(g.cfg.ShutdownGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			cut()
		case <-ended:
		}
	})
	wg.Go(func() {
		defer stopping() // one without the other would be half a daemon
		perr = g.poller.Run(taking)
	})
	serr := g.syncer.Run(taking, work)
	stopping()
	close(ended)
	wg.Wait()
	return errors.Join(perr, serr)
}

// untilReplaced returns when ctx ends or g is no longer the current one.
func (d *Daemon) untilReplaced(ctx context.Context, g *generation) {
	for d.generation() == g {
		select {
		case <-ctx.Done():
			return
		case <-d.replaced:
		}
	}
}

// server is one place where the API is served.
type server struct {
	at      net.Listener
	handler http.Handler
}

func (s server) serve(ctx context.Context, log *zap.Logger) {
	if err := web.Serve(ctx, s.at, s.handler, log); err != nil {
		log.Error("serve the API", zap.Stringer("address", s.at.Addr()), zap.Error(err))
	}
}

// listen opens the socket, and http.listen where that is asked for.
func (d *Daemon) listen(ctx context.Context) ([]server, error) {
	cfg := d.generation().cfg
	local, err := socket.Listen(cfg.State.Path)
	if err != nil {
		return nil, err
	}
	servers := []server{{local, d.api.Local()}}
	if !d.o.Listen || cfg.HTTP.Listen == "" {
		return servers, nil
	}
	var lc net.ListenConfig
	public, err := lc.Listen(ctx, "tcp", cfg.HTTP.Listen)
	if err != nil {
		err = fmt.Errorf("serve the API on http.listen %s: %w; choose another address, or \"\" for none besides the socket", cfg.HTTP.Listen, err)
		return nil, errors.Join(err, local.Close())
	}
	d.o.Logger.Info("API on TCP", zap.Stringer("address", public.Addr()))
	return append(servers, server{public, d.api.Public(public.Addr().String())}), nil
}

// stateFailed returns why the state refuses everything, if it does.
func (d *Daemon) stateFailed(ctx context.Context) error {
	select {
	case <-d.store.Failed():
		_, why := d.store.Totals(ctx) // as every other call would
		return fmt.Errorf("stopped, because state %s cannot be used any further; restart the archiver, which goes on from what the disk has: %w", d.generation().cfg.State.Path, why)
	default:
		return nil
	}
}
