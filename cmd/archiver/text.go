package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"archiver/internal/apitype"
	"archiver/internal/explain"
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
func stamp(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return explain.Stamp(*t)
}

// shownAttention is how many recordings a summary names.
const shownAttention = 20

// attention lists what needs a person, of which more is not named.
func attention(all []apitype.Attention, more int) string {
	var b strings.Builder
	shown := min(len(all), shownAttention)
	for _, a := range all[:shown] {
		fmt.Fprintf(&b, "  %s: %s\n", name(a.Tenant, a.RecordID), plain(a.Why))
	}
	if more += len(all) - shown; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

// name is how people read which recording is meant.
func name(tenant, recordID string) string { return plain(tenant + "/" + recordID) }

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
