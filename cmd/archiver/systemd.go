package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	notify "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"archiver/internal/daemon"
)

// systemd tells the service manager how things are, as sd_notify(3) says. It
// is silent where $NOTIFY_SOCKET names none.
type systemd struct {
	log   *zap.Logger
	every time.Duration // how often it asks for more time

	mu   sync.Mutex // one phase is told after the other
	ends bool       // it was told that this process stops, which is the last phase
}

func newSystemd(log *zap.Logger) *systemd { return &systemd{log: log, every: extendEvery} }

// tell reports whether somebody listens.
func (s *systemd) tell(state string) (heard bool) {
	heard, err := notify.SdNotify(false, state)
	if err != nil {
		s.log.Warn("tell the service manager", zap.String("what", state), zap.Error(err))
	}
	return heard
}

// The service manager is asked every extendEvery for extendBy more.
const (
	extendEvery = 10 * time.Second
	extendBy    = 30 * time.Second
)

var extend = fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds())

// extends goes on asking for more time until ctx ends.
func (s *systemd) extends(ctx context.Context) {
	t := time.NewTicker(s.every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.tell(extend)
		case <-ctx.Done():
			return
		}
	}
}

// starting asks for more time until the returned function is called: a large
// state that has to be migrated may take longer than a start is given.
func (s *systemd) starting(ctx context.Context) (done func()) {
	if !s.tell("STATUS=opening the state\n" + extend) {
		return func() {}
	}
	ctx, opened := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.extends(ctx) })
	return func() {
		opened()
		wg.Wait()
	}
}

// phase tells a phase, unless this process is already told to stop.
func (s *systemd) phase(state string, last bool) (heard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends {
		return false
	}
	s.ends = last
	return s.tell(state)
}

func (s *systemd) ready() { s.phase(notify.SdNotifyReady, false) }

// reloading begins a reload, which ready ends.
func (s *systemd) reloading() {
	s.phase(notify.SdNotifyReloading+"\n"+notify.SdNotifyMonotonicUsec(), false)
}

// stopping tells of the stop and asks for more time until closed ends: the
// grace that work in flight has may be another one by then.
func (s *systemd) stopping(closed context.Context) {
	if s.phase(notify.SdNotifyStopping+"\n"+extend, true) {
		s.extends(closed)
	}
}

// statusEvery is how often the status line is renewed.
const statusEvery = 10 * time.Second

// beat tells the watchdog, at half its interval, that the loops still beat,
// and what the archiver is at, until ctx ends. A loop that hangs is not told
// of: the service manager then starts the process again.
func (s *systemd) beat(ctx context.Context, d *daemon.Daemon) {
	if !s.tell("STATUS=" + d.Status(ctx)) {
		return
	}
	every := statusEvery
	watched, err := notify.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("no watchdog: its interval is not understood", zap.Error(err))
	}
	if watched > 0 {
		every = min(every, watched/2)
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		state := "STATUS=" + d.Status(ctx)
		if err := d.Alive(ctx); err == nil {
			state += "\n" + notify.SdNotifyWatchdog
		} else if ctx.Err() == nil {
			s.log.Error("the watchdog is not told that all is well", zap.Error(err))
		}
		s.tell(state)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
