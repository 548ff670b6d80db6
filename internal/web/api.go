package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"archiver/internal/socket"
)

// API is the handlers. All methods are safe for concurrent use.
type API struct {
	o     Options
	mux   *http.ServeMux
	stall time.Duration
}

const prefix = "/api/v1"

// maxJSON bounds the body of a request that is read as a whole, in bytes.
const maxJSON = 1 << 20

// New returns the API. The error names a port that is missing.
func New(o Options) (*API, error) {
	if o.Store == nil || o.Archiver == nil || o.Objects == nil || o.Conferences == nil || o.Backfills == nil {
		return nil, errors.New("web: a port is missing")
	}
	if o.Token == nil {
		o.Token = func() (string, error) { return "", nil }
	}
	if o.Hosts == nil {
		o.Hosts = func() []string { return nil }
	}
	a := &API{o: o, mux: http.NewServeMux(), stall: stallTimeout}
	c := huma.DefaultConfig("archiver", o.Version)
	c.Info.Description = "Saves the recordings of a meeting vendor in an S3 bucket. Times are RFC 3339 in UTC, sizes are bytes."
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil // no page that loads from elsewhere, no $schema in answers
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "http.token, over TCP"},
	}
	c.Security = []map[string][]string{{"token": {}}}
	c.AllowAdditionalPropertiesByDefault = true // fields may be added to answers
	c.RejectUnknownQueryParameters = true       // a typo must not select everything
	h := humago.New(a.mux, c)
	a.recordings(h)
	a.imports(h)
	a.files(h)
	a.conferences(h)
	a.operating(h)
	a.backfills(h)
	a.probes(h)
	a.mux.HandleFunc("/", a.unknown)
	return a, nil
}

// Local serves the socket and this process: whoever gets here has the rights
// of the socket. Answers name the state, and a request that names another one
// is refused: two states may lie in one directory.
func (a *API) Local() http.Handler {
	return patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(socket.StateHeader, a.o.StateName)
		if meant := r.Header.Get(socket.StateHeader); meant != "" && meant != a.o.StateName {
			refuse(w, problem(http.StatusMisdirectedRequest, "other_state", fmt.Sprintf(
				"this archiver has the state %s, not %s; see that state.path in the configuration names the state of the archiver that runs, and give each state a directory of its own",
				a.o.StateName, meant)))
			return
		}
		a.route(w, r)
	}), a.stall)
}

// route serves a request whose path means itself: net/http would redirect the
// others, with a page of HTML.
func (a *API) route(w http.ResponseWriter, r *http.Request) {
	p := r.URL.EscapedPath()
	if clean := path.Clean("/" + p); p != clean && p != clean+"/" {
		refuse(w, problem(http.StatusNotFound, "not_found", "there is nothing at this path; "+clean+" is what it means"))
		return
	}
	a.mux.ServeHTTP(w, r)
}

// unknown answers for paths and methods that there are not.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := a.mux.Handler(probe); pattern != "" && pattern != "/" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		refuse(w, problem(http.StatusMethodNotAllowed, "method_not_allowed", r.Method+" is not served here; there are "+strings.Join(allowed, ", ")))
		return
	}
	refuse(w, problem(http.StatusNotFound, "not_found", "there is nothing at this path; /openapi.json lists what is served"))
}

// operation describes a call; what it may answer besides is a Problem.
func operation(method, path, id, summary string, errs ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxJSON,
		Errors: append(errs,
			http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusServiceUnavailable),
	}
}

// register is huma.Register, with errors translated.
func register[I, O any](h huma.API, op huma.Operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
}

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

// raw gives a handler what huma has not read.
type raw struct{ humaContext huma.Context }

// Resolve implements huma.Resolver.
func (r *raw) Resolve(ctx huma.Context) []error {
	r.humaContext = ctx
	return nil
}
