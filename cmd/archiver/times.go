package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads what the configuration reads: Go's durations, with days
// of 24 hours in front ("90s", "1h30m", "30d", "1d12h"), never negative.
func parseDuration(s string) (time.Duration, error) {
	wrong := errors.New("is not a duration such as 90s, 1h30m, 30d or 1d12h")
	const day = 24 * time.Hour
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 16) // 2^16 days are less than an int64 of nanoseconds
	if err != nil || rest == "" && !hasDays || strings.ContainsAny(rest, "+-") {
		return 0, wrong
	}
	sum := time.Duration(n) * day
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || sum+d < sum {
			return 0, wrong
		}
		sum += d
	}
	return sum, nil
}

// duration is a flag that holds a duration.
type duration time.Duration

// String implements pflag.Value.
func (d *duration) String() string {
	s := time.Duration(*d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// Set implements pflag.Value.
func (d *duration) Set(s string) error {
	v, err := parseDuration(s)
	if err != nil {
		return err
	}
	*d = duration(v)
	return nil
}

// Type implements pflag.Value.
func (*duration) Type() string { return "duration" }

// parseTime reads a point in time: RFC 3339, a date (UTC midnight), or how long
// ago it was ("7d").
func parseTime(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	d, err := parseDuration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as 2026-05-31T01:43:09Z, 2026-05-31 or 7d", s)
	}
	return now.Add(-d).UTC(), nil
}
