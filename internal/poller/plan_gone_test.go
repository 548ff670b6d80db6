package poller

import (
	"testing"
	"time"

	"archiver/internal/fault"
	"archiver/internal/meetingapi"
	"archiver/internal/state"
)

func TestSourceGone(t *testing.T) {
	f1 := item("f1", 5, 0)
	for name, empty := range map[string]answer{
		"empty":       list(),
		"only others": list(of("S", item("f9", 5, 0))),
		"200008":      refused(fault.Rejected, meetingapi.ErrNoSuchConference),
		"400":         refused(fault.BadRequest, meetingapi.ErrBadParameters),
	} {
		t.Run("archived, "+name, func(t *testing.T) {
			s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12 * m)
			want(t, s.poll(h, empty), "miss f1", "next 5m0s")
			want(t, s.poll(h+5*m, empty), "miss f1", "next 5m0s")
			want(t, s.poll(h+10*m-1, empty), "miss f1", "next 5m0s") // the third, but too soon
			want(t, s.poll(h+10*m, empty), "miss f1", "gone", "next 23h0m0s")
			if s.rec.Status != state.Archived || s.rec.SourceGoneAt.IsZero() {
				t.Errorf("status is %s, gone at %s", s.rec.Status, s.rec.SourceGoneAt)
			}
		})
		t.Run("not archived yet, "+name, func(t *testing.T) {
			s := begin(t).polled(10*m, list(f1))
			s.poll(h, empty)
			s.poll(h+5*m, empty)
			want(t, s.poll(h+10*m, empty), "miss f1", "quarantine f1 source_gone", "gone", "next 24h0m0s")
			if s.rec.Status != state.Quarantined || s.rec.Reason != state.SourceGone {
				t.Errorf("status is %s %s", s.rec.Status, s.rec.Reason)
			}
			want(t, s.poll(h+10*m+24*h, list(f1)), "retry", "next 10m0s") // listed again: a change
		})
	}
	t.Run("an error in between counts for nothing", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1))
		s.poll(h, list())
		s.poll(h+20*m, refused(fault.Temporary, meetingapi.ErrServer))
		s.poll(h+40*m, list())
		if s.rec.Poll.Empty != 2 || s.rec.Status != state.Archiving {
			t.Errorf("%d empty, %s", s.rec.Poll.Empty, s.rec.Status)
		}
		want(t, s.poll(h+41*m, list(f1)), "relist f1", "next 10m0s")
		if f, _ := s.rec.File("f1"); s.rec.Poll.Empty != 0 || f.Missing != 0 {
			t.Errorf("%d empty, %d missing", s.rec.Poll.Empty, f.Missing)
		}
	})
	t.Run("a warrant of ours explains it", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12 * m)
		s.rec.Deletion.WarrantID = "w"
		for i := range 4 {
			if got := s.poll(h+time.Duration(i)*h, list()); got[0] != "miss f1" || got[1] == "gone" {
				t.Errorf("%v", got)
			}
		}
	})
	t.Run("named without a file", func(t *testing.T) {
		s := begin(t).polled(5*m, list(unfinished(item("", 5, 0))))
		want(t, s.poll(10*m, list()), "next 5m0s")
		s.poll(15*m, list())
		want(t, s.poll(20*m, list()), "gone", "next 0s")
		if s.rec.Status != state.Waiting {
			t.Errorf("status is %s", s.rec.Status)
		}
	})
	t.Run("named once, then only others: its file is lost, not theirs", func(t *testing.T) {
		s := begin(t).polled(5*m, list(unfinished(item("", 5, 0))))
		others := list(of("S", item("f9", 5, -h)))
		s.poll(10*m, others)
		s.poll(15*m, others)
		want(t, s.poll(20*m, others), "gone", "next 0s")
		want(t, s.poll(2*h, others), "next 1m0s")
	})
	t.Run("never named", func(t *testing.T) {
		s := begin(t)
		for i := range 5 {
			want(t, s.poll(time.Duration(i)*settle, list()), "next 0s")
		}
	})
	t.Run("unsettled, but all stored: nothing can follow", func(t *testing.T) {
		s := begin(t).polled(m, list(f1)).verified(2*m, "f1", 5)
		s.poll(3*m, list())
		s.poll(8*m, list())
		want(t, s.poll(13*m, list()), "miss f1", "gone", "settle", "next 1h0m0s")
	})
}

