package conference

import (
	"errors"
	"fmt"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// Error is why a start or stop did not succeed, for the API and for people.
type Error struct {
	Status  int    // HTTP
	Code    string // "unresolved", "not_started", …: for scripts
	Message string // what was being done, to what, why not, and what to do about it
	Err     error  // cause; may be nil
}

// Error renders the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// What Error.Code may be.
const (
	codeUnknownTenant = "unknown_tenant"
	codeBadKey        = "bad_request"
	codeBusy          = "busy"       // another call for it is under way
	codeStopping      = "stopping"   // the archiver takes no more calls
	codeUnresolved    = "unresolved" // an earlier call's effect is not known
	codeAmbiguous     = "ambiguous"  // this call's effect is not known
	codeState         = "state"      // the state could not be read or written
	codeNoLive        = "no_live"    // the vendor has no live streams
	codeVendorKey     = "vendor_refuses_key"
	codeVendor        = "vendor_unavailable"
	codeVendorAnswer  = "vendor_answer" // an answer that the document does not have
)

// noLive is what to think of a vendor that does not know openLive.
const noLive = "this vendor has no live streams: openLive exists in the public cloud only"

var (
	errBusy     = errors.New("another start or stop of it is under way")
	errStopping = errors.New("the archiver is stopping")
)

// refusal is what a code of the vendor means to whoever asked.
type refusal struct {
	err    error
	status int
	code   string
	hint   string
}

func refusals(t task) []refusal {
	return []refusal{
		{meetingapi.ErrNotYours, 403, "not_yours", "name the tenant whose conference it is with --tenant"},
		{meetingapi.ErrLiveAlreadyOpen, 409, "already_live", t.wayOut() + " ends it"},
		{meetingapi.ErrRecordingAlreadyOpen, 409, "already_recording", t.wayOut() + " stops it and tells its recordId, which is tracked then"},
		{meetingapi.ErrRecordingNotAllowed, 403, "recording_not_allowed", "allow recording in the conference's settings at the vendor"},
		{meetingapi.ErrLiveNotAllowed, 403, "live_not_allowed", "allow live streams in the conference's settings at the vendor"},
		{meetingapi.ErrConferenceNotStarted, 409, "not_started", "try again when it runs"},
		{meetingapi.ErrNotRecording, 409, "not_recording", "there is nothing to stop"},
		{meetingapi.ErrNoSuchConference, 404, "no_such_conference", "check the conference key"},
		{meetingapi.ErrBadParameters, 400, codeBadKey, "check the conference key"},
		{meetingapi.ErrAuth, 502, codeVendorKey, "check the tenant's auth; archiver doctor tests it"},
	}
}

// wayOut is the command that resolves it.
func (t task) wayOut() string {
	return fmt.Sprintf("archiver %s stop %s --tenant %s", t.ref.Kind, t.ref.ConferenceKey, t.ref.Tenant)
}

func (t task) subject() string {
	return fmt.Sprintf("%s conference %s of tenant %s", t.op, t.ref.ConferenceKey, t.ref.Tenant)
}

func (t task) refuse(status int, code string, err error, hint string) *Error {
	return &Error{Status: status, Code: code, Message: t.subject() + ": " + err.Error() + "; " + hint, Err: err}
}

func (t task) stopping() *Error {
	return t.refuse(503, codeStopping, errStopping, "nothing was called; try again when it runs again")
}

func unknownTenant(op, tenant string) *Error {
	return &Error{
		Status: 404, Code: codeUnknownTenant,
		Message: fmt.Sprintf("%s: there is no tenant %q in the configuration; add it, or name another one with --tenant", op, tenant),
	}
}

// check refuses what must not be stored or sent.
func (c *Controller) check(t task) (Vendor, error) {
	v, ok := c.o.Vendor(t.ref.Tenant)
	if !ok {
		return nil, unknownTenant(t.op+" a conference", t.ref.Tenant)
	}
	if !meetingapi.ValidRecordID(t.ref.ConferenceKey) {
		return nil, &Error{
			Status: 400, Code: codeBadKey,
			Message: t.op + " a conference: its key is not 1 to 64 characters without control characters; nothing was sent",
		}
	}
	return v, nil
}

// notIntended explains why the intent could not be stored: nothing was called.
func (t task) notIntended(err error) error {
	if errors.Is(err, state.ErrIllegal) {
		return t.refuse(409, codeUnresolved, errors.New("an earlier call's effect is not known, its reply was lost"),
			"it is not called again before that is settled: "+t.wayOut()+" settles it")
	}
	return t.refuse(500, codeState, err, "nothing was called; see that the state can be written")
}

// notStored explains an answer that could not be stored. The recordId is told
// at least here.
func (t task) notStored(recordID string, err error) error {
	hint := "see that the state can be written, then run " + t.wayOut()
	if recordID != "" {
		hint = "its recordId is " + recordID + ": " + hint + ", or track it"
	}
	return t.refuse(500, codeState, fmt.Errorf("the vendor has answered, but the state was not written: %w", err), hint)
}

// explain says what the vendor's refusal, or its silence, means.
func (t task) explain(err error) *Error {
	e, ok := errors.AsType[*fault.Error](err)
	cause := err
	if ok && e.Err != nil {
		cause = e.Err
	}
	told := func(status int, code, hint string) *Error {
		out := t.refuse(status, code, cause, hint)
		out.Err = err
		return out
	}
	if lost(err) {
		hint := "it may have taken effect and is not called again; " + t.wayOut() + " settles it"
		if t.live() && errors.Is(err, meetingapi.ErrNotJSON) {
			hint = "something answers in the API's place, or " + noLive + "; " + hint
		}
		return told(504, codeAmbiguous, hint)
	}
	for _, r := range refusals(t) {
		if errors.Is(err, r.err) {
			return told(r.status, r.code, r.hint)
		}
	}
	switch {
	case t.live() && noSuchCall(e):
		return told(501, codeNoLive, noLive)
	case e.Kind == fault.Unauthorized:
		return told(502, codeVendorKey, "check the tenant's auth; archiver doctor tests it")
	case e.Kind == fault.Rejected || e.Kind == fault.BadRequest:
		return told(400, codeBadKey, "nothing was sent")
	case len(e.Code) == len("200000") && t.live(): // of the refusals' family, but none of those
		return told(502, codeVendorAnswer, "the vendor's document does not have this code; if it means that there is no such call, "+noLive)
	case len(e.Code) == len("200000"):
		return told(502, codeVendorAnswer, "the vendor's document does not have this code")
	}
	hint := e.Hint
	if hint == "" {
		hint = "nothing happened; try again"
	}
	return told(503, codeVendor, hint)
}

// explainStop says the same of closeRecord and closeLive, which may be
// repeated.
func (t task) explainStop(before state.Session, err error) *Error {
	out := t.explain(err)
	switch {
	case stopped(err):
		return t.refuse(502, codeVendorAnswer, err, "look for it in the vendor's console, then run archiver track RECORD_ID --tenant "+t.ref.Tenant)
	case errors.Is(err, meetingapi.ErrNotRecording) && before.Status == state.SessionOpen:
		out.Message = fmt.Sprintf("%s: %v; it has ended by itself, was stopped by others, or by an attempt of this call: its recordId %s is known, nothing is left to do",
			t.subject(), meetingapi.ErrNotRecording, before.RecordID)
	case t.live() && errors.Is(err, meetingapi.ErrNotJSON):
		out.Message = t.subject() + ": " + err.Error() + "; something answers in the API's place, or " + noLive
	case out.Code == codeVendor:
		out.Message = t.subject() + ": " + err.Error() + "; it may be stopped already: to try again does no harm"
	}
	return out
}

// stopped reports closeRecord's success without a recordId.
func stopped(err error) bool { return fault.KindOf(err) == fault.Ambiguous }

// nothingOpen reports an answer to closeRecord or closeLive that says that
// nothing is open.
func (t task) nothingOpen(err error) bool {
	if e, ok := errors.AsType[*fault.Error](err); ok && t.live() && noSuchCall(e) {
		return true
	}
	return errors.Is(err, meetingapi.ErrNotRecording) || errors.Is(err, meetingapi.ErrConferenceNotStarted) ||
		errors.Is(err, meetingapi.ErrNoSuchConference)
}

// noSuchCall reports the answer of a vendor that lacks a call.
func noSuchCall(e *fault.Error) bool { return e.Code == "404" || e.Code == "405" }

// neverKnown is what is left to say of a lost reply once nothing is open.
func (t task) neverKnown(err error) string {
	if t.live() {
		return err.Error() + ": nothing is streamed; whether openLive ever took effect cannot be known"
	}
	return err.Error() + ": nothing is recorded now; whether openRecord ever took effect cannot be known. If it had, its recordId is only in the vendor's console"
}
