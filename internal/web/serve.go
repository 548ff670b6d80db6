package web

import (
	"context"
	"errors"
	"io"
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
	// stallTimeout is how long one read of a body, or one write, may take.
	stallTimeout = time.Minute
	// shutdownTimeout is how long handlers may take to end once ctx has.
	shutdownTimeout = 5 * time.Second
)

// Serve serves h on l until ctx ends, then lets handlers end in good order for
// up to 5 s and cuts the others. When it returns, no handler is running. The
// error is the listener's.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *zap.Logger) error {
	std, err := zap.NewStdLogAt(log.Named("http"), zap.DebugLevel)
	if err != nil {
		return err
	}
	var connections sync.WaitGroup // each runs at most one handler
	s := &http.Server{
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: std, Handler: h,
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
		case <-ended:
			return
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if s.Shutdown(bounded) != nil {
			_ = s.Close() // which ends the contexts of those that are left
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

// patient gives every read and write of a handler a deadline of its own, in
// place of one for the whole answer, which may take hours.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		r.Body = &patientBody{r.Body, c}
		next.ServeHTTP(&patientWriter{w, c}, r)
	})
}

// patientBody is a request's body. Where the connection knows no deadlines,
// there are none.
type patientBody struct {
	io.ReadCloser
	c *http.ResponseController
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.c.SetReadDeadline(time.Now().Add(stallTimeout))
	n, err := b.ReadCloser.Read(p)
	if err != nil { // net/http reads on, to notice a client that goes: that may take as long as it likes
		_ = b.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// patientWriter is where an answer goes.
type patientWriter struct {
	http.ResponseWriter
	c *http.ResponseController
}

// Write implements io.Writer.
func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.c.SetWriteDeadline(time.Now().Add(stallTimeout))
	return w.ResponseWriter.Write(p)
}

// FlushError implements what http.ResponseController looks for.
func (w *patientWriter) FlushError() error {
	_ = w.c.SetWriteDeadline(time.Now().Add(stallTimeout))
	return w.c.Flush()
}

// Unwrap gives http.ResponseController the rest.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
