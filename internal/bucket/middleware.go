package bucket

import (
	"context"
	"net/http"
	"strconv"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// stackOptions are our changes to the SDK's request stack.
//
// The SDK decides in its step ComputePayloadHash whether a payload is hashed;
// that step is swapped as a whole. It only helps because every body comes with
// its checksum header already set: the checksum step, which runs earlier,
// would otherwise read the body for a checksum and hash it on the way.
func (b *Bucket) stackOptions() []func(*middleware.Stack) error {
	out := []func(*middleware.Stack) error{b.addObserver}
	if b.unsigned() {
		out = append(out, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	return out
}

// addObserver counts behind the retries, so that each attempt is seen.
func (b *Bucket) addObserver(stack *middleware.Stack) error {
	observe := b.opts.Observe
	if observe == nil {
		return nil
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ArchiverObserve", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleFinalize(ctx, in)
		observe(awsmiddleware.GetOperationName(ctx), outcome(meta, err))
		return out, meta, err
	}), "Retry", middleware.After)
}

// outcome is the label for one attempt.
func outcome(meta middleware.Metadata, err error) string {
	if err != nil {
		if _, code, _ := answerOf(err); code != "" {
			return code
		}
		return "error"
	}
	if r, ok := awsmiddleware.GetRawResponse(meta).(*smithyhttp.Response); ok {
		return strconv.Itoa(r.StatusCode)
	}
	return "200"
}

// headerOf returns the headers of the answer that led to meta; never nil.
func headerOf(meta middleware.Metadata) http.Header {
	if r, ok := awsmiddleware.GetRawResponse(meta).(*smithyhttp.Response); ok && r.Header != nil {
		return r.Header
	}
	return http.Header{}
}

// dateOf returns the answer's Date, or zero.
func dateOf(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}
