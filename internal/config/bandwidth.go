package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const week = 7 * day

// Bandwidth is a limit on what is downloaded, which may change over the week.
// The zero value is no limit.
type Bandwidth struct {
	spec    string
	changes []change // ascending; the last one holds on into the next week
}

// A change sets the limit from one instant of the week on.
type change struct {
	at    time.Duration // since Sunday 00:00
	limit int64         // bytes per second, 0: none
}

// LimitAt returns the limit at t in bytes per second, 0 if there is none. A
// timetable is read in t's own zone: pass local time for the machine's wall
// clock, as rclone does.
func (b Bandwidth) LimitAt(t time.Time) int64 {
	if len(b.changes) == 0 {
		return 0
	}
	at := time.Duration(t.Weekday())*day + time.Duration(t.Hour())*time.Hour +
		time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	i, found := slices.BinarySearchFunc(b.changes, at, func(c change, at time.Duration) int { return cmp.Compare(c.at, at) })
	switch {
	case found:
		return b.changes[i].limit
	case i == 0: // before the first change the week's last one still holds
		return b.changes[len(b.changes)-1].limit
	}
	return b.changes[i-1].limit
}

// String returns the limit as it was written.
func (b Bandwidth) String() string { return b.spec }

// parseBandwidth reads "" and "off" (no limit), a rate such as "50MiB/s" (the
// "/s" may be left out), or a timetable: entries separated by ";", each of
// them optional days, a time, a comma, and a rate or "off", such as
// "Mon-Fri 08:00,20MiB/s; 18:00,off". An entry without days holds for every
// day, and each holds until the next.
func parseBandwidth(text string) (Bandwidth, error) {
	b := Bandwidth{spec: text}
	if text == "" {
		return b, nil
	}
	if !strings.ContainsAny(text, ",;") {
		limit, err := parseRate(text)
		if err != nil {
			return Bandwidth{}, err
		}
		b.changes = []change{{0, limit}}
		return b, nil
	}
	entry := regexp.MustCompile(`^(?:([A-Z][a-z]{2})(?:-([A-Z][a-z]{2}))? +)?(\d\d):(\d\d) *, *(\S.*)$`)
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		m := entry.FindStringSubmatch(part)
		if m == nil {
			return Bandwidth{}, fmt.Errorf(`has an entry %q, which isn't like "Mon-Fri 08:00,20MiB/s" or "18:00,off"`, part)
		}
		changes, err := parseEntry(m)
		if err != nil {
			return Bandwidth{}, fmt.Errorf("has an entry %q: %w", part, err)
		}
		b.changes = append(b.changes, changes...)
	}
	slices.SortFunc(b.changes, func(x, y change) int { return cmp.Compare(x.at, y.at) })
	for i, c := range b.changes[1:] {
		if c.at == b.changes[i].at {
			return Bandwidth{}, fmt.Errorf("has two entries for %s %s", weekday(c.at), clock(c.at))
		}
	}
	return b, nil
}

// parseEntry reads the submatches of an entry: first and last day, hour,
// minute, rate.
func parseEntry(m []string) ([]change, error) {
	limit, err := parseRate(m[5])
	if err != nil {
		return nil, fmt.Errorf("%q %w", m[5], err)
	}
	at, err := time.Parse("15:04", m[3]+":"+m[4])
	if err != nil {
		return nil, errors.New("the time must lie between 00:00 and 23:59")
	}
	first, count := 0, 7
	if m[1] != "" {
		names := []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
		first = slices.Index(names, m[1])
		last := first
		if m[2] != "" {
			last = slices.Index(names, m[2])
		}
		if first < 0 || last < 0 {
			return nil, errors.New("the days are Mon, Tue, Wed, Thu, Fri, Sat and Sun")
		}
		count = (last-first+7)%7 + 1
	}
	changes := make([]change, 0, count)
	for i := range count {
		since := time.Duration((first+i)%7)*day + time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
		changes = append(changes, change{since, limit})
	}
	return changes, nil
}

func parseRate(text string) (int64, error) {
	if text == "off" {
		return 0, nil
	}
	n, err := parseSize(strings.TrimSuffix(text, "/s"))
	if err != nil {
		return 0, errors.New(`is not a rate such as 50MiB/s, or off`)
	}
	if n < 1024 {
		return 0, errors.New("is less than 1KiB/s; no limit is written off")
	}
	return n, nil
}

func weekday(at time.Duration) time.Weekday { return time.Weekday(at % week / day) }

func clock(at time.Duration) string {
	return fmt.Sprintf("%02d:%02d", at%day/time.Hour, at%time.Hour/time.Minute)
}
