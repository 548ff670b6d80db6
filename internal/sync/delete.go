package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

const (
	// warrantLife is how old evidence may be when delRecordFile is called.
	warrantLife = 30 * time.Second
	// minDeleteWait and maxDeleteWait bound the wait before a new warrant.
	minDeleteWait = 30 * time.Second
	maxDeleteWait = time.Hour
)

// warrant is a stored warrant. Only issue makes one, and delRecordFile is
// called by execute alone, which takes it: nothing else can delete a source.
type warrant struct {
	state.Warrant
	expires time.Time
}

// refusal says which clause of promise 1 does not hold now.
type refusal struct{ why string }

func (e *refusal) Error() string { return e.why }

func refuse(format string, a ...any) error { return &refusal{fmt.Sprintf(format, a...)} }

// errNoMore says that the tenant has no deletion to make now.
var errNoMore = errors.New("no more deletions now")

// errGone says that the vendor lists nothing of the recording any more, and a
// warrant of ours explains it.
var errGone = errors.New("the source is gone under our warrant")

// errManifestFirst says that the read-back has changed what the manifest tells;
// once that is written, the recording is due again.
var errManifestFirst = errors.New("the manifest is to be written first")

// deleteSource removes one recording at the vendor if every clause of promise
// 1 holds. more is false where no other recording of the tenant should be
// tried now.
func (s *Syncer) deleteSource(ctx context.Context, t *Tenant, k state.Key) (more bool) {
	rec, err := s.o.Store.Get(ctx, k)
	if err != nil {
		return false
	}
	w, err := s.issue(ctx, t, rec)
	switch {
	case err == nil:
		cerr := s.execute(ctx, t, w)
		s.outcome(ctx, t, k, w.Warrant, cerr)
		return true
	case errors.Is(err, errNoMore) || ctx.Err() != nil:
		return false
	case errors.Is(err, errManifestFirst):
		hint(s.sealing[t.Name])
		return true
	case errors.Is(err, errGone):
		s.put.put(state.WorkDelete, k) // should the outcome not come to be recorded
		if w, err = s.stored(ctx, rec); err == nil {
			s.outcome(ctx, t, k, w.Warrant, nil)
		}
		return true
	}
	s.postpone(ctx, t, k, err)
	return true
}

// issue gathers the evidence, in the order of promise 1, and stores the
// warrant. Copies that have to be read back first, which takes long, are read
// back outside of the evidence's 30 s, and then everything is asked again.
func (s *Syncer) issue(ctx context.Context, t *Tenant, rec state.Recording) (warrant, error) {
	w, e, err := s.evidence(ctx, t, rec)
	if errors.Is(err, errUnread) {
		if err := e.readBack(ctx); err != nil {
			return warrant{}, err
		}
		if rec, err = s.o.Store.Get(ctx, rec.ID()); err != nil {
			return warrant{}, err
		}
		if rec.Manifest.Due {
			return warrant{}, errManifestFirst
		}
		w, e, err = s.evidence(ctx, t, rec)
	}
	if err != nil {
		return warrant{}, err
	}
	permit := func() error {
		if !t.Delete().Enabled {
			return errors.New("delete_source.enabled was turned off")
		}
		return nil
	}
	if _, err := s.o.Store.StoreWarrant(ctx, w, e.policy.MaxPerHour, permit); err != nil {
		var refused *state.WarrantRefused
		if errors.As(err, &refused) && (refused.Clause == "limit" || refused.Clause == "disabled") {
			return warrant{}, errNoMore
		}
		return warrant{}, err
	}
	s.o.Logger.Info("warrant stored", zap.String("tenant", t.Name), zap.String("record_id", w.RecordID),
		zap.String("warrant", w.ID), zap.Int("files", len(w.Evidence)))
	return warrant{Warrant: w, expires: e.start.Add(warrantLife)}, nil
}

// evidence asks everybody once.
func (s *Syncer) evidence(ctx context.Context, t *Tenant, rec state.Recording) (state.Warrant, *evidence, error) {
	p, err := s.mayDelete(ctx, t, rec)
	if err != nil {
		return state.Warrant{}, nil, err
	}
	e := &evidence{s: s, t: t, policy: p, start: s.o.Clock(), recs: map[string]state.Recording{}}
	w, err := e.gather(ctx, rec)
	return w, e, err
}

// mayDelete holds the clauses of promise 1 that need nobody else.
func (s *Syncer) mayDelete(ctx context.Context, t *Tenant, rec state.Recording) (DeletePolicy, error) {
	p := t.Delete()
	now := s.o.Clock()
	switch {
	case !p.Enabled:
		return p, errNoMore
	case rec.Hold:
		return p, refuse("it is on hold")
	case !rec.Deletable():
		return p, refuse("it is %s, or a file is marked, or its manifest is not written", rec.Status)
	case now.Before(rec.VerifiedAt().Add(p.After)):
		return p, refuse("the grace time is not over")
	}
	n, err := s.o.Store.WarrantsSince(ctx, t.Name, now.Add(-time.Hour))
	if err != nil {
		return p, err
	}
	if n >= p.MaxPerHour {
		return p, errNoMore
	}
	return p, nil
}

