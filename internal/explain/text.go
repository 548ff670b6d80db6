package explain

import (
	"strconv"
	"strings"
	"time"
)

// Stamp renders a time as every text does; "-" for none.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// When renders a time with how far away it is.
func When(t, now time.Time) string {
	d := t.Sub(now)
	if d < 0 {
		return Stamp(t) + " (" + Span(-d) + " ago)"
	}
	return Stamp(t) + " (in " + Span(d) + ")"
}

// Span renders a duration in its two largest units.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Round(time.Second); {
	case d >= day:
		return two(int64(d/day), "d", int64(d%day/time.Hour), "h")
	case d >= time.Hour:
		return two(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "m")
	case d >= time.Minute:
		return two(int64(d/time.Minute), "m", int64(d%time.Minute/time.Second), "s")
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

func two(a int64, au string, b int64, bu string) string {
	s := strconv.FormatInt(a, 10) + au
	if b > 0 {
		s += strconv.FormatInt(b, 10) + bu
	}
	return s
}

// Count renders "1 file", "2 files".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Sentences joins what there is to say; "" is nothing.
func Sentences(all ...string) string {
	var said []string
	for _, s := range all {
		if s != "" {
			said = append(said, s)
		}
	}
	return strings.Join(said, "; ")
}
