package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/config"
	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// Planned is what a backfill would fetch because of one recording.
type Planned struct {
	Key     state.Key
	Files   int      // finished and not verified yet, those of others included
	Bytes   int64    // of them, as far as the vendor gave sizes
	Unsized int      // of them, files without a size
	Have    int      // listed files that are verified already
	Open    int      // listed items that the vendor has not finished
	Others  []string // recordIds of others whose files its listing names, ascending
	Err     error    // the vendor's refusal; then nothing else is known
}

func (p Planned) api() apitype.Planned {
	out := apitype.Planned{
		Tenant: p.Key.Tenant, RecordID: p.Key.RecordID, Files: p.Files, Bytes: p.Bytes, Unsized: p.Unsized,
		Have: p.Have, Open: p.Open, Others: append([]string{}, p.Others...),
	}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	return out
}

// Known tells what is archived already; see state.Records.
type Known interface {
	Get(ctx context.Context, k state.Key) (state.Recording, error)
	List(ctx context.Context, q state.Query) (state.Page, error)
}

// refusals is how many recordings of a tenant, in a row and without one
// success, the vendor may refuse before its key is held to be wrong.
const refusals = 3

// DryRun asks the vendor once about each recording, at the tenant's own rate,
// and tells each, in the order of keys, what a backfill would fetch. Nothing
// is tracked, downloaded or asked of a bucket. Without keys it is everything
// that known and the configuration name. known is nil where nothing is known. A
// file that several listings name is counted once. Errors: each's, ctx's,
// known's, and a tenant whose key is refused; what the vendor says of one
// recording is in Planned.Err.
func DryRun(ctx context.Context, cfg *config.Config, o Options, known Known, keys *state.KeySet, each func(Planned) error) error {
	vendors := map[string]*meetingapi.Client{}
	for _, name := range cfg.TenantNames() {
		v, err := vendorClient(cfg.Tenants[name], o, nil)
		if err != nil {
			return fmt.Errorf("set up tenant %s: %w", name, err)
		}
		defer v.Close()
		vendors[name] = v
	}
	return dryRun(ctx, cfg, vendors, known, keys, each)
}