// execute calls delRecordFile, once. The call may have to wait its turn under
// api_rate; it is given up, or its answer is, before the evidence is too old.
func (s *Syncer) execute(ctx context.Context, t *Tenant, w warrant) error {
	ctx, cancel := context.WithTimeout(ctx, w.expires.Sub(s.o.Clock()))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the evidence of warrant %s was older than %s before the call could be made: %w", w.ID, warrantLife, err)
	}
	return t.Vendor.DelRecordFile(ctx, w.RecordID, func() error {
		if t.Delete().Enabled {
			return nil
		}
		return &fault.Error{
			Op: "delete the source of", Subject: w.RecordID, Kind: fault.Forbidden,
			Err: errors.New("delete_source.enabled was turned off after the warrant was stored"),
		}
	})
}

// confirm settles a warrant whose outcome is not known, because we were
// stopped or the vendor did not answer.
func (s *Syncer) confirm(ctx context.Context, t *Tenant, k state.Key) (more bool) {
	rec, err := s.o.Store.Get(ctx, k)
	if err != nil || rec.Status != state.Deleting {
		return err == nil
	}
	w, err := s.stored(ctx, rec)
	if err != nil {
		s.put.put(state.WorkConfirm, k)
		return true
	}
	s.outcome(ctx, t, k, w.Warrant, nil)
	return true
}

// stored returns the recording's last warrant, which permits nothing any more.
func (s *Syncer) stored(ctx context.Context, rec state.Recording) (warrant, error) {
	w, err := s.o.Store.Warrant(ctx, rec.Tenant, rec.Deletion.WarrantID)
	if err != nil {
		s.o.Logger.Error("read the warrant", zap.String("tenant", rec.Tenant), zap.String("record_id", rec.RecordID), zap.Error(err))
	}
	return warrant{Warrant: w}, err
}

// outcome asks the vendor what is left after a call and records it. callErr is
// what the call answered; nil if it claimed success or nobody knows.
func (s *Syncer) outcome(ctx context.Context, t *Tenant, k state.Key, w state.Warrant, callErr error) {
	log := s.o.Logger.With(zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID), zap.String("warrant", w.ID))
	void := callErr != nil && fault.KindOf(callErr) != fault.Ambiguous
	left, gone, err := s.whatIsLeft(ctx, t, k, w)
	if err != nil && void {
		left, err = true, nil // the call is known to have had no effect
	}
	if err != nil {
		s.put.put(state.WorkConfirm, k)
		log.Warn("ask whether the source is deleted", zap.Error(err))
		return
	}
	failed := ""
	if callErr != nil {
		failed = callErr.Error()
	}
	// The others first: it is k's own status that brings us here again, should
	// we be stopped in between.
	for _, id := range gone {
		s.deletedToo(ctx, state.Key{Tenant: k.Tenant, RecordID: id}, w)
	}
	after, err := s.o.Store.Update(ctx, k, func(r state.Recording) ([]state.Change, error) {
		wait, from := s.deleteWait(t, r, callErr)
		switch {
		case !left:
			return []state.Change{state.Deleted{WarrantID: w.ID}}, nil
		case failed != "":
			// Where it is known to have had no effect, the warrant explains
			// nothing that vanishes later.
			return []state.Change{state.DeletionFailed{Detail: failed, EligibleFrom: from, Backoff: wait, Void: void}}, nil
		}
		const still = "the vendor still lists files of it after delRecordFile"
		if r.Status != state.Deleting { // an older warrant, looked at once more
			return []state.Change{state.DeletionFailed{Detail: still, EligibleFrom: from, Backoff: wait}}, nil
		}
		return []state.Change{state.Unconfirmed{Detail: still, EligibleFrom: from, Backoff: wait}}, nil
	})
	if err != nil {
		log.Error("record the outcome of a deletion", zap.Error(err))
		s.put.put(state.WorkConfirm, k)
		return
	}
	if failed != "" && after.Deletion.WarrantID == "" {
		s.voidToo(ctx, t, k, w)
	}
	log.Info("deletion at the vendor", zap.String("status", string(after.Status)), zap.NamedError("call", callErr))
}

// whatIsLeft asks whether files of k are still listed, by itself or by the
// recording that the warrant named, and which of the others are gone with it.
func (s *Syncer) whatIsLeft(ctx context.Context, t *Tenant, k state.Key, w state.Warrant) (left bool, gone []string, err error) {
	l, err := s.relist(ctx, t, k.RecordID)
	if err != nil {
		return false, nil, err
	}
	if w.RecordID != k.RecordID {
		of, err := s.relist(ctx, t, w.RecordID)
		return lists(l, k.RecordID) || names(of, w.RecordID, k.RecordID), nil, err
	}
	gone, err = s.alsoGone(ctx, t, w, k.RecordID, l)
	return lists(l, k.RecordID), gone, err
}

