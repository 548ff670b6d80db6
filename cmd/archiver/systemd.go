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
type systemd struct{ log *zap.Logger }

// tell reports whether somebody listens.
func (s systemd) tell(state string) (heard bool) {
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

func extend(by time.Duration) string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", by.Microseconds()) }

// starting asks for more time until the returned function is called: a large
// state that has to be migrated may take longer than a start is given.
func (s systemd) starting() (done func()) {
	if !s.tell("STATUS=opening the state\n" + extend(extendBy)) {
		return func() {}
	}
	opened := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(extendEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				s.tell(extend(extendBy))
			case <-opened:
				return
			}
		}
	})
	return func() {
		close(opened)
		wg.Wait()
	}
}

func (s systemd) ready() { s.tell(notify.SdNotifyReady) }

// reloading begins a reload, which ready ends.
func (s systemd) reloading() {
	s.tell(notify.SdNotifyReloading + "\n" + notify.SdNotifyMonotonicUsec())
}

// stopping asks for the grace that work in flight has, and some to close.
func (s systemd) stopping(grace time.Duration) {
	s.tell(notify.SdNotifyStopping + "\n" + extend(grace+extendBy))
}

// statusEvery is how often the status line is renewed.
const statusEvery = 10 * time.Second

// beat tells the watchdog, at half its interval, that the loops still beat,
// and what the archiver is at, until ctx ends. A loop that hangs is not told
// of: the service manager then starts the process again.
func (s systemd) beat(ctx context.Context, d *daemon.Daemon) {
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
