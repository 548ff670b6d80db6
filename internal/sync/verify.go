package sync

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// Verified is what came of verifying one file.
type Verified struct {
	File     state.File // as it was looked at
	Result   string     // ResultOK, ResultMismatch or ResultFailed
	Level    state.Level
	Readback bool  // all bytes were read just now
	Err      error // why it is not ResultOK

	at state.Object // what the bucket has, where it is ResultOK
}

// Verify asks the buckets for every archived object of a recording, each where
// the file says that it lies, and compares; deep reads all bytes back. An
// object of which the bucket proves less than it did when it was archived is
// read back in any case, and so is every one under storage.verify: readback.
//
// A proof is recorded, unless it is a lesser one than the file has. An object
// that is not what was archived quarantines its file, so that a person sees it,
// the source is not deleted, and a retry fetches it anew, beside the wrong
// object; but nothing is changed of a recording whose source is being, or was,
// deleted, nor of a superseded file. What an earlier verification has
// quarantined is told again, until it is archived anew.
//
// The errors are about the recording as a whole: state.ErrNotFound, ctx's, or
// the store's; with one, the files that were looked at are returned too.
func (s *Syncer) Verify(ctx context.Context, k state.Key, deep bool) ([]Verified, error) {
	rec, err := s.o.Store.Get(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", k, err)
	}
	var out []Verified
	for _, f := range rec.Files {
		if f.Phase == state.FileQuarantined && f.Reason == state.VerifyFailed && !f.Superseded {
			out = append(out, Verified{File: f, Result: ResultMismatch, Err: fmt.Errorf("it is quarantined since this was found: %s", f.Error)})
			continue
		}
		if f.Phase != state.Verified {
			continue
		}
		v := s.verify(ctx, k.Tenant, f, deep)
		if err := ctx.Err(); err != nil {
			return out, err // whatever it looked like, it was broken off
		}
		s.proved(k.Tenant, v.Level, v.Err)
		out = append(out, v)
		if err := s.recordVerified(ctx, k, v); err != nil {
			return out, fmt.Errorf("record the verification of %s: %w", state.FileRef{Key: k, FileID: f.ID}, err)
		}
	}
	return out, nil
}

// verify looks at one object.
func (s *Syncer) verify(ctx context.Context, tenant string, f state.File, deep bool) Verified {
	v := Verified{File: f}
	p, err := s.proveAgain(ctx, tenant, f, deep)
	if err == nil {
		v.Result, v.Level, v.Readback, v.at = ResultOK, p.level, p.readback, object(p.info)
		return v
	}
	v.Result, v.Err = resultOf(err), err
	return v
}

// proveAgain proves a verified file's object once more.
func (s *Syncer) proveAgain(ctx context.Context, tenant string, f state.File, deep bool) (proof, error) {
	d, err := s.whereIs(tenant, f)
	if err != nil {
		return proof{}, err
	}
	if t := s.tenants[tenant]; t != nil && t.Readback {
		deep = true
	}
	caps, err := s.proofs.of(ctx, f.Dest, d)
	if err != nil {
		return proof{}, err
	}
	want := expectation{
		key: f.Key, versionID: f.Object.VersionID, size: f.Size, sums: f.Sums, parts: f.Parts,
	}
	p, err := prove(ctx, d, caps, want, deep)
	if err == nil && !p.readback && !suffices(p, f) {
		want.seen = &p.info
		p, err = prove(ctx, d, caps, want, true)
	}
	if fault.KindOf(err) == fault.Corrupt {
		// HEAD of an object says the same of a bucket that is gone.
		if cerr := d.Check(ctx); cerr != nil {
			return p, cerr
		}
	}
	return p, err
}

// suffices reports whether a proof without reading is as good as the one that
// the file has. Parts that the bucket checked are those of that very object.
func suffices(p proof, f state.File) bool {
	if p.level == state.LevelParts && !f.Object.Same(object(p.info)) {
		return false
	}
	return strength(p.level) >= strength(f.Level)
}

