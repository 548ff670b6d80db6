package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// reorder is how long a line is kept back so that lines of several sources
// come out in the order in which things happened.
const reorder = 300 * time.Millisecond

// narrator prints one aligned line per happening. It is safe for concurrent
// use.
type narrator struct {
	start time.Time

	mu    sync.Mutex // guards what follows, out included
	out   io.Writer
	lines []line
}

type line struct {
	at           time.Time
	tenant, text string
}

func newNarrator(out io.Writer, start time.Time) *narrator { return &narrator{out: out, start: start} }

// say tells what happened to a tenant ("" is nobody in particular) at a time.
func (n *narrator) say(at time.Time, tenant, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line{at, tenant, fmt.Sprintf(format, args...)})
}

// flush prints what happened until then, in order.
func (n *narrator) flush(until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.SortStableFunc(n.lines, func(a, b line) int { return a.at.Compare(b.at) })
	i := 0
	for ; i < len(n.lines) && !n.lines[i].at.After(until); i++ {
		l := n.lines[i]
		at := max(0, l.at.Sub(n.start))
		// Who closed our output has seen enough.
		_, _ = fmt.Fprintf(n.out, "%02d:%04.1f  %-6s  %s\n", int(at.Minutes()), (at % time.Minute).Truncate(100*time.Millisecond).Seconds(), l.tenant, l.text)
	}
	n.lines = slices.Delete(n.lines, 0, i)
}

// printf prints at once, outside of the chronicle.
func (n *narrator) printf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = fmt.Fprintf(n.out, format, args...) // as above
}

// short is a recordId as people can tell it from others.
func short(recordID string) string {
	if r := []rune(recordID); len(r) > 10 {
		return string(r[:8]) + "…"
	}
	return recordID
}

// oneLine shortens a detail so that it fits into a line of the chronicle.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 150
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
