package sync

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/state"
)

func refOf(i int) state.FileRef {
	return state.FileRef{Key: state.Key{Tenant: "acme", RecordID: fmt.Sprint("r", i)}, FileID: "f"}
}

// down reports whether enter refuses, and until when.
func down(t *testing.T, err error) (time.Time, bool) {
	t.Helper()
	var d *hostDownError
	if err != nil && !errors.As(err, &d) {
		t.Fatal(err)
	}
	if d == nil {
		return time.Time{}, false
	}
	return d.until, true
}

func TestHosts(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := newHosts(func() time.Time { return now })
	for range 5 { // one file alone says nothing of the host
		if _, closed, _ := h.silent("a", refOf(1)); closed {
			t.Fatal("closed because of one file")
		}
	}
	h.silent("a", refOf(2))
	h.answered("a") // which ends the row
	h.silent("a", refOf(1))
	h.silent("a", refOf(2))
	if _, is := down(t, h.enter("a", refOf(9))); is {
		t.Fatal("closed after two files in a row")
	}
	until, closed, tried := h.silent("a", refOf(3))
	if !closed || tried || until != now.Add(time.Second) {
		t.Fatalf("three files in a row: until %v, closed %v, tried %v", until, closed, tried)
	}
	if at, is := down(t, h.enter("a", refOf(9))); !is || at != until {
		t.Errorf("let in until %v", at)
	}
	if _, is := down(t, h.enter("b", refOf(9))); is {
		t.Error("another host is closed too")
	}
	if _, closed, tried := h.silent("a", refOf(4)); closed || tried {
		t.Error("a file that was on its way when it closed is held to have tried")
	}
	var waits []time.Duration
	for i := range 8 {
		now = until
		if _, is := down(t, h.enter("a", refOf(i))); is {
			t.Fatal("nobody is let through to try")
		}
		if _, is := down(t, h.enter("a", refOf(i))); is {
			t.Fatal("who tries is sent away by its own second range")
		}
		if _, is := down(t, h.enter("a", refOf(i+100))); !is {
			t.Fatal("two try at once")
		}
		if until, _, tried = h.silent("a", refOf(i)); !tried {
			t.Fatal("who tried is not told so")
		}
		waits = append(waits, until.Sub(now))
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s, 60 * s}, waits); diff != "" {
		t.Error(diff)
	}
	now = until
	if _, is := down(t, h.enter("a", refOf(1))); is {
		t.Fatal("nobody is let through to try")
	}
	h.leave(refOf(1)) // it was stopped
	if _, is := down(t, h.enter("a", refOf(2))); is {
		t.Fatal("nobody may try any more")
	}
	if !h.answered("a") || h.answered("a") {
		t.Error("an answer does not open it")
	}
	for i := range 3 {
		if _, is := down(t, h.enter("a", refOf(i))); is {
			t.Error("closed after an answer")
		}
	}
	if len(h.doors) != 0 {
		t.Errorf("%d doors are kept of hosts that work", len(h.doors))
	}
}

func TestHostsRanged(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := newHosts(func() time.Time { return now })
	h.ignoresRanges("a")
	h.silent("a", refOf(1))
	h.answered("a")
	if h.ranged("a") || !h.ranged("b") {
		t.Error("which host ignores ranges is not remembered")
	}
	now = now.Add(plainFor)
	if !h.ranged("a") {
		t.Error("a host is never asked for ranges again")
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{
		"https://Files.Example.com/a/b?sign=x":    "files.example.com",
		"http://files.example.com:8080?x=/y@z":    "files.example.com:8080",
		"https://user:pw@files.example.com:1/a@b": "files.example.com:1",
		"http://[::1]:9/a":                        "[::1]:9",
		"http://files.example.com/%zz":            "files.example.com",
		"files.example.com:8080/a/b":              "files.example.com:8080",
		"files.example.com":                       "files.example.com",
		"":                                        "",
	} {
		if got := hostOf(in); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", in, got, want)
		}
	}
}
