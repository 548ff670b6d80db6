package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"archiver/internal/state"
)

func TestPoolClass(t *testing.T) {
	const unit = 5 << 20
	for _, c := range []struct{ n, want int64 }{
		{0, 64 << 10},
		{1, 64 << 10},
		{64 << 10, 64 << 10},
		{64<<10 + 1, 128 << 10},
		{4 << 20, 4 << 20},
		{4<<20 + 1, unit},
		{unit - 1, unit},
		{unit, unit},
		{unit + 1, 2 * unit},
		{2 * unit, 2 * unit},
		{2*unit + 1, 3 * unit},
	} {
		if got := poolClass(c.n, unit); got != c.want {
			t.Errorf("poolClass(%d) = %d, want %d", c.n, got, c.want)
		}
	}
}

// sound checks what must hold of a pool at any moment.
func (p *pool) sound() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var held, free int64
	for owner, h := range p.byTenant {
		if h < 0 || h > p.tenantShare {
			return fmt.Errorf("tenant %s holds %d of its share of %d", owner, h, p.tenantShare)
		}
		held += h
	}
	var sent int64
	for at, h := range p.byBucket {
		if h < 0 || h > p.bucketShare {
			return fmt.Errorf("bucket %s holds %d of its share of %d", at.Bucket, h, p.bucketShare)
		}
		sent += h
	}
	if held != sent {
		return fmt.Errorf("tenants hold %d, buckets %d", held, sent)
	}
	for class, l := range p.free {
		free += class * int64(len(l))
	}
	if held+free != p.size || p.size > p.limit {
		return fmt.Errorf("%d held and %d free are %d of %d", held, free, p.size, p.limit)
	}
	return nil
}

// TestPoolHolds lets several owners take and give back in any order, some of
// them giving up: the limit is never exceeded, nobody waits for ever, and at
// the end nothing is missing.
func TestPoolHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const unit = 1 << 20
		limit := rapid.Int64Range(4, 16).Draw(t, "units") * unit
		owners := rapid.IntRange(1, 4).Draw(t, "owners")
		buckets := rapid.IntRange(1, 3).Draw(t, "buckets")
		p := newPool(limit, owners, buckets)
		type step struct {
			n      int64
			giveUp bool
		}
		steps := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{rapid.Int64Range(1, p.most()).Draw(t, "n"), rapid.IntRange(0, 4).Draw(t, "give up") == 0}
		}), 0, 12), 1, 8).Draw(t, "steps")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs := make(chan error, 1000)
		var workers sync.WaitGroup
		for i, mine := range steps {
			owner := door{fmt.Sprint(i % owners), state.Destination{Bucket: fmt.Sprint(i % buckets)}}
			workers.Go(func() {
				var sending sync.WaitGroup
				defer sending.Wait()
				for _, s := range mine {
					at, stop := context.WithCancel(ctx)
					if s.giveUp {
						go stop()
					}
					// Multiples of the unit, and smaller classes.
					class := min(poolClass(s.n, unit), p.most()/unit*unit)
					b, err := p.take(at, owner, class)
					if err != nil {
						stop()
						if !s.giveUp {
							errs <- err
						}
						continue
					}
					if int64(len(b)) != class {
						errs <- fmt.Errorf("%d bytes for a class of %d", len(b), class)
					}
					if err := p.sound(); err != nil {
						errs <- err
					}
					sending.Go(func() { // what is on its way to a bucket comes back by itself
						defer stop()
						p.put(owner, b[:len(b)/2])
					})
				}
			})
		}
		workers.Wait()
		select {
		case err := <-errs:
			t.Fatal(err)
		default:
		}
		if err := p.sound(); err != nil {
			t.Fatal(err)
		}
		if p.inUse() != 0 || len(p.waiting) != 0 {
			t.Fatalf("%d bytes in use, %d waiting", p.inUse(), len(p.waiting))
		}
	})
}

// asked takes a buffer in the background.
func asked(ctx context.Context, p *pool, owner door, class int64) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := p.take(ctx, owner, class)
		out <- err
	}()
	synctest.Wait() // until it is served, or waits
	return out
}

func served(c <-chan error) bool {
	synctest.Wait()
	select {
	case err := <-c:
		return err == nil
	default:
		return false
	}
}

// TestPoolFair keeps an owner with half of the pool from taking more while
// another one needs it, in the order of asking otherwise.
func TestPoolFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(8, 2, 1)
		for range 2 {
			if !served(asked(t.Context(), p, door{tenant: "a"}, 2)) {
				t.Fatal("a's own half is not granted")
			}
		}
		third := asked(t.Context(), p, door{tenant: "a"}, 2)
		if served(third) {
			t.Fatal("a got more than half")
		}
		if !served(asked(t.Context(), p, door{tenant: "b"}, 4)) {
			t.Fatal("b waits though half is free")
		}
		more := asked(t.Context(), p, door{tenant: "b"}, 2)
		p.put(door{tenant: "a"}, make([]byte, 2))
		if served(more) || !served(third) {
			t.Fatal("a's part did not go to a")
		}
		ctx, cancel := context.WithCancel(t.Context())
		late := asked(ctx, p, door{tenant: "a"}, 4)
		cancel()
		if err := <-late; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		p.put(door{tenant: "b"}, make([]byte, 4))
		if !served(more) {
			t.Fatal("b is not served")
		}
		if n := p.inUse(); n != 6 {
			t.Errorf("%d bytes in use, want 6", n)
		}
	})
}

// TestPoolAlone lets the only owner use everything.
func TestPoolAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(8, 1, 1)
		for range 4 {
			if !served(asked(t.Context(), p, door{tenant: "a"}, 2)) {
				t.Fatal("part of the pool is not used")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if served(asked(ctx, p, door{tenant: "a"}, 2)) {
			t.Fatal("more than the limit")
		}
		cancel()
		synctest.Wait()
	})
}

// TestPoolFairToBuckets keeps two tenants of one hanging bucket from holding
// all that a third one with a bucket of its own needs.
func TestPoolFairToBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(8, 3, 2)
		hangs, works := state.Destination{Bucket: "hangs"}, state.Destination{Bucket: "works"}
		if !served(asked(t.Context(), p, door{"a", hangs}, 2)) || !served(asked(t.Context(), p, door{"c", hangs}, 2)) {
			t.Fatal("the bucket's own half is not granted")
		}
		ctx, cancel := context.WithCancel(t.Context())
		third := asked(ctx, p, door{"c", hangs}, 2)
		if served(third) {
			t.Fatal("one bucket got more than half")
		}
		if !served(asked(t.Context(), p, door{"d", works}, 4)) {
			t.Fatal("the other bucket waits though half is free")
		}
		cancel()
		if err := <-third; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
