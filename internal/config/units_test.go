package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 30 * day, "1d12h": 36 * time.Hour, "0d": 0, "0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute,
		"1500ms": 1500 * time.Millisecond, "36500d": maxDays * day, "1d1ns": day + 1,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-5m", "+5m", "-1d", "1d-2h", "1.5d", "1dd", "12h1d", "1x", "1 h", "36501d", "99999999999d", "876001h", "1d 2h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "16MiB": 16 << 20, "16 MiB": 16 << 20, "1GB": 1e9, "1.5GiB": 3 << 29, "1TiB": 1 << 40, "10kB": 10e3, "10KB": 10e3, "1B": 1,
		"9223372036854775807": 1<<63 - 1, "8191PiB": 8191 << 50,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "16M", "16mib", "-1", "+1", "1e3", "1.5", "0x10", "1_000", "9223372036854775808", "8192PiB", "1 MiB ", "1  MiB", "NaNB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(maxDays*day)).Draw(t, "d"))
		d = d.Truncate(rapid.SampledFrom([]time.Duration{1, time.Second, time.Minute, time.Hour, day}).Draw(t, "to"))
		if got, err := ParseDuration(formatDuration(d)); err != nil || got != d {
			t.Fatalf("%v is written %q and read %v, %v", d, formatDuration(d), got, err)
		}
		n := rapid.Int64Range(0, 1<<52).Draw(t, "n")
		n -= n % rapid.SampledFrom([]int64{1, 1000, 1 << 20, 1e9}).Draw(t, "of")
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("%d is written %q and read %v, %v", n, formatSize(n), got, err)
		}
	})
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", day: "1d", 36 * time.Hour: "1d12h", time.Hour: "1h", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour + time.Second: "1h0m1s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1kB", 1024: "1KiB", 1536: "1536", 8 << 20: "8MiB", 1e12: "1TB", 5 << 30: "5GiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestBandwidth(t *testing.T) {
	// 2024-01-01 is a Monday
	at := func(dayOfMonth, hour, minute int) time.Time {
		return time.Date(2024, 1, dayOfMonth, hour, minute, 59, 0, time.UTC)
	}
	const office = "Mon-Fri 08:00,20MiB/s; 18:00,off"
	for _, test := range []struct {
		spec string
		at   time.Time
		want int64
	}{
		{"", at(1, 0, 0), 0},
		{"off", at(1, 0, 0), 0},
		{"50MiB/s", at(1, 0, 0), 50 << 20},
		{"1000000", at(7, 23, 59), 1e6},
		{office, at(1, 7, 59), 0},
		{office, at(1, 8, 0), 20 << 20},
		{office, at(5, 17, 59), 20 << 20},
		{office, at(5, 18, 0), 0},
		{office, at(6, 12, 0), 0},
		{"Mon 08:00,1MiB/s; Fri 20:00,2MiB/s", at(1, 7, 0), 2 << 20}, // still last week's
		{"Mon 08:00,1MiB/s; Fri 20:00,2MiB/s", at(5, 19, 0), 1 << 20},
		{"Sat-Mon 00:00,1MiB/s; Tue 00:00,off", at(7, 1, 0), 1 << 20},
		{"Sat-Mon 00:00,1MiB/s; Tue 00:00,off", at(1, 1, 0), 1 << 20},
		{"Sat-Mon 00:00,1MiB/s; Tue 00:00,off", at(2, 0, 0), 0},
		{"18:00,off;08:00 , 1MiB/s", at(3, 9, 0), 1 << 20}, // in any order
	} {
		b, err := parseBandwidth(test.spec)
		if err != nil {
			t.Errorf("%q: %v", test.spec, err)
			continue
		}
		if got := b.LimitAt(test.at); got != test.want || b.String() != test.spec {
			t.Errorf("%q at %s: %d, want %d", b, test.at.Format("Mon 15:04"), got, test.want)
		}
	}
	for _, spec := range []string{
		"0", "fast", "1023", "50M/s", "-1MiB/s", "08:00,1MiB/s;", "24:00,off", "8:00,off", "Mo 08:00,off", "Mon-Xyz 08:00,off",
		"Mon 08:00,off; 08:00,1MiB/s", "08:00", "08:00,", "Mon,Tue 08:00,off", "mon 08:00,off",
	} {
		if b, err := parseBandwidth(spec); err == nil {
			t.Errorf("%q: %+v, want an error", spec, b)
		}
	}
}
