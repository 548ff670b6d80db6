package poller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

func (t *tenant) key(recordID string) state.Key {
	return state.Key{Tenant: t.Name, RecordID: recordID}
}

// Ask asks about one recording now, whatever its schedule, ahead of the polls,
// and returns it as it is then. Of a recording that is not tracked only the
// links are handed on, and the error is state.ErrNotFound. Other errors are the
// vendor's (*fault.Error, with the recording as the refusal left it) or the
// store's. A suspended tenant's vendor is not called: fault.Unauthorized.
func (p *Poller) Ask(ctx context.Context, k state.Key) (state.Recording, error) {
	t := p.byName[k.Tenant]
	if t == nil {
		return state.Recording{}, &fault.Error{Op: "ask about", Subject: k.String(), Kind: fault.NotFound, Err: errors.New("the tenant is not configured")}
	}
	if why := t.suspended(); why != "" {
		return state.Recording{}, &fault.Error{
			Op: "ask about", Subject: k.String(), Kind: fault.Unauthorized, Err: fmt.Errorf("%w: %s", errSuspended, why),
			Hint: "it is tried once at every poll run",
		}
	}
	if err := p.recall(ctx, t); err != nil {
		return state.Recording{}, err
	}
	rec, err := p.opts.Store.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) {
		if _, vendorErr := p.call(ctx, t, k.RecordID, meetingapi.Urgent); vendorErr != nil {
			return state.Recording{}, vendorErr
		}
	}
	if err != nil {
		return state.Recording{}, fmt.Errorf("ask about %s: %w", k, err)
	}
	rec, _, refused, err := p.ask(ctx, t, rec, meetingapi.Urgent)
	if err == nil {
		err = refused
	}
	return rec, err
}

// visit asks about a recording that is due and returns what is left to do: to
// record what came. The vendor is not kept waiting for that. held is how many
// bytes the answer has. Errors are the store's.
func (p *Poller) visit(ctx context.Context, t *tenant, k state.Key) (record func() (state.Recording, Result, error), held int, err error) {
	rec, err := p.opts.Store.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) { // untracked meanwhile
		return func() (state.Recording, Result, error) { return state.Recording{}, Result{}, nil }, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("poll %s: %w", k, err)
	}
	if rec.Status == state.Deleting {
		return func() (state.Recording, Result, error) {
			rec, err := p.leave(ctx, t, k)
			return rec, Result{}, err
		}, 0, nil
	}
	items, refused := p.fetch(ctx, t, rec, meetingapi.Background)
	for _, it := range items {
		held += len(it.Raw)
	}
	return func() (state.Recording, Result, error) {
		rec, res, refused, err := p.record(ctx, t, rec, items, refused)
		if refused != nil {
			t.log.Debug("poll failed", zap.String("record_id", k.RecordID), zap.Error(refused))
		}
		return rec, res, err
	}, held, nil
}

// leave puts the poll of a recording that is being deleted off.
func (p *Poller) leave(ctx context.Context, t *tenant, k state.Key) (state.Recording, error) {
	at := p.opts.Clock()
	pol := p.policy(t, k.RecordID, at)
	rec, err := p.opts.Store.Update(ctx, k, func(rec state.Recording) ([]state.Change, error) {
		if rec.Status != state.Deleting {
			return nil, nil // over already: the next run asks
		}
		return plan(rec, answer{}, at, pol)
	})
	if err != nil {
		return rec, fmt.Errorf("put the poll of %s off: %w", k, err)
	}
	return rec, nil
}

// ask asks the vendor about rec and writes what follows. refused is what kept
// the vendor from giving a listing.
func (p *Poller) ask(ctx context.Context, t *tenant, rec state.Recording, prio meetingapi.Priority) (after state.Recording, res Result, refused, err error) {
	items, refused := p.fetch(ctx, t, rec, prio)
	return p.record(ctx, t, rec, items, refused)
}

// record writes what follows from a listing of rec, or from its refusal. Its
// error is the store's or ctx's; what is wrong with this recording alone is
// logged and in the state.
func (p *Poller) record(ctx context.Context, t *tenant, rec state.Recording, items []meetingapi.Identified, refusal error) (after state.Recording, res Result, refused, err error) {
	refused = refusal
	if ctx.Err() != nil {
		return rec, Result{}, refused, ctx.Err()
	}
	if fault.KindOf(refused) == fault.Canceled {
		return rec, Result{}, refused, nil
	}
	at := p.opts.Clock()
	a := answer{}
	if refused != nil {
		a.refused = refusalOf(refused)
		res.Failed++
	} else {
		res.Polled++
		a.facts = read(rec.RecordID, items)
		whole, err := p.adopt(ctx, t, rec.RecordID, items, at, &res)
		if err != nil {
			return rec, res, nil, err
		}
		if !whole {
			a.open++ // somebody's file is not recorded yet: neither settled nor redirected
		}
	}
	pol := p.policy(t, rec.RecordID, at)
	after, err = p.update(ctx, t, rec.ID(), &res, func(rec state.Recording) ([]state.Change, error) {
		return plan(rec, a, at, pol)
	})
	if errors.Is(err, state.ErrIllegal) {
		t.log.Error("poll not recorded", zap.String("record_id", rec.RecordID), zap.Error(err))
		return p.stumble(ctx, t, rec.ID(), err)
	}
	return after, res, refused, err
}