func TestOneFileGone(t *testing.T) {
	f1, f2, f3 := item("f1", 5, 0), item("f2", 6, 0), item("f3", 7, 0)
	s := begin(t).polled(10*m, list(f1, f2, f3)).verified(11*m, "f1", 5)
	want(t, s.poll(h, list(f3)), "miss f1", "miss f2", "next 5m0s")
	want(t, s.poll(h+5*m, list(f3)), "miss f1", "miss f2", "next 5m0s")
	want(t, s.poll(h+10*m, list(f3)), "miss f1", "miss f2", "quarantine f2 source_gone", "next 24h0m0s")
	if f, _ := s.rec.File("f1"); f.Phase != state.Verified {
		t.Errorf("f1 is %s", f.Phase)
	}
	// f2 stays away: nothing to retry for.
	want(t, s.poll(h+10*m+24*h, list(f3)), "miss f1", "miss f2", "next 24h0m0s")
}

func TestSourceChangedAfterArchiving(t *testing.T) {
	size := func(n int64) answer { return list(item("f1", n, 0)) }
	t.Run("verified", func(t *testing.T) {
		s := begin(t).polled(10*m, size(5)).verified(11*m, "f1", 5).archived(12 * m)
		want(t, s.poll(h, size(6)), "supersede f1", "discover f1-2", "next 10m0s")
		f, _ := s.rec.File("f1-2")
		if f.Generation != 2 || f.DeclaredSize != 6 || s.rec.Status != state.Archiving {
			t.Errorf("generation %d, %d bytes, recording %s", f.Generation, f.DeclaredSize, s.rec.Status)
		}
		want(t, s.poll(h+m, size(7)), "relist f1-2", "next 10m0s") // not stored yet
		s.verified(h+2*m, "f1-2", 7)
		want(t, s.poll(2*h, size(8)), "supersede f1-2", "discover f1-3", "next 10m0s")
		want(t, s.poll(3*h, list()), "miss f1-3", "next 5m0s") // the old ones are not missed
	})
	t.Run("stored", func(t *testing.T) {
		s := begin(t).polled(10*m, size(5)).stored(11*m, "f1", 5)
		want(t, s.poll(h, size(6)), "supersede f1", "discover f1-2", "next 10m0s")
	})
	t.Run("not stored yet", func(t *testing.T) {
		want(t, begin(t).polled(10*m, size(5)).poll(h, size(6)), "relist f1", "next 10m0s")
	})
	t.Run("quarantined", func(t *testing.T) {
		s := begin(t).polled(10*m, size(5)).apply(11*m, state.QuarantineFile{FileID: "f1", Reason: state.DownloadFailed})
		want(t, s.poll(h, size(6)), "relist f1", "next 23h11m0s")
	})
	t.Run("corrected to what we have", func(t *testing.T) {
		s := begin(t).polled(10*m, size(5)).verified(11*m, "f1", 6)
		want(t, s.poll(h, size(6)), "relist f1", "next 10m0s")
	})
	t.Run("a size appears, or disappears and comes back another", func(t *testing.T) {
		s := begin(t).polled(10*m, size(-1)).verified(11*m, "f1", 5)
		want(t, s.poll(h, size(4)), "relist f1", "next 10m0s")
		want(t, s.poll(2*h, size(-1)), "next 10m0s")
		want(t, s.poll(3*h, size(3)), "supersede f1", "discover f1-2", "next 10m0s")
	})
}