// strength orders the levels.
func strength(l state.Level) int {
	switch l {
	case state.LevelFullObject:
		return 3
	case state.LevelReadback:
		return 2
	case state.LevelParts:
		return 1
	default:
		return 0
	}
}

// recordVerified writes what a verification means for the file, if that is
// still the one that was looked at.
func (s *Syncer) recordVerified(ctx context.Context, k state.Key, v Verified) error {
	if v.Result == ResultFailed {
		return nil
	}
	bad := false
	_, err := s.o.Store.Update(ctx, k, func(r state.Recording) ([]state.Change, error) {
		bad = false
		f, ok := r.File(v.File.ID)
		if !ok || f.Phase != state.Verified || f.Sums != v.File.Sums || f.Key != v.File.Key {
			return nil, nil // it moved on meanwhile
		}
		if v.Result == ResultMismatch {
			bad = !f.Superseded && r.Status != state.Deleting && r.Status != state.SourceDeleted
			if !bad {
				return nil, nil
			}
			return []state.Change{state.QuarantineFile{
				FileID: f.ID, Reason: state.VerifyFailed, Detail: v.Err.Error(), Aborted: true,
			}}, nil
		}
		return v.proven(f), nil
	})
	if bad && err == nil {
		s.o.Logger.Error("quarantined", zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID),
			zap.String("file_id", v.File.ID), zap.String("reason", string(state.VerifyFailed)), zap.Error(v.Err))
	}
	if errors.Is(err, state.ErrNotFound) {
		return nil // untracked meanwhile
	}
	return err
}

// proven returns the change that records a proof, none if it brings nothing
// new. A file that a bucket proved by itself keeps that level where the bucket
// no longer does: a person has to look before its source is deleted.
func (v Verified) proven(f state.File) []state.Change {
	if strength(v.Level) < strength(f.Level) || !v.Readback && v.Level == f.Level && f.Object.Same(v.at) {
		return nil
	}
	return []state.Change{state.Verify{FileID: f.ID, Level: v.Level, Object: v.at, Readback: v.Readback}}
}

// whereIs leads to the bucket that has a file. The tenant need not be
// configured any more if its bucket is.
func (s *Syncer) whereIs(tenant string, f state.File) (Destination, error) {
	t := s.tenants[tenant]
	if t == nil {
		t = &Tenant{}
	}
	if d, ok := s.destination(t, f.Dest); ok {
		return d, nil
	}
	return nil, unconfigured("look at", f.Key, f.Dest)
}

// unconfigured says that nobody writes to a file's bucket any more.
func unconfigured(op, subject string, d state.Destination) error {
	return &fault.Error{
		Op: op, Subject: subject, Kind: fault.Forbidden,
		Err:  fmt.Errorf("destination_unconfigured: bucket %s is no longer in the configuration", d.Bucket),
		Hint: "put the bucket back into the configuration",
	}
}

// Open returns the archived bytes of a stored or verified file from offset on,
// from where the file says that they lie, and the file. The object is pinned
// to what was archived: fault.Changed if it is another one by now. The reader
// takes nothing from the part pool and must be closed. Errors are
// state.ErrNotFound (no such recording, file, or nothing stored of it yet),
// *fault.Error, or the store's.
func (s *Syncer) Open(ctx context.Context, ref state.FileRef, offset int64) (io.ReadCloser, state.File, error) {
	rec, err := s.o.Store.Get(ctx, ref.Key)
	if err != nil {
		return nil, state.File{}, fmt.Errorf("open %s: %w", ref, err)
	}
	f, ok := rec.File(ref.FileID)
	if !ok || f.Phase != state.Stored && f.Phase != state.Verified {
		return nil, f, fmt.Errorf("open %s: the bucket has nothing of it: %w", ref, state.ErrNotFound)
	}
	d, err := s.whereIs(ref.Tenant, f)
	if err != nil {
		return nil, f, err
	}
	body, _, err := d.Get(ctx, f.Key, f.Object.VersionID, offset, f.Object.ETag)
	if err != nil {
		return nil, f, fmt.Errorf("open %s: %w", ref, err)
	}
	return body, f, nil
}
