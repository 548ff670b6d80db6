package poller_test

import (
	"context"
	"testing"
	"time"

	"archiver/internal/meetingapi"
	"archiver/internal/poller"
	"archiver/internal/state"
)

// hanging is a vendor that answers when it is let.
type hanging struct {
	asked chan string
	let   chan struct{}
}

func (h hanging) GetRecords(ctx context.Context, id string, _ meetingapi.Priority) (meetingapi.Listing, error) {
	h.asked <- id
	select {
	case <-h.let:
	case <-ctx.Done():
		return meetingapi.Listing{}, ctx.Err()
	}
	return meetingapi.Listing{}, nil
}

// A run that hangs is told from a poller that has nothing to do, and each
// answer is a sign of life.
func TestBeat(t *testing.T) {
	t.Parallel()
	vendor := hanging{asked: make(chan string), let: make(chan struct{})}
	w := newWorld(t, func(o *poller.Options) {
		o.Concurrency = 1
		o.Tenants[0] = tenant(t, "acme", vendor)
		o.Tenants = o.Tenants[:1]
	})
	if _, err := w.store.Track(t.Context(), []state.Key{{Tenant: "acme", RecordID: "a"}, {Tenant: "acme", RecordID: "b"}}); err != nil {
		t.Fatal(err)
	}
	if at := w.Beat(); !at.IsZero() {
		t.Errorf("beats at %s before any run", at)
	}
	ended := make(chan error, 1)
	begun := time.Now()
	go func() {
		_, err := w.PollOnce(t.Context(), start)
		ended <- err
	}()
	<-vendor.asked
	first := w.Beat()
	if first.Before(begun) {
		t.Errorf("beats at %s in a run that began at %s", first, begun)
	}
	vendor.let <- struct{}{}
	<-vendor.asked
	if second, ok := w.Beats()["acme"]; !ok || !second.After(first) {
		t.Errorf("beats at %s after an answer, %s before it", second, first)
	}
	vendor.let <- struct{}{}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if at := w.Beat(); !at.IsZero() {
		t.Errorf("beats at %s after the run", at)
	}
}
