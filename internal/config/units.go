package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxDays is the longest duration that can be written, in days: a hundred
// years.
const maxDays = 36500

// ParseDuration reads Go's durations plus d for days of 24 hours, which come
// first: "90s", "1h30m", "30d", "1d12h". It is never negative, and at most
// 36,500 days. The error completes a sentence that begins with the text.
func ParseDuration(text string) (time.Duration, error) {
	const want = "is not a duration such as 90s, 1h30m, 30d or 1d12h"
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || rest == "" && !hasDays || strings.ContainsAny(rest, "+-") {
		return 0, errors.New(want)
	}
	var part time.Duration
	if rest != "" {
		if part, err = time.ParseDuration(rest); err != nil {
			return 0, errors.New(want)
		}
	}
	if n > maxDays || part > maxDays*day {
		return 0, fmt.Errorf("is more than %dd", maxDays)
	}
	return time.Duration(n)*day + part, nil
}

// formatDuration writes d as ParseDuration reads it, without the zero units
// that Go appends.
func formatDuration(d time.Duration) string {
	days, rest := d/day, d%day
	text := ""
	if days > 0 {
		text = strconv.FormatInt(int64(days), 10) + "d"
	}
	if rest == 0 && days > 0 {
		return text
	}
	tail := rest.String()
	if strings.HasSuffix(tail, "m0s") {
		tail = strings.TrimSuffix(tail, "0s")
	}
	if strings.HasSuffix(tail, "h0m") {
		tail = strings.TrimSuffix(tail, "0m")
	}
	return text + tail
}

// unit is a unit of size and its bytes.
type unit struct {
	name  string
	bytes int64
}

// units are the units of size.
func units() []unit {
	return []unit{
		{"PiB", 1 << 50},
		{"TiB", 1 << 40},
		{"GiB", 1 << 30},
		{"MiB", 1 << 20},
		{"KiB", 1 << 10},
		{"PB", 1e15},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"KB", 1e3},
		{"B", 1},
	}
}

// parseSize reads a number of bytes: "16MiB", "1GB", "1.5GiB" or "1048576".
// Units are what they are called: KiB to PiB are powers of 1,024, kB to PB of
// 1,000. Letters alone, such as 16M, are refused, because people disagree on
// them.
func parseSize(text string) (int64, error) {
	const want = "is not a size such as 16MiB, 1GB or 1048576"
	m := regexp.MustCompile(`^(\d+(?:\.\d+)?) ?([A-Za-z]*)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New(want)
	}
	if m[2] == "" {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return 0, errors.New(want)
		}
		return n, nil
	}
	for _, u := range units() {
		if u.name != m[2] {
			continue
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil || n*float64(u.bytes) >= math.MaxInt64 {
			return 0, errors.New("is too large")
		}
		return int64(math.Round(n * float64(u.bytes))), nil
	}
	return 0, fmt.Errorf("%s: the units are B, KiB, MiB, GiB, TiB, PiB, kB, MB, GB, TB and PB", want)
}

// formatSize writes n as parseSize reads it, in the unit that gives the
// shortest whole number.
func formatSize(n int64) string {
	best := unit{"", 1}
	for _, u := range units() {
		if n > 0 && n%u.bytes == 0 && u.bytes > best.bytes {
			best = u
		}
	}
	return strconv.FormatInt(n/best.bytes, 10) + best.name
}
