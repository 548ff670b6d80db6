package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	// shutdownTimeout is how long handlers may take to end once ctx has.
	shutdownTimeout = 5 * time.Second
)

// Serve serves h on l until ctx ends or l fails, then lets handlers end in good
// order for up to 5 s and cuts the others: their connections and their contexts
// end. When it returns, no handler is running. The error is the listener's.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *zap.Logger) error {
	return serve(ctx, l, h, log, shutdownTimeout)
}

func serve(ctx context.Context, l net.Listener, h http.Handler, log *zap.Logger, grace time.Duration) error {
	std, err := zap.NewStdLogAt(log.Named("http"), zap.DebugLevel)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	// Handlers go on after ctx. net/http alone would not end the context of one
	// whose request has a body that nobody reads.
	handling, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var connections sync.WaitGroup // each runs at most one handler
	s := &http.Server{
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: std, Handler: recovered(h, log),
		BaseContext: func(net.Listener) context.Context { return handling },
		ConnState: func(_ net.Conn, to http.ConnState) {
			switch to {
			case http.StateNew: // told by the goroutine of s.Serve
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Done()
			case http.StateActive, http.StateIdle:
			}
		},
	}
	ended := make(chan struct{})
	var stopping sync.WaitGroup
	stopping.Go(func() {
		select {
		case <-ctx.Done():
		case <-ended: // a listener that failed leaves its connections open
		}
		bounded, cancel := context.WithTimeout(handling, grace)
		defer cancel()
		if s.Shutdown(bounded) != nil {
			cut()
			_ = s.Close() // the listener's error was told by s.Serve
		}
	})
	err = s.Serve(l)
	close(ended)
	stopping.Wait()
	connections.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// recovered logs a panic as the fault of ours that it is, and breaks the
// connection off, which net/http would only do in a whisper.
func recovered(next http.Handler, log *zap.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { //nolint:errorlint // net/http compares like this
				log.Error("answer a request: panic; please report it", zap.String("method", r.Method), zap.String("path", r.URL.Path),
					zap.Any("panic", v), zap.Stack("stack"))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}
