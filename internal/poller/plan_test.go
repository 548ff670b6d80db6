package poller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

// TestPlanOnce holds single answers against a waiting recording, one row a rule.
func TestPlanOnce(t *testing.T) {
	badTime := item("f1", 5, 2*m)
	badTime.StopTime = time.Time{}
	for _, c := range []struct {
		name  string
		after time.Duration
		a     answer
		want  []string
	}{
		{"empty, first hour: at every run", 5 * m, list(), []string{"next 0s"}},
		{"empty, after an hour: growing", h, list(), []string{"next 1m0s"}},
		{"empty, given up", giveUp, list(), []string{"quarantine never_produced", "next 24h0m0s"}},
		{"unfinished: not ready", 5 * m, list(unfinished(item("", 5, 2*m))), []string{"next 0s"}},
		{"finished just now: discovered, settles later", 5 * m, list(item("f1", 5, 2*m)), []string{"discover f1", "next 7m0s"}},
		{"finished exactly settle ago", 12 * m, list(item("f1", 5, 2*m)), []string{"discover f1", "settle", "next 1h0m0s"}},
		{"finished an instant less ago", 12*m - 1, list(item("f1", 5, 2*m)), []string{"discover f1", "next 1ns"}},
		{"two files, one unfinished: the other is not kept waiting", 12 * m, list(item("f1", 5, 2*m), unfinished(item("", 5, 3*m))), []string{"discover f1", "next 0s"}},
		{"stop time in the future (wrong zone): counts from the discovery", 5 * m, list(item("f1", 5, 8*h)), []string{"discover f1", "next 10m0s"}},
		{"stop time unreadable: counts from the discovery", 5 * m, list(badTime), []string{"discover f1", "next 10m0s"}},
		{"only others, long finished: redirected", 5 * m, list(of("S", item("f9", 5, -h)), of("T", item("f8", 5, -h))), []string{"redirect", "next never"}},
		{"only others, just finished: not yet", 5 * m, list(of("S", item("f9", 5, 2*m))), []string{"next 7m0s"}},
		{"only others, in the future: counts from tracking", 5 * m, list(of("S", item("f9", 5, 8*h))), []string{"next 5m0s"}},
		{"only others, one unfinished: not redirected", 12 * m, list(of("S", item("f9", 5, -h)), unfinished(of("T", item("", 5, -h)))), []string{"next 0s"}},
		{"own and others: others do not matter", 12 * m, list(item("f1", 5, 2*m), of("S", item("f9", 5, 11*m))), []string{"discover f1", "settle", "next 1h0m0s"}},
		{"400: counted", 5 * m, refused(fault.BadRequest, meetingapi.ErrBadParameters), []string{"next 1m0s"}},
		{"200001", 5 * m, refused(fault.Rejected, meetingapi.ErrNotYours), []string{"quarantine vendor_rejected", "next 24h0m0s"}},
		{"200004", 5 * m, refused(fault.Rejected, meetingapi.ErrRecordingNotAllowed), []string{"quarantine vendor_rejected", "next 24h0m0s"}},
		{"200005", 5 * m, refused(fault.Rejected, meetingapi.ErrLiveNotAllowed), []string{"quarantine vendor_rejected", "next 24h0m0s"}},
		{"200008 without a file", 5 * m, refused(fault.Rejected, meetingapi.ErrNoSuchConference), []string{"quarantine vendor_rejected", "next 24h0m0s"}},
		{"500: at the next run", 5 * m, refused(fault.Temporary, meetingapi.ErrServer), []string{"next 0s"}},
		{"an error that nobody has classified", 5 * m, answer{refused: refusalOf(errors.New("odd"))}, []string{"next 0s"}},
		{"403 of a suspended tenant: last in the row", 5 * m, refused(fault.Unauthorized, meetingapi.ErrAuth), []string{"next 0s"}},
		{"not ready", 5 * m, refused(fault.NotReady, meetingapi.ErrConferenceNotStarted), []string{"next 0s"}},
		{"not ready for too long", giveUp, refused(fault.NotReady, meetingapi.ErrConferenceNotStarted), []string{"quarantine never_produced", "next 24h0m0s"}},
		{"unreachable for long proves nothing", giveUp, refused(fault.Temporary, meetingapi.ErrServer), []string{"next 0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want(t, begin(t).poll(c.after, c.a), c.want...)
		})
	}
}

