package metrics

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

func TestAtRisk(t *testing.T) {
	t.Parallel()
	file := func(id string, left time.Duration, size int64) state.PendingFile {
		f := state.PendingFile{Ref: state.FileRef{FileID: id}, Phase: state.Discovered, Size: size}
		if left != 0 {
			f.Deadline = start.Add(left)
		}
		return f
	}
	quarantined := file("q", time.Hour, 1e12)
	quarantined.Phase = state.FileQuarantined
	stored := file("s", 100*time.Hour, 1e12)
	stored.Phase = state.Stored
	late := file("l", 47*time.Hour, 1)
	late.Phase = state.FileQuarantined
	far := file("far", 100*time.Hour, 1e15)
	far.Phase = state.FileQuarantined
	const hour = int64(3600 * 1000) // bytes of an hour at rate 1000
	for name, c := range map[string]struct {
		files []state.PendingFile
		rate  float64 // less than 0: not known
		want  []string
	}{
		"none":                {nil, 1000, nil},
		"48 hours":            {[]state.PendingFile{file("a", 48*time.Hour-1, 1), file("b", 48*time.Hour, 1)}, -1, []string{"a"}},
		"past":                {[]state.PendingFile{file("a", -time.Hour, 1)}, -1, []string{"a"}},
		"no deadline":         {[]state.PendingFile{file("a", 0, 1e15)}, 1, nil},
		"no rate":             {[]state.PendingFile{file("a", 49*time.Hour, 1e15)}, -1, nil},
		"nothing moves":       {[]state.PendingFile{file("a", 490*time.Hour, 1), file("b", 0, 1)}, 0, []string{"a"}},
		"nothing to be moved": {[]state.PendingFile{stored, file("a", 490*time.Hour, -1)}, 0, nil},
		"quarantined, late":   {[]state.PendingFile{late}, 1000, []string{"l"}},
		"quarantined, far":    {[]state.PendingFile{far}, 1000, nil},
		"itself too long":     {[]state.PendingFile{file("a", 50*time.Hour, 51*hour)}, 1000, []string{"a"}},
		"just in time":        {[]state.PendingFile{file("a", 50*time.Hour, 50*hour)}, 1000, nil},
		"behind others":       {[]state.PendingFile{file("a", 50*time.Hour, 40*hour), file("b", 60*time.Hour, 30*hour), file("c", 100*time.Hour, hour)}, 1000, []string{"b"}},
		"behind unknown size": {[]state.PendingFile{file("a", 50*time.Hour, -1), file("b", 60*time.Hour, hour)}, 1000, nil},
		"quarantined":         {[]state.PendingFile{quarantined, file("b", 60*time.Hour, hour)}, 1000, []string{"q"}},
		"stored already":      {[]state.PendingFile{stored, file("b", 101*time.Hour, hour)}, 1000, nil},
	} {
		var got []string
		for _, f := range AtRisk(c.files, c.rate, c.rate >= 0, start) {
			got = append(got, f.Ref.FileID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	var m meter
	near := func(want float64) {
		t.Helper()
		if got, _ := m.rate(); math.Abs(got-want) > want/100 {
			t.Errorf("%v bytes a second, want %v", got, want)
		}
	}
	m.add(5_000, 50*time.Second)
	if _, known := m.rate(); known {
		t.Error("a rate from less than a minute")
	}
	m.add(1_000, 10*time.Second)
	near(100)
	for range 6 * 60 * 6 { // six hours at another rate
		m.add(10_000, 10*time.Second)
	}
	near(1000)
	for range 6 * 60 {
		m.add(0, 10*time.Second) // an hour in which files hang
	}
	near(1000 / math.E)
}

// Time without any work says nothing of the rate.
func TestRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	flight := map[string]int{"acme": 1}
	w.o.Syncer.Transferring = func() map[string]int { return flight }
	w.SourceRead("acme", 60_000)
	w.measure(time.Minute)
	if got, _ := w.Rate("acme"); math.Abs(got-1000) > 1 {
		t.Errorf("%v bytes a second after a minute of work", got)
	}
	flight = nil
	w.measure(10 * time.Hour)
	if got, _ := w.Rate("acme"); math.Abs(got-1000) > 1 {
		t.Errorf("%v bytes a second after a quiet night", got)
	}
	if got, known := w.Rate("other"); known {
		t.Errorf("%v bytes a second of a tenant without work", got)
	}
	flight = map[string]int{"other": 1}
	w.measure(time.Hour)
	if got, known := w.Rate("other"); !known || got != 0 {
		t.Errorf("%v bytes a second, %v, of a tenant whose sources give nothing", got, known)
	}
}
