package daemon

import (
	"context"
	"errors"
	"slices"

	"archiver/internal/explain"
	"archiver/internal/state"
)

// Summary is what came of following recordings.
type Summary struct {
	Recordings    map[state.Status]int // of the recordings followed
	Files         int                  // verified
	Bytes         int64                // of them
	Attention     []Attention          // what needs a person, or more time; ascending, at most namedAttention
	MoreAttention int                  // recordings that do, and are not named
	Stuck         bool                 // nothing moved any more though work was left
	Interrupted   bool                 // the archiver was told to stop
}

// Attention is a recording that is not, or not quite, as it should be.
type Attention struct {
	Key    state.Key
	Status state.Status
	Why    string
}

// namedAttention is how many recordings a summary names.
const namedAttention = 1000

func (s *Summary) add(r state.Recording) {
	t := tallied(r)
	s.Recordings[r.Status]++
	s.Files += int(t.verified)
	s.Bytes += t.bytesDone
	why := explain.Attention(r)
	switch {
	case why == "":
	case len(s.Attention) == namedAttention:
		s.MoreAttention++
	default:
		s.Attention = append(s.Attention, Attention{Key: r.ID(), Status: r.Status, Why: why})
	}
}

// summary reads what is true of all that is followed.
func (f *follower) summary(ctx context.Context) (Summary, error) {
	sum := Summary{Recordings: map[state.Status]int{}}
	err := f.eachFollowed(ctx, sum.add)
	slices.SortFunc(sum.Attention, func(x, y Attention) int { return compareKeys(x.Key, y.Key) })
	return sum, err
}

func (f *follower) eachFollowed(ctx context.Context, fn func(state.Recording)) error {
	if f.all {
		others := f.others.Set()
		return f.eachTracked(ctx, func(r state.Recording) {
			if _, other := others.Find(r.ID()); !other {
				fn(r)
			}
		})
	}
	for i := range f.stages {
		r, err := f.d.store.Get(ctx, f.at(i))
		switch {
		case errors.Is(err, state.ErrNotFound):
			continue
		case err != nil:
			return err
		}
		fn(r)
		if err := f.tell(); err != nil {
			return err
		}
	}
	return nil
}

// eachTracked calls fn for every recording of the configuration's tenants.
func (f *follower) eachTracked(ctx context.Context, fn func(state.Recording)) error {
	for _, tenant := range f.d.generation().cfg.TenantNames() {
		if err := f.each(ctx, tenant, fn); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn for every recording of a tenant.
func (f *follower) each(ctx context.Context, tenant string, fn func(state.Recording)) error {
	for q := (state.Query{Tenant: tenant, Limit: 1000}); ; {
		p, err := f.d.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range p.Items {
			fn(r)
		}
		if err := f.tell(); err != nil {
			return err
		}
		if p.NextCursor == "" {
			return nil
		}
		q.Cursor = p.NextCursor
	}
}