// deletedToo records that a recording which the warrant covers went with it.
func (s *Syncer) deletedToo(ctx context.Context, k state.Key, w state.Warrant) {
	_, err := s.o.Store.Update(ctx, k, state.Do(state.Deleted{WarrantID: w.ID}))
	if err != nil && !errors.Is(err, state.ErrIllegal) {
		s.o.Logger.Error("record the outcome of a deletion", zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID), zap.Error(err))
	}
}

// voidToo takes a warrant that led to nothing from the other recordings that it
// covers: it explains nothing that vanishes later.
func (s *Syncer) voidToo(ctx context.Context, t *Tenant, k state.Key, w state.Warrant) {
	for _, id := range w.Covers {
		if id == k.RecordID {
			continue
		}
		other := state.Key{Tenant: t.Name, RecordID: id}
		_, err := s.o.Store.Update(ctx, other, state.Do(state.Void{WarrantID: w.ID}))
		if err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrIllegal) {
			s.o.Logger.Error("void the warrant of a covered recording", zap.String("tenant", t.Name), zap.String("record_id", id), zap.Error(err))
		}
	}
}

// relist asks what the vendor lists under a recordId after a deletion. It may
// answer [], null, other recordings' items, 400 or 200008.
func (s *Syncer) relist(ctx context.Context, t *Tenant, recordID string) (meetingapi.Listing, error) {
	l, err := t.Vendor.GetRecords(ctx, recordID, meetingapi.Urgent)
	if isGone(err) {
		return meetingapi.Listing{}, nil
	}
	return l, err
}

// isGone reports an answer to getRecords that lists nothing after a deletion.
func isGone(err error) bool {
	return errors.Is(err, meetingapi.ErrBadParameters) || errors.Is(err, meetingapi.ErrNoSuchConference)
}

// lists reports whether a recording's own listing has a file of it.
func lists(l meetingapi.Listing, recordID string) bool { return names(l, recordID, recordID) }

// names reports whether the listing of one recording has a file of another.
func names(l meetingapi.Listing, asked, recordID string) bool {
	return slices.ContainsFunc(meetingapi.Identify(asked, l.Items), func(it meetingapi.Identified) bool { return it.Owner == recordID })
}

// alsoGone returns the other recordings that the warrant covers and that are
// no longer listed: not by themselves, and not by the listing of the recording
// that was deleted, which may be the only one that ever named them.
func (s *Syncer) alsoGone(ctx context.Context, t *Tenant, w state.Warrant, deleted string, left meetingapi.Listing) ([]string, error) {
	var gone []string
	for _, id := range w.Covers {
		if id == deleted || names(left, deleted, id) {
			continue
		}
		l, err := s.relist(ctx, t, id)
		switch fault.KindOf(err) {
		case "":
			if !lists(l, id) {
				gone = append(gone, id)
			}
		case fault.Temporary, fault.Canceled:
			return nil, err
		default: // it will not be answered later either; its own polls go on
		}
	}
	return gone, nil
}

// postpone records why no warrant was issued and when it is tried again.
func (s *Syncer) postpone(ctx context.Context, t *Tenant, k state.Key, why error) {
	if changed, ok := errors.AsType[*sourceChanged](why); ok {
		if err := s.archiveAgain(ctx, changed); err == nil {
			return // it is archiving again, and so no longer deletable
		}
	}
	_, err := s.o.Store.Update(ctx, k, func(r state.Recording) ([]state.Change, error) {
		wait, from := s.deleteWait(t, r, why)
		return []state.Change{state.DeletionFailed{Detail: why.Error(), EligibleFrom: from, Backoff: wait}}, nil
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrIllegal) {
		s.o.Logger.Error("postpone a deletion", zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID), zap.Error(err))
		s.put.put(state.WorkDelete, k)
	}
	if _, ok := errors.AsType[*refusal](why); ok {
		// The listing may have told something new: let it be recorded.
		_ = s.o.Links.ask(ctx, k) // a hint; the poller comes by itself later
	}
	s.o.Logger.Info("source not deleted", zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID), zap.Error(why))
}

// deleteWait returns the wait before the recording's next warrant and from
// when, grace included, that makes it eligible: later if the vendor asked for
// more patience in why.
func (s *Syncer) deleteWait(t *Tenant, r state.Recording, why error) (wait time.Duration, from time.Time) {
	wait = min(max(r.Deletion.Backoff*2, minDeleteWait), maxDeleteWait)
	return wait, s.o.Clock().Add(max(wait, fault.RetryAfterOf(why)) - t.Delete().After)
}
