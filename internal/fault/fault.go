// Package fault is the one error vocabulary of the archiver.
//
// Whatever talks to the outside (the vendor's API, a download host, the
// bucket) returns *Error: what was being done (Op), to what (Subject), which
// decision it calls for (Kind), and what a person can do about it (Hint).
// Callers never look at texts or status codes: they ask KindOf.
package fault

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Kind says what the caller has to do. It is the only place where "try
// again?" is answered.
type Kind string

// The kinds, from harmless to final.
const (
	// Temporary: the same call may succeed later; back off, honour RetryAfter.
	Temporary Kind = "temporary"
	// NotReady: nothing is wrong, there is just nothing yet.
	NotReady Kind = "not_ready"
	// LinkExpired: the presigned URL is used up; ask getRecords for a fresh
	// one and go on at the same offset.
	LinkExpired Kind = "link_expired"
	// Changed: what is there now is not the version that was asked for.
	Changed Kind = "changed"
	// Exists: a condition kept us from overwriting something that is there.
	Exists Kind = "exists"
	// NotFound: it is not there (recording, object or multipart upload).
	NotFound Kind = "not_found"
	// Corrupt: bytes arrived that are not the bytes that were sent or meant.
	Corrupt Kind = "corrupt"
	// Ambiguous: the call may or may not have taken effect; ask, never guess.
	Ambiguous Kind = "ambiguous"
	// Unauthorized: the other side refuses our credentials, rights or quota.
	// It is about a tenant or a bucket, not about one recording: suspend.
	Unauthorized Kind = "unauthorized"
	// BadRequest: the vendor refused the parameters (code 400); permanent
	// only when it is repeated.
	BadRequest Kind = "bad_request"
	// Rejected: final, and about this recording or conference alone.
	Rejected Kind = "rejected"
	// Forbidden: our own policy does not allow it (a download address).
	Forbidden Kind = "forbidden"
	// Canceled: we were told to stop; says nothing about the subject.
	Canceled Kind = "canceled"
)

// Error is a failed operation. Subject and Err must be free of secrets:
// whoever makes one has removed queries, user info and keys from them.
type Error struct {
	Op         string        // what was being done: "s3 UploadPart"
	Subject    string        // to what: "recordings/acme/…/a.mp4 part 7"
	Kind       Kind          // what the caller has to do
	Status     int           // HTTP status, 0 if there was none
	Code       string        // the other side's own code: "SlowDown", "200008"
	RetryAfter time.Duration // earliest useful repetition, 0 if not said
	Hint       string        // what a person can do, "" if nothing is known
	Err        error         // cause; may be nil
}

// Error renders "op subject: cause; hint".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		b.WriteString(" ")
		b.WriteString(e.Subject)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(": ")
		b.WriteString(strings.ReplaceAll(string(e.Kind), "_", " "))
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain; Canceled for a
// context that ended outside of any *Error; Temporary for anything else, so
// that what nobody has classified is tried again and never given up silently.
// KindOf(nil) is "".
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) {
		return Canceled
	}
	return Temporary
}

// RetryAfterOf returns how long the other side asked to wait, or 0.
func RetryAfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
