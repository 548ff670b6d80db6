package poller_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"archiver/internal/meetingapi"
	"archiver/internal/poller"
)

// waiting runs a poller whose state is as slow as gate over n due recordings,
// and returns what came of the run once it is over. body is called with all of
// it at a standstill.
func waiting(t *testing.T, n int, v poller.Vendor, body func(f *failing, cancel func())) (r poller.Result, err error) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{gate: make(chan struct{})}
		w := &world{t: t, path: t.TempDir() + "/state.db"}
		w.opts = options(t, time.Now)
		w.opts.Store = f
		w.opts.Tenants = []poller.Tenant{tenant(t, "acme", v)}
		w.openAt(time.Now)
		defer w.close()
		for i := range n {
			w.track(fmt.Sprint("r", i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, err = w.PollOnce(ctx, time.Now())
		}()
		synctest.Wait()
		body(f, cancel)
		<-done
	})
	return r, err
}

// TestVendorDoesNotWaitForTheState: more recordings are asked about while
// earlier answers are being written.
func TestVendorDoesNotWaitForTheState(t *testing.T) {
	v := &script{now: time.Now}
	r, err := waiting(t, 50, v, func(f *failing, _ func()) {
		v.set(func() {
			if len(v.asked) != 50 {
				t.Errorf("%d recordings were asked about while the state was at the first", len(v.asked))
			}
		})
		close(f.gate)
	})
	if err != nil || r.Polled != 50 {
		t.Errorf("%+v, %v", r, err)
	}
}

// bulky answers with items of 3 MiB.
type bulky struct{ script }

func (b *bulky) GetRecords(ctx context.Context, id string, p meetingapi.Priority) (meetingapi.Listing, error) {
	l, err := b.script.GetRecords(ctx, id, p)
	l.Items = append(l.Items, meetingapi.Item{RecordID: id, Raw: make([]byte, 3<<20)})
	return l, err
}

// TestAnswersThatWaitAreBounded: few large answers are held, and the run ends
// when it is told to.
func TestAnswersThatWaitAreBounded(t *testing.T) {
	v := &bulky{script{now: time.Now}}
	_, err := waiting(t, 50, v, func(_ *failing, cancel func()) {
		v.set(func() {
			// Two wait for the state, and each of the four workers holds one.
			if len(v.asked) != 6 {
				t.Errorf("%d answers of 3 MiB are held", len(v.asked))
			}
		})
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the run ended with %v", err)
	}
}
