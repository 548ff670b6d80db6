package poller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// t0 is when recordings of these tests are tracked.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	settle = 10 * time.Minute
	giveUp = 30 * 24 * time.Hour
)

func testPolicy() policy {
	return policy{
		settle: settle, maxInterval: 6 * time.Hour, giveUpAfter: giveUp, every: time.Minute,
		recheck: []time.Duration{time.Hour, 24 * time.Hour, 72 * time.Hour},
		dest:    state.Destination{Bucket: "b"},
		keys: func(it meetingapi.Identified, fileID string) []string {
			return []string{"k/" + it.Filename, "k/" + it.Filename + "~" + fileID}
		},
	}
}

// item is a finished item of recording "R" that stopped at t0+stop.
func item(id string, size int64, stop time.Duration) meetingapi.Identified {
	at := t0.Add(stop)
	return meetingapi.Identified{
		Owner: "R", FileID: id, Filename: id + ".mp4",
		Item: meetingapi.Item{
			RecordID: "R", ConferenceKey: "1866", EntID: "52", FileSize: size,
			StartTime: at.Add(-time.Hour), StopTime: at,
			StartRaw: at.Add(-time.Hour).Format(time.DateTime), StopRaw: at.Format(time.DateTime),
			DownURL: "http://h.example/" + id + ".mp4?sign=secret", Raw: []byte(`{"recordId":"R"}`),
		},
	}
}

func unfinished(it meetingapi.Identified) meetingapi.Identified {
	it.DownURL, it.FileID, it.StopRaw, it.StopTime = "", "", "", time.Time{}
	return it
}

func of(owner string, it meetingapi.Identified) meetingapi.Identified {
	it.Owner, it.RecordID = owner, owner
	return it
}

func list(items ...meetingapi.Identified) answer { return answer{facts: read("R", items)} }

func refused(kind fault.Kind, err error) answer {
	return answer{refused: refusalOf(&fault.Error{Op: "vendor getRecords", Subject: "R", Kind: kind, Err: err})}
}

// story is a recording that is polled and otherwise moved, with time going on.
type story struct {
	t   *testing.T
	rec state.Recording
	pol policy
}

func begin(t *testing.T) *story {
	s := &story{t: t, pol: testPolicy(), rec: state.Recording{Tenant: "a", RecordID: "R"}}
	return s.apply(0, state.Track{})
}

func (s *story) apply(after time.Duration, changes ...state.Change) *story {
	s.t.Helper()
	env := state.Env{At: t0.Add(after), KeyTaken: func(state.FileRef, state.Destination, string) bool { return false }}
	rec, _, err := state.Apply(s.rec, env, changes...)
	if err != nil {
		s.t.Fatalf("at +%s: %v", after, err)
	}
	s.rec = rec
	if p := rec.Problems(); len(p) > 0 {
		s.t.Fatalf("at +%s: %v", after, p)
	}
	return s
}

// poll plans and applies an answer at t0+after, and returns what it led to.
func (s *story) poll(after time.Duration, a answer) []string {
	s.t.Helper()
	changes, err := plan(s.rec, a, t0.Add(after), s.pol)
	if err != nil {
		s.t.Fatalf("plan at +%s: %v", after, err)
	}
	s.apply(after, changes...)
	return append(words(changes), "next "+s.next(after))
}

func (s *story) next(after time.Duration) string {
	if s.rec.Poll.NextAt.IsZero() {
		return "never"
	}
	return s.rec.Poll.NextAt.Sub(t0.Add(after)).String()
}

func (s *story) polled(after time.Duration, a answer) *story {
	s.t.Helper()
	s.poll(after, a)
	return s
}

func (s *story) stored(after time.Duration, id string, size int64) *story {
	return s.apply(after, state.Start{FileID: id}, state.Pin{FileID: id},
		state.MarkStored{FileID: id, Size: size, Sums: state.Checksums{SHA256: "00"}})
}

func (s *story) verified(after time.Duration, id string, size int64) *story {
	return s.stored(after, id, size).apply(after, state.Verify{FileID: id, Level: state.LevelFullObject})
}

func (s *story) archived(after time.Duration) *story {
	r := s.rec
	r.ArchivedAt = t0.Add(after)
	return s.apply(after, state.ManifestWritten{Key: "m", ETag: "e", Rendered: r})
}

// words says what the changes decide; Describe and Polled decide nothing.
func words(changes []state.Change) []string {
	var out []string
	for _, c := range changes {
		switch c := c.(type) {
		case state.Polled, state.Describe:
		case state.Discover:
			out = append(out, "discover "+c.FileID)
		case state.Relist:
			out = append(out, "relist "+c.FileID)
		case state.Miss:
			out = append(out, "miss "+c.FileID)
		case state.Supersede:
			out = append(out, "supersede "+c.FileID)
		case state.QuarantineFile:
			out = append(out, "quarantine "+c.FileID+" "+string(c.Reason))
		case state.Quarantine:
			out = append(out, "quarantine "+string(c.Reason))
		default:
			out = append(out, strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", c), "state.")))
		}
	}
	return out
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
}

const m, h = time.Minute, time.Hour
