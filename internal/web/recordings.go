package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"archiver/internal/apitype"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// shownEvents is how many of a recording's last events are told.
const shownEvents = 20

// RecordingPath names one recording.
type RecordingPath struct {
	Tenant   string `path:"tenant"`
	RecordID string `path:"record_id" doc:"Percent-encoded: it may hold any character but control ones"`
}

func (p RecordingPath) key() (state.Key, error) {
	if !meetingapi.ValidRecordID(p.RecordID) {
		return state.Key{}, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("%q is no recordId: %s", p.RecordID, wantID))
	}
	k := state.Key{Tenant: p.Tenant, RecordID: p.RecordID}
	if len(p.Tenant) > maxTenant { // which a store would refuse as a fault of ours
		return k, notTracked(k, state.ErrNotFound)
	}
	return k, nil
}

// maxTenant is how many bytes the name of a tenant may have.
const maxTenant = 63

const wantID = "1 to 64 characters without control characters are wanted"

type listInput struct {
	raw
	Tenant        string `query:"tenant"`
	Status        string `query:"status" doc:"One or more, separated by commas, or repeated"`
	ConferenceKey string `query:"conference_key"`
	Q             string `query:"q" doc:"In recordId, conference key or a file name, in upper or lower case"`
	Since         string `query:"since" doc:"RFC 3339: not before; of the start, of the tracking where that is unknown"`
	Until         string `query:"until" doc:"RFC 3339: before"`
	Limit         int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor        string `query:"cursor" doc:"next_cursor of the page before"`
}

func (a *API) recordings(h huma.API) {
	register(h, operation("GET", prefix+"/recordings", "list-recordings", "Recordings, newest first", 422), a.list)
	one := prefix + "/recordings/{tenant}/{record_id}"
	register(h, operation("GET", one, "get-recording", "One recording, with its files and last events", 404, 422), a.get)
	op := operation("DELETE", one, "untrack-recording", "Poll it no more; bucket and vendor are not touched", 404, 409, 422)
	op.DefaultStatus = http.StatusNoContent
	register(h, op, a.untrack)
	for _, m := range []struct {
		method, path, id, summary string
		change                    state.Change
	}{
		{"POST", "/retry", "retry-recording", "Give what is quarantined a new start", state.Retry{}},
		{"POST", "/accept", "accept-recording", "Clear the marks of its files: a person says that they are right", state.Accept{}},
		{"PUT", "/hold", "hold-recording", "Forbid its deletion at the source; 409 while it is being deleted", state.Hold{On: true}},
		{"DELETE", "/hold", "unhold-recording", "Permit its deletion again", state.Hold{}},
	} {
		register(h, operation(m.method, one+m.path, m.id, m.summary, 404, 409, 422), a.move(m.change))
	}
}

func (a *API) list(ctx context.Context, in *listInput) (*body[apitype.Page], error) {
	q := state.Query{Tenant: in.Tenant, ConferenceKey: in.ConferenceKey, Text: in.Q, Limit: in.Limit, Cursor: in.Cursor}
	u := in.humaContext.URL()
	for s := range strings.SplitSeq(strings.Join(u.Query()["status"], ","), ",") {
		if s == "" {
			continue
		}
		if !slices.Contains(state.Statuses(), state.Status(s)) {
			return nil, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("status %q: there is no such one; there are %v", s, state.Statuses()))
		}
		q.Statuses = append(q.Statuses, state.Status(s))
	}
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{{"since", in.Since, &q.Since}, {"until", in.Until, &q.Until}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if err != nil {
			return nil, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("%s %q is no RFC 3339 time such as 2026-05-31T01:43:09Z", t.name, t.text))
		}
		*t.to = at
	}
	p, err := a.page(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &body[apitype.Page]{Body: apitype.Page{Items: []apitype.Recording{}, NextCursor: p.NextCursor}}
	for _, r := range p.Items {
		out.Body.Items = append(out.Body.Items, a.o.Archiver.Recording(ctx, r))
	}
	return out, nil
}

// page lists. A store's refusal of a cursor looks like any other error of its
// own; but without the cursor it then answers.
func (a *API) page(ctx context.Context, q state.Query) (state.Page, error) {
	p, err := a.o.Store.List(ctx, q)
	if err == nil || q.Cursor == "" {
		return p, err
	}
	first := q
	first.Cursor, first.Limit = "", 1
	if _, again := a.o.Store.List(ctx, first); again != nil {
		return p, err
	}
	return p, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("%v; begin again without cursor, or give next_cursor as it was", err))
}

func (a *API) get(ctx context.Context, in *RecordingPath) (*body[apitype.Detail], error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	r, err := a.o.Store.Get(ctx, k)
	if err != nil {
		return nil, notTracked(k, err)
	}
	events, err := a.o.Store.EventsOf(ctx, k, shownEvents)
	if err != nil {
		return nil, err
	}
	return &body[apitype.Detail]{Body: a.o.Archiver.Detail(ctx, r, events)}, nil
}

func (a *API) untrack(ctx context.Context, in *RecordingPath) (*struct{}, error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	where, err := a.o.Archiver.Listed(k)
	if err != nil {
		return nil, fmt.Errorf("untrack %s: %w; without that list nobody knows whether it would come back", k, err)
	}
	if where != "" {
		return nil, problem(http.StatusConflict, "listed", fmt.Sprintf("untrack %s: the configuration lists it, so it would come back; take it out of %s", k, where))
	}
	_, err = a.o.Store.Update(ctx, k, state.Do(state.Untrack{}))
	if err != nil {
		return nil, notTracked(k, err)
	}
	return nil, nil
}

// move applies what a person decided.
func (a *API) move(c state.Change) func(context.Context, *RecordingPath) (*body[apitype.Recording], error) {
	return func(ctx context.Context, in *RecordingPath) (*body[apitype.Recording], error) {
		k, err := in.key()
		if err != nil {
			return nil, err
		}
		r, err := a.o.Store.Update(ctx, k, func(r state.Recording) ([]state.Change, error) {
			if r.Status == "" {
				return nil, state.ErrNotFound
			}
			return []state.Change{c}, nil
		})
		if err != nil {
			return nil, notTracked(k, err)
		}
		a.o.Archiver.Wake()
		return &body[apitype.Recording]{Body: a.o.Archiver.Recording(ctx, r)}, nil
	}
}

// notTracked says which recording is meant, and the way to it.
func notTracked(k state.Key, err error) error {
	if errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("recording %s: %w; archiver track %s begins to", k, state.ErrNotFound, k.RecordID)
	}
	return err
}