// stumble notes a poll whose plan was refused, so that this recording alone
// suffers and is asked about less often.
func (p *Poller) stumble(ctx context.Context, t *tenant, k state.Key, cause error) (after state.Recording, res Result, refused, err error) {
	at := p.opts.Clock()
	pol := p.policy(t, k.RecordID, at)
	after, err = p.opts.Store.Update(ctx, k, func(rec state.Recording) ([]state.Change, error) {
		return plan(rec, answer{refused: &refusal{kind: fault.Temporary, text: cause.Error(), after: lapse}}, at, pol)
	})
	return after, Result{Failed: 1}, cause, err
}

// adopt writes the items of a listing that belong to other recordings,
// tracking those that are not tracked yet. whole is false if one of them could
// not be written.
func (p *Poller) adopt(ctx context.Context, t *tenant, asked string, items []meetingapi.Identified, at time.Time, res *Result) (whole bool, err error) {
	owners := map[string]bool{}
	for _, it := range items {
		owners[it.Owner] = true
	}
	delete(owners, asked)
	whole = true
	for _, owner := range slices.Sorted(maps.Keys(owners)) {
		f := read(owner, items)
		pol := p.policy(t, owner, at)
		_, err := p.update(ctx, t, t.key(owner), res, func(rec state.Recording) ([]state.Change, error) {
			return planOther(rec, asked, f, at, pol)
		})
		switch {
		case errors.Is(err, state.ErrIllegal):
			t.log.Error("listed file of another recording not recorded", zap.String("record_id", owner), zap.String("listed_by", asked), zap.Error(err))
			whole = false
		case err != nil:
			return false, err
		}
	}
	return whole, nil
}

// update applies what decide says, and tells of it once it is durable.
func (p *Poller) update(ctx context.Context, t *tenant, k state.Key, res *Result, decide state.Decide) (state.Recording, error) {
	var before state.Recording
	var changes []state.Change
	after, err := p.opts.Store.Update(ctx, k, func(rec state.Recording) ([]state.Change, error) {
		var err error
		before = rec
		changes, err = decide(rec)
		return changes, err
	})
	if err != nil {
		return after, fmt.Errorf("record the poll of %s: %w", k, err)
	}
	p.tell(t, before, after, changes, res)
	return after, nil
}

// fetch gets the listing of a recording. An adopted one that its own listing
// does not name is looked for in the listing that did name it: the vendor's
// document shows items under ids that need not have a listing of their own.
func (p *Poller) fetch(ctx context.Context, t *tenant, rec state.Recording, prio meetingapi.Priority) ([]meetingapi.Identified, error) {
	own, err := p.call(ctx, t, rec.RecordID, prio)
	items := meetingapi.Identify(rec.RecordID, own.Items)
	named := slices.ContainsFunc(items, func(it meetingapi.Identified) bool { return it.Owner == rec.RecordID })
	kind := fault.KindOf(err)
	if named || rec.AdoptedFrom == "" || kind != "" && kind != fault.BadRequest && kind != fault.Rejected {
		return items, err
	}
	other, otherErr := p.call(ctx, t, rec.AdoptedFrom, prio)
	switch kind := fault.KindOf(otherErr); {
	case otherErr == nil:
		found := false
		for _, it := range meetingapi.Identify(rec.AdoptedFrom, other.Items) {
			if it.Owner == rec.RecordID {
				items, found = append(items, it), true
			}
		}
		if found {
			return items, nil
		}
		return items, err
	case kind == fault.BadRequest || kind == fault.Rejected || kind == fault.Unauthorized:
		return items, err
	default: // absence is not counted on half an answer
		return nil, otherErr
	}
}

// call makes one getRecords and passes it on to all who want to know.
func (p *Poller) call(ctx context.Context, t *tenant, recordID string, prio meetingapi.Priority) (meetingapi.Listing, error) {
	listing, err := t.Vendor.GetRecords(ctx, recordID, prio)
	t.beat.strike()
	if ctx.Err() != nil {
		return listing, errors.Join(err, ctx.Err())
	}
	p.opts.Observer.Polled(t.Name, err)
	switch kind := fault.KindOf(err); {
	case err == nil:
		t.answered(recordID)
		p.opts.Links.Seen(t.key(recordID), listing)
	case kind == fault.Unauthorized:
		err = p.judge(ctx, t, recordID, err)
	case kind == fault.Temporary:
		t.failed(recordID, err)
	}
	return listing, err
}
