package conference

import (
	"context"
	"sync"

	"archiver/internal/state"
)

// flights are the calls under way, at most one for each session.
type flights struct {
	mu sync.Mutex
	m  map[state.ConferenceRef]chan struct{} // closed when that one is over
}

// begin returns how to end the call, or what is closed when the one that is
// under way has ended.
func (f *flights) begin(ref state.ConferenceRef) (release func(), busy <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if over, ok := f.m[ref]; ok {
		return nil, over
	}
	over := make(chan struct{})
	f.m[ref] = over
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.m, ref)
		close(over)
	}, nil
}

// wait begins as soon as no other call is under way.
func (f *flights) wait(ctx context.Context, ref state.ConferenceRef) (release func(), err error) {
	for {
		release, busy := f.begin(ref)
		if busy == nil {
			return release, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