func TestPlanDescribesAndRemembers(t *testing.T) {
	s := begin(t)
	s.pol.retention = 30 * 24 * h
	s.poll(5*m, list(item("f1", -1, 2*m), item("f2", 7, 4*m)))
	if s.rec.ConferenceKey != "1866" || s.rec.EntID != "52" || !s.rec.StopTime.Equal(t0.Add(4*m)) || !s.rec.StartTime.Equal(t0.Add(2*m-h)) {
		t.Errorf("recording is described as %q %q %s %s", s.rec.ConferenceKey, s.rec.EntID, s.rec.StartTime, s.rec.StopTime)
	}
	f, _ := s.rec.File("f1")
	wantFile := state.File{
		ID: "f1", Filename: "f1.mp4", Phase: state.Discovered, DeclaredSize: -1, StartTime: t0.Add(2*m - h), StopTime: t0.Add(2 * m),
		SourcePath: "h.example/f1.mp4", Vendor: []byte(`{"recordId":"R"}`), Deadline: t0.Add(2*m + 30*24*h),
		DiscoveredAt: t0.Add(5 * m), Dest: state.Destination{Bucket: "b"}, Key: "k/f1.mp4",
	}
	if d := cmp.Diff(wantFile, f); d != "" {
		t.Errorf("file (-want +got):\n%s", d)
	}
	p := s.rec.Poll
	if !p.Named || !p.LastAt.Equal(t0.Add(5*m)) || !p.ChangedAt.IsZero() || p.Digest == "" || p.Error != "" {
		t.Errorf("poll remembers %+v", p)
	}
}

func TestChangesOfTheListing(t *testing.T) {
	s := begin(t).polled(5*m, list(item("f1", 5, 2*m)))
	fresh := item("f1", 5, 2*m)
	fresh.DownURL = "http://h.example/f1.mp4?sign=another"
	want(t, s.poll(6*m, list(fresh)), "next 6m0s") // a new signature is no change
	want(t, s.poll(7*m, list(item("f1", 6, 2*m))), "relist f1", "next 10m0s")
	want(t, s.poll(8*m, list(item("f2", 1, 3*m), item("f1", 6, 2*m))), "discover f2", "next 10m0s")
	want(t, s.poll(9*m, list(item("f1", 6, 2*m), item("f2", 1, 3*m))), "next 9m0s") // order is no change
	want(t, s.poll(18*m, list(item("f1", 6, 2*m), item("f2", 1, 3*m))), "settle", "next 1h0m0s")
	// An unknown size does not make a known one forgotten.
	want(t, s.poll(19*m, list(item("f1", -1, 2*m), item("f2", 1, 3*m))), "next 10m0s")
	if f, _ := s.rec.File("f1"); f.DeclaredSize != 6 {
		t.Errorf("declared size is %d", f.DeclaredSize)
	}
	cdn := item("f1", 6, 2*m)
	cdn.DownURL = "http://cdn.example/x/f1.mp4?sign=x"
	want(t, s.poll(40*m, list(cdn, item("f2", 1, 3*m))), "relist f1", "next 10m0s")
}

func TestIntervals(t *testing.T) {
	s := begin(t)
	at := h - m
	var got []time.Duration
	for range 20 {
		s.poll(at, list())
		d := s.rec.Poll.NextAt.Sub(t0.Add(at))
		got = append(got, d.Round(m))
		at += max(d, m)
	}
	first := []time.Duration{0, m, 2 * m, 2 * m, 3 * m, 5 * m}
	if d := cmp.Diff(first, got[:6]); d != "" {
		t.Errorf("intervals begin (-want +got):\n%s", d)
	}
	if got[19] != 6*h {
		t.Errorf("the longest interval is %s", got[19])
	}
	// A sign of life begins anew.
	want(t, s.poll(at, list(unfinished(item("", 5, at)))), "next 1m0s")
	// The last poll before giving up is not late.
	s.rec.Poll.Interval = 6 * h
	want(t, s.poll(giveUp-h, list(unfinished(item("", 5, at)))), "next 1h0m0s")
}

