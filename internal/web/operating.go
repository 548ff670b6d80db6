package web

import (
	"context"
	"io"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"archiver/internal/apitype"
)

// checked is what looking through the state has found.
type checked struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
}

// ready is apitype.Health with the status that goes with it.
type ready struct {
	Status int
	Body   apitype.Health
}

func (a *API) operating(h huma.API) {
	register(h, operation("GET", prefix+"/stats", "get-stats", "Totals per tenant and status, bytes, rates, files at risk, what is in flight"),
		func(ctx context.Context, _ *struct{}) (*body[apitype.Stats], error) {
			s, err := a.o.Archiver.Stats(ctx)
			return &body[apitype.Stats]{Body: s}, err
		})
	register(h, operation("GET", prefix+"/state/check", "check-state", "Read the whole state and say what is not as it must be"),
		func(ctx context.Context, _ *struct{}) (*body[checked], error) {
			c := checked{Problems: []string{}}
			err := a.o.Store.Check(ctx, func(p string) { c.Problems = append(c.Problems, p) })
			c.OK = len(c.Problems) == 0
			return &body[checked]{Body: c}, err
		})
	op := operation("GET", prefix+"/state/backup", "backup-state", "A consistent copy of the state, while work goes on")
	op.Responses = binary("The copy, to be put where state.path is")
	register(h, op, a.backup)
	op = operation("GET", "/readyz", "ready", "Whether anything can be done: 503 only if nothing can")
	op.Security = []map[string][]string{{}}
	op.Responses = map[string]*huma.Response{"503": {
		Description: "Nothing can be done",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schemaOf[apitype.Health](h)}},
	}}
	register(h, op, func(ctx context.Context, _ *struct{}) (*ready, error) {
		out := &ready{Status: http.StatusOK, Body: a.o.Archiver.Ready(ctx)}
		if out.Body.Status == apitype.HealthUnavailable {
			out.Status = http.StatusServiceUnavailable
		}
		return out, nil
	})
}

// probes are the calls whose answers are not JSON.
func (a *API) probes(h huma.API) {
	a.mux.HandleFunc("GET /healthz", a.healthz)
	h.OpenAPI().AddOperation(told("/healthz", "healthz", "Whether the process lives on: its loops still beat", true))
	if a.o.Metrics != nil {
		a.mux.Handle("GET /metrics", a.o.Metrics)
		h.OpenAPI().AddOperation(told("/metrics", "metrics", "Metrics for Prometheus", false))
	}
}

// told describes an answer of text.
func told(path, id, summary string, open bool) *huma.Operation {
	op := &huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Responses: map[string]*huma.Response{
		"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}},
	}}
	if open {
		op.Security = []map[string][]string{{}}
	}
	return op
}

// backup streams the copy. What fails once bytes have gone out breaks the
// connection: a copy that ends in good order is whole.
func (a *API) backup(context.Context, *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // it has the request, whose context is the one
		r, w := humago.Unwrap(hc)
		if !r.ProtoAtLeast(1, 1) { // whose answers of unknown length end in good order whatever happens
			refuse(w, problem(http.StatusHTTPVersionNotSupported, "http_version", "a backup over HTTP/1.0 could be cut unnoticed; use HTTP/1.1"))
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="archiver-state.db"`)
		out := &counting{w: w}
		_, err := a.o.Store.Backup(r.Context(), out)
		switch {
		case err == nil:
		case out.n == 0:
			w.Header().Del("Content-Disposition")
			respond(w, err)
		default:
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// counting notes whether anything was written.
type counting struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// respond writes an error as a problem.
func respond(w http.ResponseWriter, err error) {
	if p, ok := problemOf(err).(*Problem); ok { //nolint:errorlint // problemOf makes no other
		refuse(w, p)
	}
}

// healthz says whether the process should live on.
func (a *API) healthz(w http.ResponseWriter, r *http.Request) {
	if err := a.o.Archiver.Alive(r.Context()); err != nil {
		refuse(w, problem(http.StatusServiceUnavailable, "dead", err.Error()))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n") // who has gone does not want it
}

// schemaOf is the schema of a type that huma does not see.
func schemaOf[T any](h huma.API) *huma.Schema {
	return h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// binary describes an answer of bytes.
func binary(what string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: what,
		Content:     map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
	}}
}
