package main

import (
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"archiver/internal/apitype"
)

// at is now in these tests.
var at = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestHuman(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB",
		18874369: "18.0 MiB", 1<<30 - 1: "1.0 GiB", 5 << 40: "5.0 TiB", math.MaxInt64: "8.0 EiB",
	} {
		if got := human(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	if got := plain("a\n\tb\x1b[31m\u202ec\xff é"); got != "a  b?[31m?c? é" {
		t.Errorf("%q", got)
	}
	if got := cut("äöü", 3); got != "äöü" {
		t.Error(got)
	}
	if got := cut("äöüß", 3); got != "äö…" {
		t.Error(got)
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-05-31T01:43:09+08:00": time.Date(2026, 5, 30, 17, 43, 9, 0, time.UTC),
		"2026-05-31":                time.Date(2026, 5, 31, 0, 0, 0, 0, time.UTC),
		"7d":                        at.Add(-7 * 24 * time.Hour),
		"1d12h":                     at.Add(-36 * time.Hour),
		"90s":                       at.Add(-90 * time.Second),
	} {
		if got, err := parseTime(text, at); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-7d", "1d-2h", "+1h", "1h1d", "65536d", "9223372036s1d", "2026-13-01"} {
		if got, err := parseTime(text, at); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
	for d, want := range map[time.Duration]string{15 * time.Minute: "15m", time.Hour: "1h", 90 * time.Minute: "1h30m", 0: "0s", 10 * time.Second: "10s"} {
		if got := (*duration)(&d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestAttention(t *testing.T) {
	var all []apitype.Attention
	for i := range shownAttention {
		all = append(all, apitype.Attention{Tenant: "acme", RecordID: fmt.Sprint(i), Why: "why"})
	}
	if text := attention(all, 0); strings.Count(text, "\n") != shownAttention || strings.Contains(text, "more") {
		t.Error(text)
	}
	for _, more := range []int{0, 3} {
		want := fmt.Sprintf("\n  and %d more\n", shownAttention+more)
		if text := attention(append(all, all...), more); strings.Count(text, "\n") != shownAttention+1 || !strings.HasSuffix(text, want) {
			t.Error(text)
		}
	}
	if text := attention(all[:1], 2); text != "  acme/0: why\n  and 2 more\n" {
		t.Error(text)
	}
}

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	for _, c := range []struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{"", nil, "archiver devel (commit unknown) "},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "archiver devel (commit unknown) "},
		{"", info, "archiver v1.2.3 (commit abc, modified) "},
		{"v2", info, "archiver v2 (commit abc, modified) "},
	} {
		if got := versionOf(c.linked, c.info).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, want %s…", got, c.want)
		}
	}
}
