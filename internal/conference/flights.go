package conference

import (
	"context"
	"maps"
	"slices"
	"sync"

	"archiver/internal/state"
)

// flights are the calls under way, at most one for each session.
type flights struct {
	stopping func() bool // none begins any more

	mu sync.Mutex
	m  map[state.ConferenceRef]chan struct{} // closed when that one is over
}

// begin returns how to end the call, or what is closed when the one that is
// under way has ended, or errStopping.
func (f *flights) begin(ref state.ConferenceRef) (release func(), busy <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping() { // asked with the lock held, or over would miss this one
		return nil, nil, errStopping
	}
	if over, ok := f.m[ref]; ok {
		return nil, over, nil
	}
	over := make(chan struct{})
	f.m[ref] = over
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.m, ref)
		close(over)
	}, nil, nil
}

// over waits for those that are under way.
func (f *flights) over(ctx context.Context) error {
	f.mu.Lock()
	under := slices.Collect(maps.Values(f.m))
	f.mu.Unlock()
	for _, over := range under {
		select {
		case <-over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// wait begins as soon as no other call is under way.
func (f *flights) wait(ctx context.Context, ref state.ConferenceRef) (release func(), err error) {
	for {
		release, busy, err := f.begin(ref)
		if busy == nil {
			return release, err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
