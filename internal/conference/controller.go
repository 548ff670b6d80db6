package conference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/fault"
	"archiver/internal/state"
)

// Vendor is what is asked of a tenant's vendor; *meetingapi.Client is one.
// Errors are *fault.Error: fault.Ambiguous if the call may have had its effect
// all the same. Of any other error nothing is known.
type Vendor interface {
	OpenRecord(ctx context.Context, conferenceKey string) (recordID string, err error)
	CloseRecord(ctx context.Context, conferenceKey string) (recordID string, err error)
	OpenLive(ctx context.Context, conferenceKey string) (url string, err error)
	CloseLive(ctx context.Context, conferenceKey string) error
}

// Store is what is asked of the state.
type Store interface {
	MoveConference(ctx context.Context, ref state.ConferenceRef, decide state.DecideSession) (state.Session, error)
	OpenSessions(ctx context.Context, tenant string) ([]state.Session, error)
}

// defaultTimeout is long enough for every attempt of a call that is repeated.
const defaultTimeout = 2*time.Minute + 30*time.Second

// Options are what a Controller is given.
type Options struct {
	Store  Store                                   // required
	Vendor func(tenant string) (v Vendor, ok bool) // of a configured tenant; required
	Logger *zap.Logger                             // required
	// Tracked, if not nil, is called after a recordId was tracked.
	Tracked func()
	// Stopping, if not nil, reports that no more calls are made: what is asked
	// for is refused as "stopping".
	Stopping func() bool
	// Timeout bounds one call to the vendor, repetitions included, since it
	// does not end with whoever asked for it; 0 is 2m30s.
	Timeout time.Duration
}

// Controller starts and stops. It is safe for concurrent use; at most one call
// for a conference's recording, and one for its live stream, is under way.
type Controller struct {
	o       Options
	flights flights
}

// New returns a Controller.
func New(o Options) *Controller {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Tracked == nil {
		o.Tracked = func() {}
	}
	if o.Stopping == nil {
		o.Stopping = func() bool { return false }
	}
	return &Controller{o: o, flights: flights{stopping: o.Stopping, m: map[state.ConferenceRef]chan struct{}{}}}
}

// Wait returns when no call is under way any more, or with ctx's error. Calls
// that are asked for later are not waited for: it is meant for when Stopping
// has become true.
func (c *Controller) Wait(ctx context.Context) error { return c.flights.over(ctx) }

// StartRecord calls openRecord, once. Errors are *Error.
func (c *Controller) StartRecord(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error) {
	return c.start(ctx, task{op: "start recording", ref: recordOf(tenant, conferenceKey)})
}

// StartLive calls openLive, once; the URL is in the answer and is not kept.
// Errors are *Error.
func (c *Controller) StartLive(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error) {
	return c.start(ctx, task{op: "start the live stream of", ref: liveOf(tenant, conferenceKey)})
}

// StopRecord calls closeRecord, whatever is known of the conference: a
// recording that others started is tracked too. Errors are *Error.
func (c *Controller) StopRecord(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error) {
	return c.stop(ctx, task{op: "stop recording", ref: recordOf(tenant, conferenceKey)})
}

// StopLive calls closeLive. Errors are *Error.
func (c *Controller) StopLive(ctx context.Context, tenant, conferenceKey string) (apitype.Conference, error) {
	return c.stop(ctx, task{op: "stop the live stream of", ref: liveOf(tenant, conferenceKey)})
}

// List returns what is opening, open or unresolved, of one tenant or, for "",
// of all. A tenant that is not configured is an error only if there is nothing
// of it. Errors are *Error.
func (c *Controller) List(ctx context.Context, tenant string) ([]apitype.Conference, error) {
	open, err := c.o.Store.OpenSessions(ctx, tenant)
	if err != nil {
		return nil, &Error{Status: 500, Code: codeState, Message: "list conferences: " + err.Error(), Err: err}
	}
	if _, ok := c.o.Vendor(tenant); !ok && tenant != "" && len(open) == 0 {
		return nil, unknownTenant("list conferences", tenant)
	}
	out := make([]apitype.Conference, 0, len(open))
	for _, s := range open {
		out = append(out, render(s))
	}
	return out, nil
}

func recordOf(tenant, key string) state.ConferenceRef {
	return state.ConferenceRef{Tenant: tenant, ConferenceKey: key, Kind: state.KindRecord}
}

func liveOf(tenant, key string) state.ConferenceRef {
	return state.ConferenceRef{Tenant: tenant, ConferenceKey: key, Kind: state.KindLive}
}

func render(s state.Session) apitype.Conference {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return apitype.Conference{
		Tenant: s.Tenant, ConferenceKey: s.ConferenceKey, Kind: string(s.Kind), Status: string(s.Status),
		RecordID: s.RecordID, IntendedAt: at(s.IntendedAt), ChangedAt: at(s.ChangedAt), Error: s.Error,
	}
}

// task is what somebody asked for.
type task struct {
	op  string // "start recording"
	ref state.ConferenceRef
}

func (t task) live() bool { return t.ref.Kind == state.KindLive }

// detached goes on when whoever asked hangs up.
func (c *Controller) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.o.Timeout)
}