func TestTemporaryErrors(t *testing.T) {
	s := begin(t)
	bad := refused(fault.Temporary, meetingapi.ErrServer)
	want(t, s.poll(1*m, bad), "next 0s")
	want(t, s.poll(2*m, bad), "next 1m0s")
	want(t, s.poll(3*m, bad), "next 1m30s")
	slow := answer{refused: refusalOf(&fault.Error{Kind: fault.Temporary, RetryAfter: h})}
	want(t, s.poll(5*m, slow), "next 1h0m0s")
	if p := s.rec.Poll; p.Error == "" || p.Empty != 0 || p.Refusals != 0 {
		t.Errorf("poll remembers %+v", p)
	}
	want(t, s.poll(6*m, list()), "next 0s")
	if p := s.rec.Poll; p.Error != "" || p.Empty != 1 {
		t.Errorf("poll remembers %+v", p)
	}
}

func TestRefusals(t *testing.T) {
	bad := refused(fault.BadRequest, meetingapi.ErrBadParameters)
	t.Run("five over settle", func(t *testing.T) {
		s := begin(t)
		for i := range 5 {
			want(t, s.poll(time.Duration(i)*m, bad)[:1], "next "+s.next(time.Duration(i)*m))
		}
		want(t, s.poll(10*m, bad), "quarantine vendor_rejected", "next 24h0m0s")
		if !strings.Contains(s.rec.Detail, "400 bad parameters") {
			t.Errorf("detail is %q", s.rec.Detail)
		}
	})
	t.Run("long, but only four", func(t *testing.T) {
		s := begin(t)
		for i := range 4 {
			if got := s.poll(time.Duration(i)*h, bad); len(got) != 1 {
				t.Errorf("poll %d: %v", i, got)
			}
		}
	})
	t.Run("an answer in between begins anew", func(t *testing.T) {
		s := begin(t)
		for i := range 4 {
			s.poll(time.Duration(i)*m, bad)
		}
		s.poll(5*m, list())
		if got := s.poll(20*m, bad); len(got) != 1 || s.rec.Poll.Refusals != 1 {
			t.Errorf("%v, %d refusals", got, s.rec.Poll.Refusals)
		}
	})
}

func TestSettledAndLaterLooks(t *testing.T) {
	f1 := item("f1", 5, 0)
	s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12 * m)
	if s.rec.Status != state.Archived {
		t.Fatalf("status is %s", s.rec.Status)
	}
	want(t, s.poll(h+10*m, list(f1)), "next 23h0m0s")
	want(t, s.poll(24*h+10*m, list(f1)), "next 48h0m0s")
	want(t, s.poll(24*h+11*m, refused(fault.Rejected, meetingapi.ErrNotYours)), "next 47h59m0s")
	want(t, s.poll(72*h+10*m, list(f1)), "next never")
	if s.rec.Poll.Rechecks != 3 {
		t.Errorf("%d rechecks", s.rec.Poll.Rechecks)
	}
	// A late file that somebody else's question finds.
	late := item("f2", 6, 80*h)
	want(t, s.poll(81*h, list(f1, late)), "discover f2", "next 10m0s")
	if s.rec.Status != state.Archiving {
		t.Errorf("status is %s", s.rec.Status)
	}
	want(t, s.poll(81*h+10*m, list(f1, late)), "next 24h0m0s") // still on its way: once a day
	s.verified(82*h, "f2", 6).archived(82 * h)
	want(t, s.poll(105*h, list(f1, late)), "next never")
}

func TestLateFileAnnounced(t *testing.T) {
	f1, soon := item("f1", 5, 0), unfinished(item("", 6, h))
	s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12 * m)
	want(t, s.poll(h+10*m, list(f1, soon)), "next 1m0s")
	want(t, s.poll(h+11*m, list(f1, soon)), "next 1m30s")
	want(t, s.poll(giveUp+h+10*m, list(f1, soon)), "next never") // not for ever
	if s.rec.Status != state.Archived {
		t.Errorf("status is %s", s.rec.Status)
	}
}

func TestUnfinishedForEver(t *testing.T) {
	f1, open := item("f1", 5, 0), unfinished(item("", 6, h))
	s := begin(t).polled(10*m, list(f1, open)).verified(11*m, "f1", 5)
	if got := s.poll(giveUp-h, list(f1, open)); len(got) != 1 {
		t.Errorf("%v", got)
	}
	want(t, s.poll(giveUp, list(f1, open)), "quarantine never_produced", "next 24h0m0s")
	want(t, s.poll(giveUp+24*h, list(f1, open)), "next 24h0m0s")
	want(t, s.poll(giveUp+48*h, list(f1, item("f2", 6, h))), "retry", "discover f2", "next 10m0s")
}
