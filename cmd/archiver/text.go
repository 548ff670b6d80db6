package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"archiver/internal/daemon"
)

// human renders bytes in the largest power of 1,024 that leaves a digit before
// the point: "999 B", "18.0 MiB".
func human(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/(1<<10), 0
	for f >= 1023.95 && i < len(units)-1 { // what would be printed as 1024.0
		f /= 1 << 10
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// exact renders bytes for people and for machines.
func exact(n int64) string {
	if n < 1<<10 {
		return human(n)
	}
	return fmt.Sprintf("%s (%d bytes)", human(n), n)
}

// count renders "1 file", "2 files".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// plain is text of others as it may go to a terminal: on one line, without
// control characters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			return '?'
		case unicode.Is(unicode.Bidi_Control, r):
			return '?'
		}
		return r
	}, s)
}

// cut shortens text to at most n characters.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// stamp renders a time as every command prints it; "-" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// when renders a time with how far away it is.
func when(t, now time.Time) string {
	d := t.Sub(now)
	if d < 0 {
		return stamp(t) + " (" + span(-d) + " ago)"
	}
	return stamp(t) + " (in " + span(d) + ")"
}

// span renders a duration in its two largest units.
func span(d time.Duration) string {
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

// shownAttention is how many recordings a summary names.
const shownAttention = 20

// attention lists what needs a person.
func attention(all []daemon.Attention) string {
	var b strings.Builder
	for i, a := range all {
		if i == shownAttention {
			fmt.Fprintf(&b, "  and %d more\n", len(all)-i)
			break
		}
		fmt.Fprintf(&b, "  %s: %s\n", plain(a.Key.String()), plain(a.Why))
	}
	return b.String()
}

// columns aligns rows, two blanks apart. Rows may have fewer cells than
// others; nothing ends in blanks.
func columns(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		blanks := 0
		for i, cell := range row {
			if cell != "" {
				b.WriteString(strings.Repeat(" ", blanks) + cell)
				blanks = 0
			}
			blanks += widths[i] - utf8.RuneCountInString(cell) + 2
		}
		b.WriteByte('\n')
	}
	return b.String()
}
