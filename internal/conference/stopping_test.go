package conference_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"archiver/internal/conference"
)

// slow is a vendor that answers when it is let.
type slow struct {
	conference.Vendor
	called, let chan struct{}
}

func (s slow) OpenRecord(context.Context, string) (string, error) {
	s.called <- struct{}{}
	<-s.let
	return "r1", nil
}

// TestStopping: what is under way ends in good order, and nothing more begins.
func TestStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var stopping atomic.Bool
	vendor := slow{called: make(chan struct{}), let: make(chan struct{})}
	c := conference.New(conference.Options{
		Store: w.store, Logger: zap.NewNop(), Stopping: stopping.Load,
		Vendor: func(string) (conference.Vendor, bool) { return vendor, true },
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if s, err := c.StartRecord(t.Context(), "acme", "1"); err != nil || s.RecordID != "r1" {
			t.Errorf("what was under way: %+v, %v", s, err)
		}
	})
	<-vendor.called
	stopping.Store(true)
	for name, call := range map[string]func() error{
		"start recording": func() error { _, err := c.StartRecord(t.Context(), "acme", "2"); return err },
		"stop recording":  func() error { _, err := c.StopRecord(t.Context(), "acme", "1"); return err },
		"start live":      func() error { _, err := c.StartLive(t.Context(), "acme", "2"); return err },
		"stop live":       func() error { _, err := c.StopLive(t.Context(), "acme", "2"); return err },
	} {
		if e, ok := errors.AsType[*conference.Error](call()); !ok || e.Status != 503 || e.Code != "stopping" {
			t.Errorf("%s: %v", name, e)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits for what is under way: %v", err)
	}
	close(vendor.let)
	if err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
