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
	until    time.Time     // once stopping: when the grace is over
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

// stops reports whether no more work is taken.
func (r *running) stops() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// active reports whether the loops are to be beating.
func (r *running) active() bool {
	if r.stops() {
		return false
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
// state refuses everything or the API can no longer be served.
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
	d.metrics.Begin(take)
	var (
		wg   sync.WaitGroup
		serr error
	)
	wg.Go(func() { serr = serveAll(serving, servers, d.o.Logger, stopping) })
	wg.Go(func() { d.metrics.Run(serving) })
	wg.Go(func() {
		select {
		case <-d.store.Failed():
			stopping()
		case <-taking.Done():
		}
		r.until = time.Now().Add(d.atWork().cfg.ShutdownGrace)
		close(r.stopping)
	})
	close(r.begun)
	if d.o.Ready != nil {
		d.o.Ready()
	}
	err = d.generations(taking, work)
	stopping()
	<-r.stopping
	d.awaitConferences(work, r.until)
	close(r.ended)
	unserve()
	wg.Wait()
	d.mu.Lock() // not before: nothing more is to begin while the last answers are given
	d.run = newRunning()
	d.mu.Unlock()
	return errors.Join(err, serr, d.stateFailed(context.WithoutCancel(take)))
}

// awaitConferences lets calls for conferences that are under way be answered,
// until work ends or the grace is over.
func (d *Daemon) awaitConferences(work context.Context, until time.Time) {
	ctx, cancel := context.WithDeadline(work, until)
	defer cancel()
	if err := d.conferences.Wait(ctx); err != nil {
		d.o.Logger.Warn("calls for conferences are cut: archiver record ls shows as unresolved what is not known of them", zap.Error(err))
	}
}

// generations runs one generation after the other, until taking ends.
func (d *Daemon) generations(taking, work context.Context) error {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.working, d.overtook = nil, time.Time{}
	}()
	for {
		g := d.next()
		err := d.runGeneration(taking, work, g)
		if d.generation().sameWorks(g) {
			return err
		}
		g.close()
		if err != nil || taking.Err() != nil {
			return err
		}
		d.o.Logger.Info(inEffect)
	}
}

// next returns the generation that runs from now on.
func (d *Daemon) next() *generation {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.working, d.overtook = d.current, time.Time{}
	return d.current
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
		said := "reloading: what is in flight comes to a recorded step"
		if taking.Err() != nil {
			said = "stopping: no more work is taken"
		}
		stopping()
		d.o.Logger.Info(said, zap.Duration("grace", g.cfg.ShutdownGrace))
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
	for d.generation().sameWorks(g) {
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

// serveAll serves until ctx ends. One that fails before is an error, and calls
// stop: an archiver that nobody can ask or watch is restarted.
func serveAll(ctx context.Context, servers []server, log *zap.Logger, stop func()) error {
	var wg sync.WaitGroup
	errs := make([]error, len(servers))
	for i, s := range servers {
		wg.Go(func() {
			if err := web.Serve(ctx, s.at, s.handler, log); err != nil {
				errs[i] = fmt.Errorf("serve the API on %s: %w; restart the archiver", s.at.Addr(), err)
				stop()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// listen opens the socket, and http.listen where that is asked for.
func (d *Daemon) listen(ctx context.Context) ([]server, error) {
	cfg := d.generation().cfg
	local, err := socket.Listen(cfg.State.Path) //nolint:contextcheck // it takes none
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
