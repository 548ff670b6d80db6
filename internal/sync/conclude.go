package sync

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

// sideError says what a file is quarantined for if a failure lasts, and with
// that on which side it happened.
type sideError struct {
	reason state.Reason
	err    error
	over   bool // the bytes or the parts are wrong: the next attempt must not go on from them
}

func (e *sideError) Error() string { return e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

func (e *sideError) side() string {
	if e.reason == state.UploadFailed || e.reason == state.VerifyFailed {
		return SideBucket
	}
	return SideSource
}

func fromSource(err error) error { return &sideError{reason: state.DownloadFailed, err: err} }
func fromBucket(err error) error { return &sideError{reason: state.UploadFailed, err: err} }
func fromProof(err error) error  { return &sideError{reason: state.VerifyFailed, err: err} }
func badContent(err error) error { return &sideError{reason: state.BadContent, err: err, over: true} }

func badParts(err error) error { return &sideError{reason: state.UploadFailed, err: err, over: true} }

// vendorError is an answer of the vendor's API to a link refresh.
type vendorError struct{ err error }

func (e *vendorError) Error() string { return e.err.Error() }
func (e *vendorError) Unwrap() error { return e.err }

// startOver says that what was transferred is of no use any more.
type startOver struct{ why string }

func (e *startOver) Error() string { return e.why }

// errDone says that the state already tells what comes next.
var errDone = errors.New("settled")

// conclude records what a failure means for the file: the one place that
// decides it. A failure of the bucket as a whole, or of the vendor's API, is
// not held against the file.
func (x *transfer) conclude(ctx context.Context, err error) {
	if ctx.Err() != nil || x.reading.Err() != nil && fault.KindOf(err) == fault.Canceled {
		return // we were told to stop; recovery goes on from the recorded parts
	}
	if errors.Is(err, state.ErrNotFound) {
		return // untracked meanwhile
	}
	change, cerr := x.consequence(ctx, err)
	if cerr != nil {
		x.log.Error("clean up after a failed attempt", zap.NamedError("after", err), zap.Error(cerr))
		at, bad := x.bucketDown(ctx, x.ref.Tenant, x.f.Dest, x.dest, cerr)
		if !bad {
			at = x.later(1, cerr)
		}
		change = state.Fail{FileID: x.f.ID, Error: err.Error(), RetryAt: at}
	}
	uerr := x.update(ctx, change)
	switch {
	case uerr == nil || ctx.Err() != nil:
	case errors.Is(uerr, state.ErrIllegal):
		x.log.Info("the file moved on meanwhile", zap.NamedError("after", err), zap.Error(uerr))
	default:
		// The state cannot be written (a full disk): the file is due again at
		// once, so wait here.
		x.unwritten.Store(true)
		x.log.Error("record a failed attempt", zap.NamedError("after", err), zap.Error(uerr))
		_ = sleep(x.reading, x.backoff(3, uerr)) // ended early: we are stopping
	}
}

func (x *transfer) later(n int, err error) time.Time { return x.o.Clock().Add(x.backoff(n, err)) }

// consequence turns a failure into the change that records it. Its own error
// means that an upload could not be aborted.
func (x *transfer) consequence(ctx context.Context, err error) (state.Change, error) {
	var (
		over   *startOver
		retake *retakeError
		vendor *vendorError
		down   *hostDownError
		side   *sideError
	)
	switch {
	case errors.Is(err, errOccupied):
		x.log.Warn("an object that is not this file lies at its key", zap.String("key", x.f.Key))
		return state.Rekey{FileID: x.f.ID, Keys: x.otherKeys()}, x.abort(ctx)
	case errors.As(err, &over) && x.f.Upload != nil && x.f.Upload.ID == "":
		return x.unopened(ctx, over.why)
	case errors.As(err, &over):
		return x.startsOver(ctx, over.why, "", x.f.Attempts+x.f.Retakes)
	case errors.As(err, &retake):
		x.log.Warn("content is suspect, fetched again", zap.String("why", retake.why))
		return x.startsOver(ctx, retake.why, retake.why, 0)
	case errors.As(err, &vendor):
		return x.linkFailed(vendor.err), nil
	case errors.As(err, &down):
		return state.Fail{FileID: x.f.ID, Error: down.Error(), RetryAt: down.until}, nil
	case errors.As(err, &side):
		return x.failed(ctx, side)
	}
	if _, ok := errors.AsType[*probeError](err); ok {
		until, _ := x.bucketDown(ctx, x.ref.Tenant, x.f.Dest, x.dest, err)
		return state.Fail{FileID: x.f.ID, Error: err.Error(), RetryAt: until}, nil
	}
	if fault.KindOf(err) == fault.Forbidden { // its bucket is not configured
		return state.Fail{FileID: x.f.ID, Error: err.Error(), RetryAt: x.o.Clock().Add(maxBackoff)}, nil
	}
	if !errors.Is(err, state.ErrIllegal) {
		x.log.Error("archive", zap.Error(err)) // the state, most likely
	}
	return state.Fail{FileID: x.f.ID, Error: err.Error(), RetryAt: x.later(1, err)}, nil
}

// otherKeys are where a file goes whose key is taken by an object of others.
func (x *transfer) otherKeys() []string {
	var keys []string
	base := x.f.Key
	for _, id := range []string{x.f.ID, x.f.ID + "-b", x.f.ID + "-c", x.f.ID + "-d", x.f.ID + "-e"} {
		if k := objectkey.WithFileID(base, id); k != x.f.Key {
			keys = append(keys, k)
		}
	}
	return keys
}

// startsOver drops what was transferred. The n-th time in a row it waits
// longer, and in the end gives up.
func (x *transfer) startsOver(ctx context.Context, why, suspect string, n int) (state.Change, error) {
	if err := x.abort(ctx); err != nil {
		return nil, err
	}
	if x.f.Retakes >= x.o.MaxAttempts {
		return state.QuarantineFile{FileID: x.f.ID, Reason: state.DownloadFailed, Detail: why, Aborted: true}, nil
	}
	var at time.Time
	if n > 0 {
		at = x.later(n, nil)
	}
	return state.Restart{FileID: x.f.ID, Detail: why, Suspect: suspect, RetryAt: at}, nil
}

// unopened drops an upload whose ID was not recorded. However often that is, it
// is held against nobody: we were killed, or the answer was lost, and that has
// been counted as an attempt.
func (x *transfer) unopened(ctx context.Context, why string) (state.Change, error) {
	if err := x.abort(ctx); err != nil {
		return nil, err
	}
	var at time.Time
	if n := x.f.Attempts; n > 0 {
		at = x.later(n, nil)
	}
	return state.Restart{FileID: x.f.ID, Detail: why, RetryAt: at}, nil
}

// linkFailed waits for the vendor's API; the poller knows what its answer
// means for the recording.
func (x *transfer) linkFailed(err error) state.Change {
	wait := x.backoff(4, err)
	switch fault.KindOf(err) {
	case fault.Unauthorized: // the tenant is suspended; the poller probes
		wait = x.backoff(6, err)
	case fault.NotFound:
		wait = x.o.Settle/3 + time.Second // three listings over settle decide whether it is gone
	default:
	}
	return state.Fail{FileID: x.f.ID, Error: err.Error(), RetryAt: x.o.Clock().Add(wait)}
}

// failed weighs a failure of the source or the bucket.
func (x *transfer) failed(ctx context.Context, e *sideError) (state.Change, error) {
	if e.side() == SideBucket {
		alone := fault.KindOf(e.err) == fault.Unauthorized && x.gate.alone(x.ref, x.f.Dest)
		if !alone {
			if until, bad := x.bucketDown(ctx, x.ref.Tenant, x.f.Dest, x.dest, e.err); bad {
				x.o.Observer.Retried(x.ref.Tenant, e.side())
				return state.Fail{FileID: x.f.ID, Error: e.Error(), RetryAt: until}, nil
			}
		}
	}
	attempt := x.f.Attempts + 1
	again := e.over && x.f.Upload != nil
	if again { // each new part ends a row of attempts; Retakes count on
		attempt = max(attempt, x.f.Retakes+1)
	}
	hopeless := fault.KindOf(e.err) == fault.Forbidden || fault.KindOf(e.err) == fault.Rejected
	if hopeless || attempt >= x.o.MaxAttempts {
		x.log.Error("quarantined", zap.String("reason", string(e.reason)), zap.Error(e.err))
		return state.QuarantineFile{FileID: x.f.ID, Reason: e.reason, Detail: e.Error(), Aborted: x.f.Upload != nil}, x.abort(ctx)
	}
	x.log.Warn("attempt failed", zap.Int("attempt", attempt), zap.Error(e.err))
	x.o.Observer.Retried(x.ref.Tenant, e.side())
	if again {
		return x.startsOver(ctx, e.Error(), "", attempt)
	}
	return state.Fail{FileID: x.f.ID, Error: e.Error(), RetryAt: x.later(attempt, e.err), Counts: true}, nil
}

// probeError is a probe that failed: it is about the bucket, never a file.
type probeError struct{ err error }

func (e *probeError) Error() string { return e.err.Error() }
func (e *probeError) Unwrap() error { return e.err }

// bucketDown finds out whether a failure is the bucket's and not the file's:
// it refuses us, or it does not even answer the question whether it is there.
// Then its transfers pause and the file is not blamed.
func (s *Syncer) bucketDown(ctx context.Context, tenant string, at state.Destination, d Prober, err error) (until time.Time, down bool) {
	_, probe := errors.AsType[*probeError](err)
	why := err
	switch kind := fault.KindOf(err); {
	case probe, kind == fault.Unauthorized:
	case kind == fault.Temporary, kind == fault.Ambiguous, kind == fault.NotFound, kind == fault.Corrupt:
		// HEAD of an object says the same of a bucket that is gone.
		if why = d.Check(ctx); why == nil {
			return time.Time{}, false
		}
	default:
		return time.Time{}, false
	}
	until, news := s.gate.pause(tenant, at, why)
	if news {
		s.o.Logger.Error("bucket refuses us, its transfers pause; nothing is discarded",
			zap.String("tenant", tenant), zap.String("bucket", at.Bucket), zap.Time("until", until), zap.Error(why))
	}
	return until, true
}

// works notes that the bucket answered well; file: that it took a whole file.
func (s *Syncer) works(tenant string, at state.Destination, file bool) {
	if s.gate.open(tenant, at, file) {
		s.o.Logger.Info("bucket works again, transfers go on", zap.String("tenant", tenant), zap.String("bucket", at.Bucket))
	}
}
