package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

type backfillInput struct {
	raw
	Tenant string `query:"tenant" doc:"Of lines that name none"`
	Wait   string `query:"wait" default:"15m" doc:"How long to wait for what is not ready"`
	All    bool   `query:"all" doc:"Everything that is tracked, without a body"`
	DryRun bool   `query:"dry_run" doc:"Only say what would be fetched"`
}

func (a *API) backfills(h huma.API) {
	op := operation("POST", prefix+"/backfill", "backfill", "Track recordings, follow them until they are archived, and say how far it is, a line at a time", 400, 422)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "One BackfillLine a line; the last one has summary or error",
		Content: map[string]*huma.MediaType{
			"application/x-ndjson": {Schema: schemaOf[apitype.BackfillLine](h)},
		},
	}}
	register(h, op, a.backfill)
	h.OpenAPI().Paths[op.Path].Post.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: schemaOf[apitype.TrackLine](h)},
	}}
}

func (a *API) backfill(_ context.Context, in *backfillInput) (*huma.StreamResponse, error) {
	wait, err := time.ParseDuration(in.Wait)
	if err != nil || wait < 0 {
		return nil, problem(http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("wait %q is no duration such as 15m", in.Wait))
	}
	var (
		named   state.KeySetBuilder
		invalid []apitype.Invalid
	)
	tenants := a.o.Archiver.Tenants()
	d := idReader{
		tenant: only(in.Tenant, tenants), tenants: tenants,
		key:     func(k state.Key) error { named.Add(k); return nil },
		invalid: func(i apitype.Invalid) error { invalid = append(invalid, i); return nil },
	}
	if err := d.read(in.humaContext.BodyReader()); err != nil {
		return nil, problem(http.StatusBadRequest, "broken_off", err.Error()+"; nothing was tracked")
	}
	u := in.humaContext.URL()
	for _, flag := range []string{"all", "dry_run"} { // "?dry_run" must not begin the real thing
		if q := u.Query(); q.Has(flag) && q.Get(flag) == "" {
			return nil, problem(http.StatusUnprocessableEntity, "invalid", flag+" has no value; write "+flag+"=true")
		}
	}
	switch {
	case in.All && in.Tenant != "":
		return nil, problem(http.StatusUnprocessableEntity, "invalid", "all=true means every tenant; leave tenant out, or list the recordings")
	case in.All && named.Len()+len(invalid) > 0:
		return nil, problem(http.StatusUnprocessableEntity, "invalid", "all=true and a list contradict each other")
	case !in.All && named.Len()+len(invalid) == 0:
		return nil, problem(http.StatusUnprocessableEntity, "invalid", "the list names no recording; all=true means everything that is tracked")
	}
	keys := named.Set()
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // it has the request, whose context is the one
		r, w := humago.Unwrap(hc)
		w.Header().Set("Content-Type", "application/x-ndjson")
		l := &lines{w: w, enc: json.NewEncoder(w), flush: http.NewResponseController(w).Flush}
		for _, i := range invalid {
			if l.put(apitype.BackfillLine{Invalid: &i}) != nil {
				return
			}
		}
		if in.All || keys.Len() > 0 {
			a.follow(r.Context(), l, in.DryRun, keys, wait)
			return
		}
		_ = l.put(apitype.BackfillLine{Summary: &apitype.Summary{Recordings: map[string]int{}, Attention: []apitype.Attention{}}})
	}}, nil
}

// follow writes what is told, and what came of it at the end.
func (a *API) follow(ctx context.Context, l *lines, dry bool, keys *state.KeySet, wait time.Duration) {
	var (
		sum apitype.Summary
		err error
	)
	if dry {
		sum = apitype.Summary{Recordings: map[string]int{}, Attention: []apitype.Attention{}}
		err = a.o.Backfills.DryRun(ctx, keys, func(p apitype.Planned) error { return l.put(apitype.BackfillLine{Planned: &p}) })
	} else {
		sum, err = a.o.Backfills.Backfill(ctx, keys, wait, func(p apitype.Progress) error { return l.put(apitype.BackfillLine{Progress: &p}) })
	}
	last := apitype.BackfillLine{Summary: &sum}
	if err != nil {
		last = apitype.BackfillLine{Error: err.Error()}
	}
	_ = l.put(last) // who has gone does not want it
}

// lines writes one JSON value a line, at once.
type lines struct {
	w     http.ResponseWriter
	enc   *json.Encoder
	flush func() error
}

func (l *lines) put(v apitype.BackfillLine) error {
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	return l.flush()
}
