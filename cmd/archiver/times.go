package main

import (
	"fmt"
	"strings"
	"time"

	"archiver/internal/config"
)

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
	v, err := config.ParseDuration(s)
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
	d, err := config.ParseDuration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as 2026-05-31T01:43:09Z, 2026-05-31 or 7d", s)
	}
	return now.Add(-d).UTC(), nil
}