// start stores the intent, calls once and stores the answer.
func (c *Controller) start(ctx context.Context, t task) (apitype.Conference, error) {
	v, err := c.check(t)
	if err != nil {
		return apitype.Conference{}, err
	}
	release, busy, err := c.flights.begin(t.ref)
	if err != nil {
		return apitype.Conference{}, t.stopping()
	}
	if busy != nil {
		return apitype.Conference{}, t.refuse(409, codeBusy, errBusy, "see what came of it, then try again")
	}
	defer release()
	if _, err := c.o.Store.MoveConference(ctx, t.ref, just(state.Intend{})); err != nil {
		return apitype.Conference{}, t.notIntended(err)
	}
	call, cancel := c.detached(ctx)
	defer cancel()
	var recordID, url string
	if t.live() {
		url, err = v.OpenLive(call, t.ref.ConferenceKey)
	} else {
		recordID, err = v.OpenRecord(call, t.ref.ConferenceKey)
	}
	s, serr := c.o.Store.MoveConference(context.WithoutCancel(ctx), t.ref, just(answered(recordID, err)))
	switch {
	case serr != nil:
		return apitype.Conference{}, c.notStored(t, recordID, errors.Join(err, serr))
	case err != nil:
		if lost(err) { // whoever asked may be gone
			c.o.Logger.Warn("the vendor's reply was lost", t.fields(s)...)
		}
		return apitype.Conference{}, t.explain(err)
	}
	c.done("conference started", t, s, recordID)
	out := render(s)
	out.URL = url
	return out, nil
}

// answered is the change that an answer to openRecord or openLive makes.
func answered(recordID string, err error) state.SessionChange {
	switch {
	case err == nil:
		return state.Opened{RecordID: recordID}
	case lost(err):
		return state.Unresolve{Error: err.Error()}
	default:
		return state.Refuse{Error: err.Error()}
	}
}

// lost reports whether a call that is made once may have had its effect. What
// nobody has classified might have.
func lost(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return !ok || e.Kind == fault.Ambiguous
}

func just(c state.SessionChange) state.DecideSession {
	return func(state.Session) (state.SessionChange, error) { return c, nil }
}

// stop calls and stores what the answer makes of the session.
func (c *Controller) stop(ctx context.Context, t task) (apitype.Conference, error) {
	v, err := c.check(t)
	if err != nil {
		return apitype.Conference{}, err
	}
	release, err := c.flights.wait(ctx, t.ref)
	if errors.Is(err, errStopping) {
		return apitype.Conference{}, t.stopping()
	}
	if err != nil {
		return apitype.Conference{}, t.refuse(503, codeBusy, fmt.Errorf("%w: %w", errBusy, err), "nothing was called; try again")
	}
	defer release()
	call, cancel := c.detached(ctx)
	defer cancel()
	var recordID string
	if t.live() {
		err = v.CloseLive(call, t.ref.ConferenceKey)
	} else {
		recordID, err = v.CloseRecord(call, t.ref.ConferenceKey)
	}
	var before state.Session
	s, serr := c.o.Store.MoveConference(context.WithoutCancel(ctx), t.ref, func(now state.Session) (state.SessionChange, error) {
		before = now
		return t.closed(now, recordID, err), nil
	})
	switch {
	case serr != nil:
		return apitype.Conference{}, c.notStored(t, recordID, errors.Join(err, serr))
	case err != nil && !t.settles(before, err):
		return apitype.Conference{}, t.explainStop(before, err)
	}
	c.done("conference stopped", t, s, recordID)
	return render(s), nil
}

// closed is the change that an answer to closeRecord or closeLive makes in the
// session as it is.
func (t task) closed(now state.Session, recordID string, err error) state.SessionChange {
	switch {
	case err == nil:
		return state.Close{RecordID: recordID}
	case now.Status == "" && !stopped(err):
		return nil
	case stopped(err):
		return state.Close{Error: err.Error()}
	case !now.Status.Pending():
		return nil
	case !t.nothingOpen(err):
		return state.CloseFailed{Error: err.Error()}
	case now.Status == state.SessionOpen:
		return state.Close{Error: err.Error()}
	default:
		return state.Close{Error: t.neverKnown(err)}
	}
}

// settles reports whether a refusal is what was needed: the session was
// unresolved, and now it is known that nothing is open.
func (t task) settles(before state.Session, err error) bool {
	switch before.Status {
	case state.SessionOpening, state.SessionUnresolved:
		return t.nothingOpen(err)
	case state.SessionOpen: // stopped, and its recordId is known and tracked
		return stopped(err) && before.RecordID != ""
	case state.SessionClosed, state.SessionRefused:
	}
	return false
}

// notStored tells of an answer that could not be stored, in the log too: whoever
// asked may be gone, and nobody else has the recordId.
func (c *Controller) notStored(t task, recordID string, err error) error {
	c.o.Logger.Error("the vendor's answer was not stored", t.fields(state.Session{RecordID: recordID})...)
	return t.notStored(recordID, err)
}

func (c *Controller) done(what string, t task, s state.Session, recordID string) {
	c.o.Logger.Info(what, t.fields(s)...)
	if recordID != "" {
		c.o.Tracked()
	}
}

func (t task) fields(s state.Session, more ...zap.Field) []zap.Field {
	return append([]zap.Field{
		zap.String("tenant", t.ref.Tenant), zap.String("conference_key", t.ref.ConferenceKey), zap.String("kind", string(t.ref.Kind)),
		zap.String("status", string(s.Status)), zap.String("record_id", s.RecordID),
	}, more...)
}
