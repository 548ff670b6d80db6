package bucket

import (
	"context"
	"errors"
	"io"
	"time"

	"archiver/internal/fault"
)

// body is an object's bytes on their way, with a watch on silence. The watch
// runs only while somebody reads: a slow reader is no slow store.
type body struct {
	ctx    context.Context //nolint:containedctx // a reader outlives the call that made it; this is its request's context
	cancel context.CancelCauseFunc
	bucket *Bucket
	key    string
	rc     io.ReadCloser
	watch  *time.Timer
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, b *Bucket, key string, rc io.ReadCloser) *body {
	watch := time.AfterFunc(b.stall, func() { cancel(errStalled) })
	watch.Stop()
	return &body{ctx: ctx, cancel: cancel, bucket: b, key: key, rc: rc, watch: watch}
}

// Read is io.Reader's; errors other than io.EOF are *fault.Error.
func (r *body) Read(p []byte) (int, error) {
	r.watch.Reset(r.bucket.stall)
	n, err := r.rc.Read(p)
	r.watch.Stop()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return n, err
	case errors.Is(context.Cause(r.ctx), errStalled):
		return n, local("GetObject", r.bucket.subject(r.key), fault.Temporary, errStalled.Error(), "")
	}
	return n, r.bucket.classify(r.ctx, "GetObject", r.bucket.subject(r.key), err)
}

// Close ends the request.
func (r *body) Close() error {
	r.watch.Stop()
	err := r.rc.Close()
	r.cancel(nil)
	if err != nil && !errors.Is(err, context.Canceled) {
		return r.bucket.classify(context.Background(), "GetObject", r.bucket.subject(r.key), err)
	}
	return nil
}