func TestQuarantined(t *testing.T) {
	f1 := item("f1", 5, 0)
	t.Run("a file: daily, while it is listed", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).apply(11*m, state.QuarantineFile{FileID: "f1", Reason: state.DownloadFailed})
		want(t, s.poll(h, list(f1)), "next 23h11m0s") // asked by a person: the daily poll stays
		want(t, s.poll(2*h, list(f1)), "next 22h11m0s")
		want(t, s.poll(25*h, list(of("S", item("f9", 5, 0)))), "miss f1", "next 24h0m0s")
		want(t, s.poll(49*h, list(f1)), "retry", "next 10m0s") // the listing has changed back
		if f, _ := s.rec.File("f1"); f.Phase != state.Discovered || s.rec.Status != state.Archiving {
			t.Errorf("%s, file %s", s.rec.Status, f.Phase)
		}
	})
	t.Run("a file: the first poll after it is the retry", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).apply(11*m, state.QuarantineFile{FileID: "f1", Reason: state.DownloadFailed})
		if got := s.next(11 * m); got != "24h0m0s" {
			t.Fatalf("the retry is in %s", got)
		}
		want(t, s.poll(24*h+11*m, list(f1)), "retry", "next 47h59m0s")
		s.apply(25*h, state.QuarantineFile{FileID: "f1", Reason: state.DownloadFailed})
		want(t, s.poll(49*h, refused(fault.Temporary, meetingapi.ErrServer)), "next 1h0m0s")
		want(t, s.poll(50*h, list(f1)), "retry", "next 22h10m0s")
	})
	t.Run("a file that vanished comes whole after all", func(t *testing.T) {
		s := begin(t).polled(m, list(f1)).apply(2*m, state.Start{FileID: "f1"}, state.Pin{FileID: "f1"})
		s.polled(3*m, list()).polled(8*m, list())
		want(t, s.poll(13*m, list()), "miss f1", "quarantine f1 source_gone", "gone", "next 24h0m0s")
		s.apply(14*m, state.MarkStored{FileID: "f1", Size: 5, Sums: state.Checksums{SHA256: "00"}})
		if s.rec.Status != state.Archiving || s.next(14*m) != "0s" {
			t.Errorf("it is %s, next %s", s.rec.Status, s.next(14*m))
		}
		want(t, s.poll(14*m, list()), "miss f1", "settle", "next 1h0m0s")
		s.apply(15*m, state.Verify{FileID: "f1", Level: state.LevelFullObject}).archived(16 * m)
		if s.rec.Status != state.Archived {
			t.Errorf("it is %s", s.rec.Status)
		}
	})
	t.Run("never produced, then there", func(t *testing.T) {
		s := begin(t).polled(giveUp, list())
		want(t, s.poll(giveUp+24*h, list()), "next 24h0m0s")
		want(t, s.poll(giveUp+48*h, list(f1)), "retry", "discover f1", "next 10m0s")
	})
	t.Run("never produced, then redirected", func(t *testing.T) {
		s := begin(t).polled(giveUp, list())
		others := list(of("S", item("f9", 5, 0)))
		want(t, s.poll(giveUp+24*h, others), "retry", "next 10m0s")
		want(t, s.poll(giveUp+25*h, others), "redirect", "next never")
	})
	t.Run("rejected, then answered", func(t *testing.T) {
		s := begin(t).polled(m, refused(fault.Rejected, meetingapi.ErrNoSuchConference))
		want(t, s.poll(m+24*h, list()), "next 24h0m0s")
		want(t, s.poll(m+48*h, refused(fault.BadRequest, meetingapi.ErrBadParameters)), "next 24h0m0s")
		want(t, s.poll(m+72*h, refused(fault.Temporary, meetingapi.ErrServer)), "next 1h0m0s")
		want(t, s.poll(m+73*h, refused(fault.Unauthorized, meetingapi.ErrAuth)), "next 0s")
		want(t, s.poll(m+96*h, list(f1)), "retry", "discover f1", "next 10m0s")
	})
	t.Run("a new file comes between the daily polls", func(t *testing.T) {
		s := begin(t).polled(m, refused(fault.Rejected, meetingapi.ErrNotYours))
		want(t, s.poll(h, list(f1)), "discover f1", "settle", "next 1h0m0s")
	})
	t.Run("not when the source cannot exist any more", func(t *testing.T) {
		s := begin(t)
		s.pol.retention = 7 * 24 * h
		s.polled(10*m, list(f1)).apply(11*m, state.QuarantineFile{FileID: "f1", Reason: state.DownloadFailed})
		want(t, s.poll(h, list(f1)), "next 23h11m0s")
		want(t, s.poll(6*24*h, list()), "miss f1", "next 24h0m0s")
		want(t, s.poll(7*24*h, list()), "miss f1", "next never")
	})
	t.Run("sooner while the source may still exist", func(t *testing.T) {
		bad := func(s *story, after time.Duration) {
			s.apply(after, state.QuarantineFile{FileID: "f1", Reason: state.DownloadFailed})
		}
		s := begin(t)
		s.pol.retention = 30 * h
		bad(s.polled(10*m, list(f1)), 10*h)
		want(t, []string{s.next(10 * h)}, "10h0m0s") // half of what is left
		want(t, s.poll(20*h, list(f1))[:1], "retry")
		bad(s, 21*h)
		want(t, []string{s.next(21 * h)}, "4h30m0s")
		want(t, s.poll(25*h+30*m, list()), "miss f1", "next 2h15m0s")
		want(t, s.poll(29*h, list()), "miss f1", "next 1h0m0s")
		want(t, s.poll(30*h, list()), "miss f1", "gone", "next never")
	})
	t.Run("sooner for the file that has less time", func(t *testing.T) {
		f2 := item("f2", 6, 10*h)
		s := begin(t)
		s.pol.retention = 30 * h
		s.polled(11*h, list(f1, f2)).verified(11*h, "f2", 6)
		s.poll(24*h, list(f2))
		s.poll(24*h+5*m, list(f2))
		// f1 has until 30 h, the recording until 40 h.
		want(t, s.poll(24*h+10*m, list(f2)), "miss f1", "quarantine f1 source_gone", "next 2h55m0s")
	})
}

