package sync

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// denied is what the bucket answers to a call for one key.
func denied(op, key string) error {
	return fmt.Errorf("archive: %w", &fault.Error{
		Op: "s3 " + op, Subject: "a/" + key, Kind: fault.Unauthorized, Status: 403, Code: "AccessDenied",
		Hint: "give the role s3:" + op, Err: errors.New("403 AccessDenied: not " + key),
	})
}

// TestGateTellsEachCauseOnce: another cause is news, also while the pause of
// the one before goes on; the same one, of whichever file, is not, until the
// bucket has worked meanwhile. What is shown is the newest.
func TestGateTellsEachCauseOnce(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g := newGate(func() time.Time { return now }, 30*time.Second)
	at := state.Destination{Bucket: "a"}
	passing := &fault.Error{Op: "s3 UploadPart", Subject: "a/1", Kind: fault.Temporary, Status: 500, Code: "InternalError"}
	gone := &fault.Error{Op: "s3 UploadPart", Subject: "a/1", Kind: fault.NotFound, Status: 404, Code: "NoSuchUpload"}
	step := func(name string, why error, news bool) {
		t.Helper()
		if _, got := g.pause("acme", at, why); got != news {
			t.Errorf("%s: news %v, want %v", name, got, news)
		}
		if got := g.paused()["acme"]; got != why.Error() {
			t.Errorf("%s: shown is %q, want %q", name, got, why)
		}
	}
	step("the first", passing, true)
	step("another code, while it is shut", gone, true)
	now = now.Add(31 * time.Second)
	step("what lasts, at the next try", denied("PutObject", "1"), true)
	step("another file", denied("PutObject", "2"), false)
	step("another call", denied("HeadObject", "1"), true)
	hint := &fault.Error{Op: "s3 HeadObject", Subject: "a/1", Kind: fault.Unauthorized, Status: 403, Code: "AccessDenied", Hint: "give it another"}
	step("another thing to do", hint, true)
	for range 3 {
		now = now.Add(time.Hour)
		step("met by turns, large", denied("PutObject", "3"), false)
		step("met by turns, small", denied("HeadObject", "4"), false)
	}
	step("of no known kind", errors.New("a"), true)
	step("again of no known kind", errors.New("b"), false)
	if _, news := g.pause("globex", at, gone); !news {
		t.Error("another tenant's is not news")
	}
	g.open("acme", at, true)
	step("after it worked", denied("PutObject", "1"), true)
}

// TestGatePausedNoLonger: a pause that nobody tries to end is not told for
// ever, and goes on to grow when somebody does.
func TestGatePausedNoLonger(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g := newGate(func() time.Time { return now }, 30*time.Second)
	at := state.Destination{Bucket: "a"}
	g.pause("acme", at, denied("PutObject", "a"))
	now = now.Add(time.Minute)
	if len(g.paused()) != 1 {
		t.Error("forgotten before anybody could try")
	}
	now = now.Add(time.Second)
	if got := g.paused(); len(got) != 0 {
		t.Errorf("still told: %v", got)
	}
	if until, news := g.pause("acme", at, denied("PutObject", "a")); news || until != now.Add(time.Minute) {
		t.Errorf("paused again until %v, news %v", until, news)
	}
	if len(g.paused()) != 1 {
		t.Error("paused again, and not told")
	}
}
