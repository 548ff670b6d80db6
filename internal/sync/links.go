package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// linkMargin is how long before its expiry a link is no longer begun with.
const linkMargin = time.Minute

// maxLinks bounds the cache; a recording that falls out is asked about again.
const maxLinks = 4096

// Links keeps the download URLs of recent listings. They are bearer secrets,
// so they live in memory alone and are asked for again after a restart.
type Links struct {
	// ask polls one recording now: it records the listing in the state and
	// hands it to Seen. The poller does it, so that every listing, whoever
	// asked for it, goes through the same rules.
	ask   func(ctx context.Context, k state.Key) error
	clock func() time.Time
	// refreshing is told of each link that is asked for, and why.
	refreshing func(tenant, reason string)

	flight singleflight.Group

	mu    sync.Mutex
	seq   uint64
	byKey map[state.Key]map[string]link // recording, then identity of the file
	order []state.Key                   // oldest first
}

type link struct {
	url     string
	expires time.Time // zero: not known
	seq     uint64    // number of the listing that brought it
}

// NewLinks returns an empty cache; SetAsk must be called before it is used.
// refreshing is told of each link that is asked for, and why; nil: nobody counts.
func NewLinks(clock func() time.Time, refreshing func(tenant, reason string)) *Links {
	if refreshing == nil {
		refreshing = nobody{}.LinkRefreshed
	}
	return &Links{clock: clock, refreshing: refreshing, byKey: map[state.Key]map[string]link{}}
}

// SetAsk says how a recording is polled. Poller and syncer need each other
// here; this is the one knot, tied once by whoever builds both.
func (l *Links) SetAsk(ask func(ctx context.Context, k state.Key) error) { l.ask = ask }

// Seen takes the URLs of a fresh listing.
func (l *Links) Seen(asked state.Key, listing meetingapi.Listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	byOwner := map[state.Key]map[string]link{}
	for _, it := range meetingapi.Identify(asked.RecordID, listing.Items) {
		if !it.Finished() {
			continue
		}
		k := state.Key{Tenant: asked.Tenant, RecordID: it.Owner}
		if byOwner[k] == nil {
			byOwner[k] = map[string]link{}
		}
		e, _ := meetingapi.Expiry(it.DownURL)
		byOwner[k][it.FileID] = link{url: it.DownURL, expires: e, seq: l.seq}
	}
	l.drop(asked)
	for k, m := range byOwner {
		if old := l.byKey[k]; old != nil {
			maps.Copy(old, m) // another recording's listing may name only some
			continue
		}
		l.byKey[k] = m
		l.order = append(l.order, k)
	}
	for len(l.order) > maxLinks {
		l.drop(l.order[0])
	}
}

func (l *Links) drop(k state.Key) {
	if _, ok := l.byKey[k]; !ok {
		return
	}
	delete(l.byKey, k)
	for i, o := range l.order {
		if o == k {
			l.order = append(l.order[:i], l.order[i+1:]...)
			return
		}
	}
}

// Get returns a URL for the file, asking the vendor where none is known that
// lasts. Several files of one recording that need one at the same time share
// one call. adoptedFrom, if not "", is the recording whose listing named this
// one: it is asked where the recording's own listing does not name the file.
// fault.NotFound: the vendor does not list the file now.
func (l *Links) Get(ctx context.Context, f state.FileRef, adoptedFrom string) (string, error) {
	k, ok := l.known(f)
	switch {
	case !ok:
		return l.Refresh(ctx, f, adoptedFrom, RefreshMissing)
	case k.expires.IsZero() || l.clock().Add(linkMargin).Before(k.expires):
		return k.url, nil
	}
	return l.Refresh(ctx, f, adoptedFrom, RefreshExpired)
}

// Refresh is Get without looking at what is known: the listing is fresh. The
// reason, one of those named Refresh…, is for who counts.
func (l *Links) Refresh(ctx context.Context, f state.FileRef, adoptedFrom, reason string) (string, error) {
	l.refreshing(f.Tenant, reason)
	asks := []state.Key{f.Key}
	if adoptedFrom != "" {
		asks = append(asks, state.Key{Tenant: f.Tenant, RecordID: adoptedFrom})
	}
	var failed error
	for _, k := range asks {
		url, err := l.fresh(ctx, f, k)
		if url != "" {
			return url, nil
		}
		if failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return "", fmt.Errorf("refresh the link of %s: %w", f, failed)
	}
	return "", &fault.Error{
		Op: "refresh the link of", Subject: f.String(), Kind: fault.NotFound,
		Err: errors.New("the vendor does not list the file now"),
	}
}

// fresh asks about k and returns the link of f that this answer brought, ""
// if it brought none.
func (l *Links) fresh(ctx context.Context, f state.FileRef, k state.Key) (string, error) {
	l.mu.Lock()
	before := l.seq
	l.mu.Unlock()
	for range 2 {
		_, err, shared := l.flight.Do(k.String(), func() (any, error) { return nil, l.ask(ctx, k) })
		// A link that was signed just now is used whatever it says of its
		// expiry: clocks differ, and a short life is still a life.
		if n, ok := l.known(f); ok && n.seq > before {
			return n.url, nil
		}
		if err != nil || !shared || ctx.Err() != nil {
			return "", err
		}
		// The shared call may have been answered before we began; the next one
		// begins after this, whoever makes it.
	}
	return "", nil
}

func (l *Links) known(f state.FileRef) (link, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.byKey[f.Key][state.Identity(f.FileID)]
	return k, ok
}
