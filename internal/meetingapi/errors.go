package meetingapi

import (
	"errors"
	"fmt"

	"archiver/internal/fault"
)

// The codes of the vendor's document, for errors.Is. Each is in the chain of a
// *fault.Error whose Kind is named here. For delRecordFile, openRecord and
// openLive the kind of ErrServer and ErrNotJSON is fault.Ambiguous.
var (
	// ErrBadParameters is code 400; fault.BadRequest.
	ErrBadParameters = errors.New("400 bad parameters")
	// ErrAuth is code 403 or HTTP 401: the key is wrong, or it is someone
	// else's (which may be about one recordId); fault.Unauthorized.
	ErrAuth = errors.New("the vendor refuses the auth value")
	// ErrServer is code 500 or another HTTP 5xx; fault.Temporary.
	ErrServer = errors.New("server error")
	// ErrNotYours is code 200001: the conference does not belong to this auth;
	// fault.Rejected.
	ErrNotYours = errors.New("200001 the conference does not belong to this auth")
	// ErrLiveAlreadyOpen is code 200002; fault.Exists.
	ErrLiveAlreadyOpen = errors.New("200002 the live stream is open already")
	// ErrRecordingAlreadyOpen is code 200003; fault.Exists.
	ErrRecordingAlreadyOpen = errors.New("200003 the conference is being recorded already")
	// ErrRecordingNotAllowed is code 200004; fault.Rejected.
	ErrRecordingNotAllowed = errors.New("200004 the conference may not be recorded")
	// ErrLiveNotAllowed is code 200005; fault.Rejected.
	ErrLiveNotAllowed = errors.New("200005 the conference may not be streamed live")
	// ErrConferenceNotStarted is code 200006; fault.NotReady.
	ErrConferenceNotStarted = errors.New("200006 the conference has not started")
	// ErrNotRecording is code 200007; fault.NotReady.
	ErrNotRecording = errors.New("200007 the conference is not being recorded")
	// ErrNoSuchConference is code 200008; fault.Rejected.
	ErrNoSuchConference = errors.New("200008 no such conference")
	// ErrNotJSON is an answer that is no JSON object, such as a proxy's error
	// page; fault.Temporary.
	ErrNotJSON = errors.New("the answer is no JSON object")
)

// verdict is what a code, the vendor's or HTTP's, asks of the caller.
type verdict struct {
	sentinel error // nil for codes that the document does not have
	kind     fault.Kind
	repeat   bool // the same request may succeed within seconds
	reached  bool // the request may have taken effect
	hint     string
}

// verdictOf reads a code; false for one that neither the vendor's document nor
// HTTP gives a meaning. Such a code is temporary, so that nothing is given up
// because the vendor has added a code, and might be anything, so that a call
// made once is ambiguous.
func verdictOf(code int) (verdict, bool) {
	switch code {
	case 200001:
		return verdict{sentinel: ErrNotYours, kind: fault.Rejected, hint: "another tenant's key may fit"}, true
	case 200002:
		return verdict{sentinel: ErrLiveAlreadyOpen, kind: fault.Exists, hint: "closeLive ends it"}, true
	case 200003:
		return verdict{sentinel: ErrRecordingAlreadyOpen, kind: fault.Exists, hint: "closeRecord stops it and tells its recordId"}, true
	case 200004:
		return verdict{sentinel: ErrRecordingNotAllowed, kind: fault.Rejected}, true
	case 200005:
		return verdict{sentinel: ErrLiveNotAllowed, kind: fault.Rejected}, true
	case 200006:
		return verdict{sentinel: ErrConferenceNotStarted, kind: fault.NotReady, hint: "try again when it runs"}, true
	case 200007:
		return verdict{sentinel: ErrNotRecording, kind: fault.NotReady}, true
	case 200008:
		return verdict{sentinel: ErrNoSuchConference, kind: fault.Rejected}, true
	}
	switch {
	case code == 400:
		return verdict{sentinel: ErrBadParameters, kind: fault.BadRequest}, true
	case code == 401 || code == 403:
		return verdict{
			sentinel: ErrAuth, kind: fault.Unauthorized,
			hint: "check the tenant's auth; the vendor also says this of a recording that belongs to another key",
		}, true
	case code == 404 || code == 405:
		return verdict{kind: fault.Temporary, hint: "check api_url: there is no such call"}, true
	case code == 407:
		return verdict{kind: fault.Temporary, hint: "the proxy wants credentials: proxy may carry them"}, true
	case code == 408:
		return verdict{kind: fault.Temporary, repeat: true, reached: true}, true
	case code == 425 || code == 429:
		return verdict{kind: fault.Temporary, repeat: true, hint: "lower the tenant's api_rate if this goes on"}, true
	case code > 400 && code < 500:
		return verdict{kind: fault.Temporary}, true
	case code >= 500 && code < 600:
		return verdict{sentinel: ErrServer, kind: fault.Temporary, repeat: true, reached: true}, true
	case code > 200000 && code < 201000: // the family of the vendor's refusals
		return verdict{kind: fault.Temporary}, false
	}
	return verdict{kind: fault.Temporary, reached: true}, false
}

// failure joins the verdict with what was said; both are free of secrets.
func (v verdict) failure(code, said string) *failure {
	f := &failure{kind: v.kind, code: code, hint: v.hint, repeat: v.repeat, reached: v.reached}
	switch {
	case v.sentinel == nil:
		f.err = errors.New(code)
	case errors.Is(v.sentinel, ErrServer) || errors.Is(v.sentinel, ErrAuth): // one sentinel, several codes
		f.err = fmt.Errorf("%s %w", code, v.sentinel)
	default:
		f.err = v.sentinel
	}
	if said != "" {
		f.err = fmt.Errorf("%w: %s", f.err, said)
	}
	return f
}