func TestEnded(t *testing.T) {
	f1, others := item("f1", 5, 0), list(of("S", item("f9", 5, 0)))
	t.Run("redirected", func(t *testing.T) {
		s := begin(t).polled(h, others)
		want(t, s.poll(2*h, others), "next never") // asked for the links of an adopted one
		want(t, s.poll(2*h, refused(fault.Temporary, meetingapi.ErrServer)), "next never")
		want(t, s.poll(3*h, list(f1)), "discover f1", "next 10m0s")
	})
	t.Run("deleted", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12*m).apply(13*m, state.Deleted{WarrantID: "w"})
		want(t, s.poll(2*h, list(item("f1", 9, 0))), "next never")
		want(t, s.poll(3*h, list()), "next never")
		want(t, s.poll(4*h, list(f1, item("f2", 5, 0))), "discover f2", "next 10m0s")
	})
	t.Run("deleting: left to whoever deletes", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12 * m)
		s.rec.Status, s.rec.Deletion.WarrantID = state.Deleting, "w"
		want(t, s.poll(h+10*m, list(item("f2", 5, 0))), "next 1m0s")
		if changes, err := planOther(s.rec, "A", read("R", []meetingapi.Identified{item("f2", 5, 0)}), t0, s.pol); err != nil || changes != nil {
			t.Errorf("%v, %v", changes, err)
		}
	})
	t.Run("untracked", func(t *testing.T) {
		if changes, err := plan(state.Recording{}, list(f1), t0, testPolicy()); err != nil || changes != nil {
			t.Errorf("%v, %v", changes, err)
		}
	})
}

func TestPlanOther(t *testing.T) {
	other := func(s *story, after time.Duration, items ...meetingapi.Identified) []string {
		t.Helper()
		changes, err := planOther(s.rec, "A", read("R", items), t0.Add(after), s.pol)
		if err != nil {
			t.Fatal(err)
		}
		s.apply(after, changes...)
		return append(words(changes), "next "+s.next(after))
	}
	f1 := item("f1", 5, 0)
	t.Run("unknown", func(t *testing.T) {
		s := &story{t: t, pol: testPolicy(), rec: state.Recording{Tenant: "a", RecordID: "R"}}
		want(t, other(s, m, f1, unfinished(item("", 5, 0))), "track", "discover f1", "next 0s")
		if s.rec.AdoptedFrom != "A" || !s.rec.Poll.Named {
			t.Errorf("%+v", s.rec)
		}
		want(t, other(s, 2*m, f1), "next -1m0s") // nothing new: its own poll stays
	})
	t.Run("only announced", func(t *testing.T) {
		s := &story{t: t, pol: testPolicy(), rec: state.Recording{Tenant: "a", RecordID: "R"}}
		want(t, other(s, m, unfinished(f1)), "track", "next 0s")
	})
	t.Run("known: a sign of life", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).polled(h, list())
		want(t, other(s, h+m, f1), "relist f1", "next 4m0s")
		if s.rec.Poll.Empty != 0 {
			t.Errorf("%d empty", s.rec.Poll.Empty)
		}
	})
	t.Run("archived long ago: a late file", func(t *testing.T) {
		s := begin(t).polled(10*m, list(f1)).verified(11*m, "f1", 5).archived(12*m).polled(80*h, list(f1))
		want(t, other(s, 90*h, f1, item("f2", 5, 89*h)), "discover f2", "next 0s")
	})
}
