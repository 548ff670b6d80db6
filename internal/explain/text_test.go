package explain

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 499 * time.Millisecond: "0s", time.Minute: "1m", 61 * time.Second: "1m1s", 59*time.Second + 600*time.Millisecond: "1m",
		time.Hour: "1h", 25 * time.Hour: "1d1h", 48 * time.Hour: "2d", 90 * time.Minute: "1h30m",
	} {
		if got := Span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	if got := When(at.Add(-time.Hour), at); got != "2026-06-01T11:00:00Z (1h ago)" {
		t.Error(got)
	}
}
