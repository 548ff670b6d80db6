package sync

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"archiver/internal/download"
	"archiver/internal/fault"
	"archiver/internal/state"
)

// quickRetries is how often a range is tried again at once, in a row without
// a byte, before it is given up.
const quickRetries = 3

// origin is the source of one file, as all streams that read it share it. What
// the first answer said of it (open.go) does not change while they do.
type origin struct {
	*Syncer
	source  Source
	ref     state.FileRef
	from    string // the recording whose listing named this one, "" if none
	path    string // host/path, for errors
	log     *zap.Logger
	reading context.Context //nolint:containedctx // ends when no request is to be begun any more

	version state.SourceVersion
	pinned  bool
	single  bool // it cannot be resumed: one stream, or from the start

	relinking sync.Mutex

	mu  sync.Mutex
	url string // of the last answer; secret
}

// lastURL is where the last answer came from, for judging what it says.
func (o *origin) lastURL() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.url
}

// stream reads a file from an offset on, reconnecting at the very byte where
// an answer broke off. It belongs to one goroutine at a time.
type stream struct {
	*origin
	off     int64         // the next byte
	end     int64         // where the range that is asked for ends; -1: with the file
	body    io.ReadCloser // of the present answer, nil if there is none
	fails   int           // in a row, without a byte
	expired int           // links, in a row, without a byte
}

// connect asks for the bytes from s.off on, refreshing the link as often as
// that helps. The answer begins there, or at 0 where ranges are ignored.
func (s *stream) connect(ctx context.Context) (*download.Response, error) {
	for {
		if err := s.reading.Err(); err != nil {
			return nil, err
		}
		url, err := s.o.Links.Get(ctx, s.ref, s.from)
		if err != nil {
			return nil, &vendorError{err}
		}
		host := hostOf(url)
		if err := s.hosts.enter(host, s.ref); err != nil {
			return nil, err
		}
		resp, err := s.source.Get(ctx, s.request(url))
		if err == nil {
			s.reached(host)
			s.mu.Lock()
			s.url = url
			s.mu.Unlock()
			return resp, nil
		}
		if err = s.refused(host, err); err == nil {
			continue
		}
		if err := s.recover(ctx, url, err); err != nil {
			return nil, err
		}
	}
}

func (s *stream) request(url string) download.Request {
	req := download.Request{URL: url, Offset: s.off, Length: -1, Whole: s.single}
	if s.end >= 0 {
		req.Length = s.end - s.off
	}
	if s.pinned && !s.single { // without a strong validator each answer is a file of its own
		v := s.version
		req.Pin = &v
	}
	return req
}

// reached notes that the host has answered.
func (s *stream) reached(host string) {
	if s.hosts.answered(host) {
		s.log.Info("source host answers again", zap.String("host", host))
	}
}

// refused tells the host's door of a request that failed. It returns what
// there is to recover from; nil: ask again, which the door may refuse by now.
func (s *stream) refused(host string, err error) error {
	switch {
	case fault.KindOf(err) == fault.Canceled:
		return err
	case !download.Unanswered(err):
		s.reached(host)
		return err
	}
	until, closed, tried := s.hosts.silent(host, s.ref)
	switch {
	case closed:
		s.log.Warn("source host does not answer, its files wait", zap.String("host", host), zap.Time("until", until), zap.Error(err))
		return nil
	case tried:
		return &finalError{fromSource(err)}
	}
	return err
}

// finalError is of a stream that is not to be tried again now.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// recover returns nil if the source is worth another try right now.
func (s *stream) recover(ctx context.Context, url string, err error) error {
	if final, ok := errors.AsType[*finalError](err); ok {
		return final.err
	}
	switch fault.KindOf(err) {
	case fault.LinkExpired:
		s.expired++
		if s.expired > 2 {
			return fromSource(err) // fresh links do not help
		}
		return s.relink(ctx, url)
	case fault.Changed:
		return &startOver{"the source changed: " + err.Error()}
	case fault.Temporary:
		s.fails++
		wait := max(250*time.Millisecond<<s.fails, fault.RetryAfterOf(err))
		if s.fails > quickRetries || wait > 10*time.Second {
			return fromSource(err)
		}
		s.o.Observer.Retried(s.ref.Tenant, SideSource)
		return s.pause(ctx, wait)
	default:
		return fromSource(err)
	}
}

// relink has a link asked for that is not the refused one. Of the ranges of a
// file that are refused together, the first asks for all.
func (o *origin) relink(ctx context.Context, refused string) error {
	o.relinking.Lock()
	defer o.relinking.Unlock()
	if k, ok := o.o.Links.known(o.ref); ok && k.url != refused {
		return nil
	}
	if _, err := o.o.Links.Refresh(ctx, o.ref, o.from, RefreshRefused); err != nil {
		return &vendorError{err}
	}
	return nil
}

// pause waits, unless no request is to be begun any more.
func (s *stream) pause(ctx context.Context, d time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.reading, stop)()
	return sleep(ctx, d)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// readChunk bounds one Read, so that a bandwidth limit is smooth and a
// shutdown is not held up by a whole part.
const readChunk = 1 << 20

// fill reads until buf is full or the file ends (end). tell, if not nil, is
// told of bytes as they come.
func (s *stream) fill(ctx context.Context, buf []byte, tell func(n int)) (n int, end bool, err error) {
	for n < len(buf) && !s.atEnd() {
		if s.body == nil {
			if _, err := s.goOn(ctx); err != nil {
				return n, false, err
			}
		}
		m, err := s.body.Read(buf[n:min(len(buf), n+readChunk)])
		n += m
		s.off += int64(m)
		if m > 0 {
			s.fails, s.expired = 0, 0
			s.o.Observer.SourceRead(s.ref.Tenant, m)
			if tell != nil {
				tell(m)
			}
			if terr := s.throttle(ctx, m); terr != nil {
				return n, false, terr
			}
		}
		if errors.Is(err, io.EOF) {
			switch {
			case s.version.Length < 0, s.atEnd():
				s.close()
				return n, true, nil
			case s.end >= 0 && s.off >= s.end:
				s.close()
				s.end = -1 // the range is done; what follows is asked for to the end
				continue
			}
		}
		if err == nil {
			continue
		}
		if err := s.broken(ctx, err); err != nil {
			return n, false, err
		}
	}
	return n, s.atEnd(), nil
}

// goOn asks for what follows.
func (s *stream) goOn(ctx context.Context) (*download.Response, error) {
	resp, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if resp.Offset != s.off {
		_ = resp.Body.Close() // unread on purpose
		s.hosts.ignoresRanges(hostOf(s.path))
		return nil, errNoRanges
	}
	s.body = resp.Body
	return resp, nil
}

// errNoRanges says that a range was answered with the whole file.
var errNoRanges = &startOver{"the source no longer answers ranges"}

func (s *stream) atEnd() bool {
	return s.pinned && s.version.Length >= 0 && s.off >= s.version.Length
}

// broken decides what an answer that ended early means.
func (s *stream) broken(ctx context.Context, err error) error {
	s.close()
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	if errors.Is(err, io.EOF) {
		err = &fault.Error{Op: "download", Subject: s.path, Kind: fault.Temporary, Err: io.ErrUnexpectedEOF}
	}
	if s.single {
		return fromSource(err) // it cannot be resumed: the next attempt starts over
	}
	return s.recover(ctx, "", err)
}

// close ends the present answer. A connection whose answer was read to its end
// is used again.
func (s *stream) close() {
	if s.body != nil {
		_ = s.body.Close() // read-only: nothing can be lost
		s.body = nil
	}
}
