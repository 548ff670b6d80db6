package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// batch is how many ids are tracked in one call of the store.
const batch = 1000

type importInput struct {
	raw
	Tenant string `query:"tenant" doc:"Of those that name none"`
}

// trackRequest is the JSON form of an import.
type trackRequest struct {
	Tenant    string   `json:"tenant,omitempty" doc:"May be left out where there is only one"`
	RecordIDs []string `json:"record_ids"`
}

func (a *API) imports(h huma.API) {
	op := operation("POST", prefix+"/recordings", "track-recordings", "Track recordings; NDJSON is tracked while it is read", 400, 413, 415, 422)
	register(h, op, a.track)
	// Told afterwards, or huma would read the body itself.
	h.OpenAPI().Paths[op.Path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json":     {Schema: schemaOf[trackRequest](h)},
		"application/x-ndjson": {Schema: schemaOf[apitype.TrackLine](h)},
	}}
}

func (a *API) track(ctx context.Context, in *importInput) (*body[apitype.Tracked], error) {
	t := &tracking{api: a, out: apitype.Tracked{Tracked: []string{}, Already: []string{}, Invalid: []apitype.Invalid{}}}
	tenants := a.o.Archiver.Tenants()
	// What was read is tracked, even if who sent it has gone.
	ctx = context.WithoutCancel(ctx)
	var err error
	switch form := in.humaContext.Header("Content-Type"); {
	case isNDJSON(form):
		d := idReader{tenant: only(in.Tenant, tenants), tenants: tenants, invalid: t.invalid, key: func(k state.Key) error { return t.add(ctx, k) }}
		err = d.read(in.humaContext.BodyReader())
	case isJSON(form):
		err = t.json(ctx, in, tenants)
	default:
		err = problem(http.StatusUnsupportedMediaType, "media_type", fmt.Sprintf("a body of %q is not read; send Content-Type: application/json, or application/x-ndjson", form))
	}
	broken, isBroken := errors.AsType[*brokenOff](err)
	if err != nil && !isBroken {
		return nil, err
	}
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	if isBroken {
		return nil, problem(http.StatusBadRequest, "broken_off", broken.Error()+"; what came before was tracked, so the whole list may be sent again")
	}
	return &body[apitype.Tracked]{Body: t.out}, nil
}

// json reads the body as a whole.
func (t *tracking) json(ctx context.Context, in *importInput, tenants []string) error {
	text, err := io.ReadAll(io.LimitReader(in.humaContext.BodyReader(), maxJSON+1))
	if err != nil {
		return problem(http.StatusBadRequest, "broken_off", "read the body: "+err.Error())
	}
	if len(text) > maxJSON {
		return problem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body has more than %d bytes; send long lists as application/x-ndjson, one a line", maxJSON))
	}
	var req trackRequest
	if err := json.Unmarshal(text, &req); err != nil {
		return problem(http.StatusBadRequest, "invalid", `the body is not {"tenant": "…", "record_ids": ["…"]}: `+err.Error())
	}
	if req.RecordIDs == nil {
		return problem(http.StatusUnprocessableEntity, "invalid", `the body has no "record_ids"; {"tenant": "…", "record_ids": ["…"]} is wanted`)
	}
	known := map[string]string{}
	for _, name := range tenants {
		known[name] = name
	}
	for _, id := range req.RecordIDs {
		k, why := check(only(cmp.Or(req.Tenant, in.Tenant), tenants), id, known)
		if why != "" {
			err = t.invalid(apitype.Invalid{RecordID: id, Reason: why})
		} else {
			err = t.add(ctx, k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tracking is one import.
type tracking struct {
	api  *API
	keys []state.Key // not tracked yet
	out  apitype.Tracked
}

func (t *tracking) invalid(i apitype.Invalid) error {
	t.out.Invalid = append(t.out.Invalid, i)
	return nil
}

func (t *tracking) add(ctx context.Context, k state.Key) error {
	if t.keys = append(t.keys, k); len(t.keys) < batch {
		return nil
	}
	return t.flush(ctx)
}

func (t *tracking) flush(ctx context.Context) error {
	if len(t.keys) == 0 {
		return nil
	}
	isNew, err := t.api.o.Store.Track(ctx, t.keys)
	any := false
	for i, is := range isNew {
		if any = any || is; is {
			t.out.Tracked = append(t.out.Tracked, t.keys[i].RecordID)
		} else {
			t.out.Already = append(t.out.Already, t.keys[i].RecordID)
		}
	}
	if any {
		t.api.o.Archiver.Wake()
	}
	if err != nil {
		return fmt.Errorf("track %d recordings: %w", len(t.keys), err)
	}
	t.keys = t.keys[:0]
	return nil
}
