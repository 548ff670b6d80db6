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
		o.Tenants[0].APIRate = 0.01
		o.Tenants = o.Tenants[:1]
	})
	if _, err := w.store.Track(t.Context(), []state.Key{{Tenant: "acme", RecordID: "a"}, {Tenant: "acme", RecordID: "b"}}); err != nil {
		t.Fatal(err)
	}
	if beats := w.Beats(); len(beats) > 0 {
		t.Errorf("beats before any run: %v", beats)
	}
	ended := make(chan error, 1)
	begun := time.Now()
	go func() {
		_, err := w.PollOnce(t.Context(), start)
		ended <- err
	}()
	<-vendor.asked
	first := w.Beats()["acme"]
	// 8 attempts at one in 100 s.
	for after, want := range map[time.Duration]string{23 * time.Minute: "", 24 * time.Minute: "acme"} {
		if name, since := w.Stalled(first.Add(after)); name != want || name != "" && !since.Equal(first) {
			t.Errorf("after %s of silence: %q has stood still since %s", after, name, since)
		}
	}
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
	if name, _ := w.Stalled(time.Now().Add(1000 * time.Hour)); name != "" || len(w.Beats()) > 0 {
		t.Errorf("%q stands still, and nothing runs", name)
	}
}
