package bucket

import (
	"context"
	"net/http"

	"archiver/internal/wire"
)

// payload is the body of one call to the store, as it lies in memory. What the
// SDK makes of it can only be read, and is copied on the way; so the bytes
// themselves go along, in the call's context, and the transport sends those.
type payload struct {
	bytes []byte
	sent  *wire.Body // of the last attempt; nil before the first
}

type payloadKey struct{}

// lend returns a context in which body is sent from where it lies. end takes
// it back: then nobody reads it any more, however the call ended.
func lend(ctx context.Context, body []byte) (_ context.Context, end func()) {
	_ = room(len(body) % 8)
	p := &payload{bytes: body}
	return context.WithValue(ctx, payloadKey{}, p), p.end
}

// room makes the goroutine's stack as large as the SDK's some sixty nested
// handlers need it. The runtime would double it several times on the way down,
// and each time move what is there, frame by frame: for small files, which have
// a goroutine each, that costs more than all else that the SDK does.
//
//go:noinline
func room(i int) byte {
	var frame [20 << 10]byte
	frame[i] = 1
	return frame[i+1]
}

func (p *payload) end() {
	if p.sent != nil {
		p.sent.Release()
	}
}

// lender is the transport of calls that lend their bodies.
type lender struct{ *http.Transport }

// RoundTrip implements http.RoundTripper. The attempts of one call come one
// after the other, and each has the body anew.
func (l lender) RoundTrip(r *http.Request) (*http.Response, error) {
	p, ok := r.Context().Value(payloadKey{}).(*payload)
	if !ok || r.Body == nil || r.ContentLength != int64(len(p.bytes)) {
		return l.Transport.RoundTrip(r)
	}
	p.end()
	p.sent = wire.NewBody(p.bytes, r.Body)
	lent := *r // a RoundTripper leaves its request as it is
	lent.Body = p.sent
	return l.Transport.RoundTrip(&lent)
}
