package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/state"
)

// SetStall shortens how long one read or write may take. Before Local, Public.
func (a *API) SetStall(d time.Duration) { a.stall = d }

// ServeFor is Serve with another time for handlers to end.
func ServeFor(ctx context.Context, l net.Listener, h http.Handler, log *zap.Logger, grace time.Duration) error {
	return serve(ctx, l, h, log, grace)
}

// Span is span.
func Span(header string, size int64) (from, n int64, status int) { return span(header, size) }

// ReadIDs is what an import or a backfill makes of a body.
func ReadIDs(r io.Reader, tenants []string) (keys []state.Key, invalid []apitype.Invalid, err error) {
	d := idReader{
		tenant: only("", tenants), tenants: tenants,
		key:     func(k state.Key) error { keys = append(keys, k); return nil },
		invalid: func(i apitype.Invalid) error { invalid = append(invalid, i); return nil },
	}
	err = d.read(r)
	return keys, invalid, err
}
