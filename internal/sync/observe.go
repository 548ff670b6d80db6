package sync

import (
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// The sides on which something is tried again.
const (
	SideSource = "source"
	SideBucket = "bucket"
)

// Why a link is asked for.
const (
	RefreshMissing = "missing" // none is known: the file is new here, or we were restarted
	RefreshExpired = "expired" // the known one ends soon
	RefreshRefused = "refused" // the source does not take it any more: 401, 403 or 410
	RefreshDoubted = "doubted" // the file's size is looked up once more
)

// The results of a verification.
const (
	ResultOK       = "ok"
	ResultMismatch = "mismatch" // the bucket has something else, or nothing
	ResultFailed   = "failed"   // it could not be found out now
)

// nobody is the observer of who counts nothing.
type nobody struct{}

func (nobody) SourceRead(string, int)                   {}
func (nobody) BucketTook(string, int64)                 {}
func (nobody) FileStored(string, int64, time.Duration)  {}
func (nobody) Retried(string, string)                   {}
func (nobody) LinkRefreshed(string, string)             {}
func (nobody) Verification(string, state.Level, string) {}

// resultOf says what an error of a proof means; nil: ok.
func resultOf(err error) string {
	switch fault.KindOf(err) {
	case "":
		return ResultOK
	case fault.Corrupt:
		return ResultMismatch
	default:
		return ResultFailed
	}
}

// proved counts a verification, unless it was only broken off.
func (s *Syncer) proved(tenant string, level state.Level, err error) {
	if fault.KindOf(err) != fault.Canceled {
		s.o.Observer.Verification(tenant, level, resultOf(err))
	}
}