// dryRun is DryRun with the clients that there are.
func dryRun(ctx context.Context, cfg *config.Config, vendors map[string]*meetingapi.Client, known Known, keys *state.KeySet, each func(Planned) error) error {
	if keys.Len() == 0 {
		var err error
		if keys, err = everything(ctx, cfg, known); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	p := &planner{known: known, keys: keys, counted: map[state.FileRef]struct{}{}, refused: map[string]int{}}
	// Each question has a place in the queue, and the queue's room is what
	// limits how many are asked at once.
	queue := make(chan chan heard, cfg.Poll.Concurrency)
	asking.Go(func() {
		defer close(queue)
		for _, k := range keys.All() {
			place := make(chan heard, 1)
			select {
			case queue <- place:
				asking.Go(func() { place <- ask(ctx, vendors[k.Tenant], k) })
			case <-ctx.Done():
				return
			}
		}
	})
	for place := range queue {
		plan, err := p.plan(ctx, <-place)
		if err == nil {
			err = each(plan)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// vendorClient builds a tenant's client of the vendor's API.
func vendorClient(t *config.Tenant, o Options, observe func(call, code string, d time.Duration)) (*meetingapi.Client, error) {
	return meetingapi.New(meetingapi.Options{
		BaseURL: t.APIURL, Auth: t.AuthHeader, Origin: t.Origin, Location: t.Location, Rate: t.APIRate,
		CAFile: t.CAFile, Proxy: t.Proxy, UserAgent: o.UserAgent, Observe: observe,
	})
}

// heard is the vendor's answer about one recording.
type heard struct {
	key   state.Key
	items []meetingapi.Identified
	err   error
}

func ask(ctx context.Context, v *meetingapi.Client, k state.Key) heard {
	if v == nil {
		return heard{key: k, err: &fault.Error{Op: "ask about", Subject: k.String(), Kind: fault.NotFound, Err: errors.New("the tenant is not configured")}}
	}
	l, err := v.GetRecords(ctx, k.RecordID, meetingapi.Background)
	return heard{key: k, items: meetingapi.Identify(k.RecordID, l.Items), err: err}
}

// planner turns answers into plans, one after the other.
type planner struct {
	known   Known
	keys    *state.KeySet
	counted map[state.FileRef]struct{} // files of recordings that are not among keys
	refused map[string]int             // in a row, by tenant; -1 once its key was accepted
}

func (p *planner) plan(ctx context.Context, h heard) (Planned, error) {
	out := Planned{Key: h.key, Err: h.err}
	if h.err != nil {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		return out, p.judge(h)
	}
	p.refused[h.key.Tenant] = -1
	others := map[string]struct{}{}
	recs := map[string]state.Recording{}
	for _, it := range h.items {
		if !it.Finished() {
			out.Open++
			continue
		}
		if it.Owner != h.key.RecordID {
			others[it.Owner] = struct{}{}
			if !p.first(h.key.Tenant, it) {
				continue
			}
		}
		rec, ok := recs[it.Owner]
		if !ok {
			var err error
			if rec, err = p.recording(ctx, state.Key{Tenant: h.key.Tenant, RecordID: it.Owner}); err != nil {
				return out, err
			}
			recs[it.Owner] = rec
		}
		if verified(rec, it) {
			out.Have++
			continue
		}
		out.Files++
		out.Bytes += max(it.FileSize, 0)
		if it.FileSize < 0 {
			out.Unsized++
		}
	}
	out.Others = slices.Sorted(maps.Keys(others))
	return out, nil
}

// judge ends a dry run whose key the vendor does not accept: the same refusal
// would come for each of the others.
func (p *planner) judge(h heard) error {
	n := p.refused[h.key.Tenant]
	if fault.KindOf(h.err) != fault.Unauthorized || n < 0 {
		return nil
	}
	if n++; n >= refusals {
		return fmt.Errorf("ask about the recordings of tenant %s: %w", h.key.Tenant, h.err)
	}
	p.refused[h.key.Tenant] = n
	return nil
}

// first reports whether another recording's file counts here: its own listing
// will not be asked for, and no listing before has named it.
func (p *planner) first(tenant string, it meetingapi.Identified) bool {
	owner := state.Key{Tenant: tenant, RecordID: it.Owner}
	if _, asked := p.keys.Find(owner); asked {
		return false
	}
	ref := state.FileRef{Key: owner, FileID: it.FileID}
	_, again := p.counted[ref]
	p.counted[ref] = struct{}{}
	return !again
}

func (p *planner) recording(ctx context.Context, k state.Key) (state.Recording, error) {
	if p.known == nil {
		return state.Recording{}, nil
	}
	r, err := p.known.Get(ctx, k)
	if errors.Is(err, state.ErrNotFound) {
		return state.Recording{}, nil
	}
	return r, err
}

// verified reports whether we have the file, and the vendor lists no other
// size than it did.
func verified(r state.Recording, it meetingapi.Identified) bool {
	f, ok := r.Current(it.FileID)
	same := it.FileSize < 0 || it.FileSize == f.Size || it.FileSize == f.DeclaredSize
	return ok && f.Phase == state.Verified && same
}

func compareKeys(a, b state.Key) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.RecordID, b.RecordID))
}

// everything is what a backfill without ids follows, but for what has ended.
func everything(ctx context.Context, cfg *config.Config, known Known) (*state.KeySet, error) {
	var keys state.KeySetBuilder
	for _, name := range cfg.TenantNames() {
		for _, id := range cfg.Tenants[name].RecordIDs {
			keys.Add(state.Key{Tenant: name, RecordID: id})
		}
		q := state.Query{Tenant: name, Limit: 1000, Statuses: []state.Status{
			state.Waiting, state.Archiving, state.Archived, state.Quarantined, state.DeletionUnconfirmed,
		}}
		for more := known != nil; more; more = q.Cursor != "" {
			page, err := known.List(ctx, q)
			if err != nil {
				return nil, err
			}
			for _, r := range page.Items {
				keys.Add(r.ID())
			}
			q.Cursor = page.NextCursor
		}
	}
	return keys.Set(), nil
}
