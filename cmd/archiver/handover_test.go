package main

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"archiver/internal/state"
)

// listOf yields ids, and then an error if there is one.
func listOf(err error, ids ...string) iter.Seq2[state.Key, error] {
	return func(yield func(state.Key, error) bool) {
		for _, id := range ids {
			if !yield(state.Key{Tenant: "acme", RecordID: id}, nil) {
				return
			}
		}
		if err != nil {
			yield(state.Key{}, err)
		}
	}
}

func TestHand(t *testing.T) {
	var b strings.Builder
	if err := hand(&b, listOf(nil, "b", "a<", "b")); err != nil {
		t.Fatal(err)
	}
	want := `{"tenant":"acme","record_id":"b"}` + "\n" + `{"tenant":"acme","record_id":"a<"}` + "\n" + `{"tenant":"acme","record_id":"b"}` + "\n"
	if b.String() != want {
		t.Error(b.String())
	}
	broken := errors.New("broken")
	if err := hand(io.Discard, listOf(broken, "a")); !errors.Is(err, broken) {
		t.Errorf("a list that breaks off: %v", err)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(broken)
	if err := hand(w, listOf(nil, "a")); !errors.Is(err, broken) {
		t.Errorf("nobody reads: %v", err)
	}
}

// TestHandBreathes: a list that somebody types is not given up, and what was
// typed is not held back for ever.
func TestHandBreathes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		typed := make(chan string)
		go func() {
			_ = w.CloseWithError(hand(w, func(yield func(state.Key, error) bool) {
				for id := range typed {
					if !yield(state.Key{Tenant: "acme", RecordID: id}, nil) {
						return
					}
				}
			}))
		}()
		typed <- "a"
		in := bufio.NewScanner(r)
		for _, want := range []string{`{"tenant":"acme","record_id":"a"}`, "", ""} { // only time goes on
			if !in.Scan() || in.Text() != want {
				t.Fatalf("%q, want %q; %v", in.Text(), want, in.Err())
			}
		}
		close(typed)
		for in.Scan() {
			if in.Text() != "" {
				t.Errorf("%q at the end", in.Text())
			}
		}
	})
}
