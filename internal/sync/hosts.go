package sync

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"archiver/internal/state"
)

// hosts are the doors to the hosts that files are downloaded from. Where
// deadFiles different files in a row got no answer at all (refused, timed out,
// reset), the door closes for a second, doubling up to a minute, and then lets
// one file through to try; the first answer opens it. Files that wait behind
// it are not charged an attempt, so a thousand recordings on a dead host stay
// calm; the one that tried is.
//
// It also remembers which hosts do not keep to ranges, so that their files are
// read in one stream.
type hosts struct {
	clock func() time.Time

	mu    sync.Mutex
	doors map[string]*hostDoor // by host and port, as in the URL
}

type hostDoor struct {
	failed map[state.FileRef]struct{} // in a row, without an answer in between
	wait   time.Duration              // 0: the door is open
	until  time.Time
	trying state.FileRef // let through to try; zero: nobody
	plain  time.Time     // until when it is not asked for ranges; zero: it keeps to them
}

const (
	deadFiles     = 3
	leastHostWait = time.Second
	mostHostWait  = time.Minute
	plainFor      = time.Hour
)

func newHosts(clock func() time.Time) *hosts {
	return &hosts{clock: clock, doors: map[string]*hostDoor{}}
}

// hostDownError keeps a file waiting behind a closed door.
type hostDownError struct {
	host  string
	until time.Time
}

func (e *hostDownError) Error() string {
	return fmt.Sprintf("download from %s: the host does not answer; waiting for it, this is no failed attempt of the file", e.host)
}

// hostOf returns host and port of a download URL, or of a host/path.
func hostOf(raw string) string {
	if strings.Contains(raw, "://") {
		if u, err := url.Parse(raw); err == nil {
			return strings.ToLower(u.Host)
		}
		_, raw, _ = strings.Cut(raw, "://")
	}
	if i := strings.IndexAny(raw, "/?#"); i >= 0 {
		raw = raw[:i]
	}
	return strings.ToLower(raw[strings.LastIndexByte(raw, '@')+1:])
}

// enter reports whether the file may ask the host now: nil, or a
// *hostDownError. Who is let through to try stays so until answered, silent or
// leave.
func (h *hosts) enter(host string, f state.FileRef) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.doors[host]
	if d == nil || d.wait == 0 || d.trying == f {
		return nil
	}
	now := h.clock()
	if now.Before(d.until) {
		return &hostDownError{host, d.until}
	}
	if d.trying != (state.FileRef{}) {
		return &hostDownError{host, now.Add(leastHostWait)} // somebody is at it
	}
	d.trying = f
	return nil
}

// silent notes that the host gave the file no answer. closed: the door has
// closed just now, until the time given. tried: it was this file that tried a
// closed door, so the failure is its own.
func (h *hosts) silent(host string, f state.FileRef) (until time.Time, closed, tried bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.door(host)
	if d.wait > 0 {
		if tried = d.trying == f; tried {
			d.trying = state.FileRef{}
			d.wait = min(2*d.wait, mostHostWait)
			d.until = h.clock().Add(d.wait)
		}
		return d.until, false, tried
	}
	if d.failed == nil {
		d.failed = map[state.FileRef]struct{}{}
	}
	d.failed[f] = struct{}{}
	if len(d.failed) < deadFiles {
		return time.Time{}, false, false
	}
	d.wait, d.failed = leastHostWait, nil
	d.until = h.clock().Add(d.wait)
	return d.until, true, false
}

// answered opens the door, and reports whether it was closed.
func (h *hosts) answered(host string) (was bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.doors[host]
	if d == nil {
		return false
	}
	was = d.wait > 0
	d.failed, d.wait, d.trying = nil, 0, state.FileRef{}
	if d.plain.IsZero() {
		delete(h.doors, host)
	}
	return was
}

// leave lets another file try where this one was at it and came to no end.
func (h *hosts) leave(f state.FileRef) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.doors {
		if d.trying == f {
			d.trying = state.FileRef{}
		}
	}
}

// ignoresRanges notes that the host does not keep to ranges.
func (h *hosts) ignoresRanges(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.door(host).plain = h.clock().Add(plainFor)
}

// ranged reports whether the host may be asked for ranges.
func (h *hosts) ranged(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.doors[host]
	return d == nil || !h.clock().Before(d.plain)
}

// door returns the host's door, making one. The caller holds mu.
func (h *hosts) door(host string) *hostDoor {
	d := h.doors[host]
	if d == nil {
		d = &hostDoor{}
		h.doors[host] = d
	}
	return d
}
