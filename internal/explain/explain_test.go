package explain

import (
	"strings"
	"testing"
	"time"

	"archiver/internal/config"
	"archiver/internal/state"
)

// at is now in these tests.
var at = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func testConfig(deletes bool) *config.Config {
	c := &config.Config{Tenants: map[string]*config.Tenant{"acme": {
		Name: "acme", Storage: config.Storage{Bucket: "recordings"},
		Delete: config.Delete{Enabled: deletes, After: 7 * 24 * time.Hour},
	}}}
	c.Poll.ScheduleSpec, c.Poll.Settle, c.Poll.GiveUpAfter = "@every 1m", 10*time.Minute, 30*24*time.Hour
	c.Transfer.MaxAttempts = 10
	return c
}

func testRecording(s state.Status, change ...func(*state.Recording)) state.Recording {
	r := state.Recording{Tenant: "acme", RecordID: "r1", Status: s, TrackedAt: at.Add(-time.Hour)}
	r.Poll.LastAt, r.Poll.NextAt = at.Add(-time.Minute), at.Add(90*time.Minute)
	switch s {
	case state.Waiting, state.Redirected:
	case state.Archiving, state.Quarantined:
		r.Files = []state.File{{ID: "f1", Filename: "a.mp4", Phase: state.Discovered, Dest: state.Destination{Bucket: "recordings"}}}
	default:
		r.Files = []state.File{{ID: "f1", Filename: "a.mp4", Phase: state.Verified, Dest: state.Destination{Bucket: "recordings"}}}
		r.Deletion.EligibleFrom = at.Add(-6 * 24 * time.Hour)
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func TestExplain(t *testing.T) {
	const ready = "every file is verified in the bucket, and the manifest is written"
	const late = "; the vendor is asked for late files at 2026-06-01T13:30:00Z (in 1h30m)"
	const asked = "the vendor is asked again at 2026-06-01T13:30:00Z (in 1h30m)"
	const never = "; without a file by 2026-07-01T11:00:00Z it is quarantined as never_produced"
	file := func(f func(*state.File)) func(*state.Recording) {
		return func(r *state.Recording) { f(&r.Files[0]) }
	}
	verified := func(r *state.Recording) { r.Files[0].Phase = state.Verified }
	for _, c := range []struct {
		name      string
		rec       state.Recording
		noDelete  bool
		elsewhere bool // the tenant is not configured
		facts     Facts
		why, next string
	}{
		{
			name: "never asked", rec: testRecording(state.Waiting, func(r *state.Recording) { r.Poll = state.Poll{NextAt: at} }),
			why:  "it is tracked, and the vendor was not asked about it yet",
			next: "the vendor is asked at the next poll run (@every 1m)" + never,
		},
		{
			name: "nothing yet", rec: testRecording(state.Waiting),
			why: "the vendor listed no finished file of it when it was asked at 2026-06-01T11:59:00Z", next: asked + never,
		},
		{
			name: "refused 400", rec: testRecording(state.Waiting, func(r *state.Recording) {
				r.Poll.Refusals, r.Poll.RefusedSince, r.Poll.Error = 2, at.Add(-5*time.Minute), "400 bad parameters"
			}),
			why:  "the vendor has refused it 2 times in a row since 2026-06-01T11:55:00Z, which it may do of a recording asked for too early: 400 bad parameters",
			next: asked + never,
		},
		{
			name: "suspended", rec: testRecording(state.Waiting, func(r *state.Recording) {
				r.Poll.NextAt, r.Poll.Error = at, "403 the vendor refuses the auth value; check the tenant's auth"
			}),
			why:  "the vendor did not answer when it was asked at 2026-06-01T11:59:00Z: 403 the vendor refuses the auth value; check the tenant's auth",
			next: "the vendor is asked at the next poll run (@every 1m)" + never,
		},
		{
			name: "suspended now", rec: testRecording(state.Waiting), facts: Facts{Suspended: "403 no"},
			why:  "the vendor listed no finished file of it when it was asked at 2026-06-01T11:59:00Z",
			next: "tenant acme is suspended, its key is tried at every poll run: 403 no; then: " + asked + never,
		},
		{
			name: "bucket paused", rec: testRecording(state.Archiving), facts: Facts{Paused: "403 AccessDenied"},
			why:  "0 of 1 file verified",
			next: "the transfers of tenant acme are paused, the bucket is tried again by itself: 403 AccessDenied; then: the others are fetched as soon as there is room",
		},
		{
			name: "paused", rec: testRecording(state.Waiting), elsewhere: true,
			why:  "the vendor listed no finished file of it when it was asked at 2026-06-01T11:59:00Z",
			next: "nothing: tenant acme is not in the configuration, so it is paused",
		},
		{
			name: "to be fetched", rec: testRecording(state.Archiving),
			why: "0 of 1 file verified", next: "the others are fetched as soon as there is room",
		},
		{
			name: "transferring", rec: testRecording(state.Archiving, file(func(f *state.File) { f.Phase = state.Transferring })),
			why: "0 of 1 file verified; a.mp4 is being transferred", next: "the transfer goes on, from the recorded parts if it was stopped",
		},
		{
			name: "stored", rec: testRecording(state.Archiving, file(func(f *state.File) { f.Phase = state.Stored })),
			why: "0 of 1 file verified; a.mp4 is stored, and its proof is outstanding", next: "the bucket is asked to prove what it has",
		},
		{
			name: "attempt failed", rec: testRecording(state.Archiving, file(func(f *state.File) {
				f.Phase, f.Error, f.Attempts, f.NextAttemptAt = state.Transferring, "503 SlowDown", 3, at.Add(time.Minute)
			})),
			why:  "0 of 1 file verified; a.mp4, attempt 3 of 10: 503 SlowDown",
			next: "it is tried again at 2026-06-01T12:01:00Z (in 1m)",
		},
		{
			name: "failed and due, missing", rec: testRecording(state.Archiving, file(func(f *state.File) { f.Error, f.Missing = "no link", 1 })),
			why:  "0 of 1 file verified; 1 file not in the vendor's last listing; a.mp4: no link",
			next: "it is tried again at once",
		},
		{
			name: "unsettled", rec: testRecording(state.Archiving, verified),
			why: "1 of 1 file verified; more may come until nothing has happened for 10m (poll.settle)", next: asked,
		},
		{
			name: "manifest due", rec: testRecording(state.Archiving, verified, func(r *state.Recording) { r.SettledAt = at }),
			why: "1 of 1 file verified; its manifest is not written yet", next: "the manifest is written, and then it is archived",
		},
		{
			name: "manifest failed", rec: testRecording(state.Archiving, verified, func(r *state.Recording) {
				r.SettledAt, r.Manifest.Error, r.Manifest.NotBefore = at, "403 AccessDenied", at.Add(time.Second)
			}),
			why:  "1 of 1 file verified; the manifest could not be written: 403 AccessDenied",
			next: "it is tried again at 2026-06-01T12:00:01Z (in 1s)",
		},
		{
			name: "archived", rec: testRecording(state.Archived), noDelete: true,
			why: ready, next: "it stays at the vendor (delete_source is off)" + late,
		},
		{
			name: "archived, last look over", rec: testRecording(state.Archived, func(r *state.Recording) { r.Poll.NextAt = time.Time{} }), noDelete: true,
			why: ready, next: "it stays at the vendor (delete_source is off)",
		},
		{
			name: "deletion to come", rec: testRecording(state.Archived),
			why: ready, next: "it is deleted at the vendor from 2026-06-02T12:00:00Z (in 1d) on, if every proof holds then" + late,
		},
		{
			name: "deletion due", rec: testRecording(state.Archived, func(r *state.Recording) {
				r.Deletion.EligibleFrom = at.Add(-8 * 24 * time.Hour)
				r.Poll.NextAt = at
			}),
			why: ready, next: "it is due to be deleted at the vendor, if every proof holds; the vendor is asked for late files at the next poll run",
		},
		{
			name: "deletion failed", rec: testRecording(state.Archived, func(r *state.Recording) { r.Deletion.Error = "timeout" }),
			why: ready, next: "it is deleted at the vendor from 2026-06-02T12:00:00Z (in 1d) on, if every proof holds then (the last try: timeout)" + late,
		},
		{
			name: "hold", rec: testRecording(state.Archived, func(r *state.Recording) { r.Hold = true }),
			why: ready, next: "it stays at the vendor while it is on hold; archiver unhold r1 ends that" + late,
		},
		{
			name: "marked", rec: testRecording(state.Archived, file(func(f *state.File) { f.Marks.SizeMismatch, f.Marks.ContentSuspect = true, true })),
			why:  ready + "; a.mp4 is marked size_mismatch,content_suspect",
			next: "it stays at the vendor until someone has looked at the marked files: archiver accept r1" + late,
		},
		{
			name: "accepted", rec: testRecording(state.Archived, file(func(f *state.File) { f.Marks.LengthUnproven, f.Marks.Accepted = true, true })),
			why: ready, next: "it is deleted at the vendor from 2026-06-02T12:00:00Z (in 1d) on, if every proof holds then" + late,
		},
		{
			name: "source gone", rec: testRecording(state.Archived, func(r *state.Recording) { r.SourceGoneAt = at.Add(-time.Hour) }),
			why:  ready + "; since 2026-06-01T11:00:00Z the vendor lists nothing of it any more, without our doing",
			next: "there is nothing to delete at the vendor" + late,
		},
		{
			name: "bucket unconfigured", rec: testRecording(state.Archived, file(func(f *state.File) { f.Dest.Bucket = "old" })),
			why: ready, next: "it stays at the vendor: destination_unconfigured, because bucket old is no longer in the configuration" + late,
		},
		{
			name: "same bucket elsewhere", rec: testRecording(state.Archived, file(func(f *state.File) { f.Dest.Endpoint = "https://old.example" })),
			why: ready, next: "it stays at the vendor: destination_unconfigured, because bucket recordings at https://old.example is no longer in the configuration" + late,
		},
		{
			name: "manifest again", rec: testRecording(state.Archived, func(r *state.Recording) { r.Manifest.Due = true }),
			why: ready, next: "the manifest is written again; then it is deleted at the vendor, once the grace time is over" + late,
		},
		{
			name: "manifest again, failing", rec: testRecording(state.Archived, func(r *state.Recording) { r.Manifest.Due, r.Manifest.Error = true, "412" }), noDelete: true,
			why: ready, next: "the manifest is due again, but: 412; it stays at the vendor (delete_source is off)" + late,
		},
		{
			name: "archived, paused", rec: testRecording(state.Archived), elsewhere: true,
			why: ready, next: "nothing: tenant acme is not in the configuration, so it is paused",
		},
		{
			name: "deleting", rec: testRecording(state.Deleting, func(r *state.Recording) { r.Deletion.WarrantID = "w1" }),
			why:  "warrant w1 is stored, and the outcome of delRecordFile is not known yet",
			next: "the vendor is asked what it still lists: nothing is source_deleted, anything else is tried again under a new warrant",
		},
		{
			name: "source deleted", rec: testRecording(state.SourceDeleted, func(r *state.Recording) { r.Deletion.WarrantID, r.SourceDeletedAt = "w1", at }),
			why:  "every file is verified, and since 2026-06-01T12:00:00Z the vendor lists nothing of it any more, under warrant w1",
			next: "nothing: it is final",
		},
		{
			name: "unconfirmed", rec: testRecording(state.DeletionUnconfirmed, func(r *state.Recording) { r.Deletion.Error = "the vendor still lists files of it" }),
			why:  "delRecordFile claimed success, but: the vendor still lists files of it",
			next: "it is deleted at the vendor from 2026-06-02T12:00:00Z (in 1d) on, if every proof holds then (the last try: the vendor still lists files of it)" + late,
		},
		{
			name: "redirected", rec: testRecording(state.Redirected),
			why: "the vendor's listings only ever named other recordings, which are archived in its place", next: "nothing: it is final",
		},
		{
			name: "quarantined", rec: testRecording(state.Quarantined, func(r *state.Recording) { r.Reason, r.Detail = state.BadContent, "an HTML page" }),
			why:  "what the vendor sends is not the file (bad_content): an HTML page",
			next: asked + ", and if that helps it goes on by itself; archiver retry r1 tries it now",
		},
		{
			name: "quarantined for good", rec: testRecording(state.Quarantined, func(r *state.Recording) { r.Reason, r.Poll.NextAt = state.NeverProduced, time.Time{} }),
			why:  "the vendor never finished a file of it (never_produced)",
			next: "nothing by itself: the vendor does not keep it any longer; archiver retry r1 tries it now",
		},
		{
			name: "newer", rec: testRecording("embalmed"),
			why: `its status is "embalmed", which this version does not know`, next: "nothing; install the version that wrote it",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(!c.noDelete)
			c.facts.Now, c.facts.Stored = at, func(d state.Destination) bool { return d == state.Destination{Bucket: "recordings"} }
			if c.elsewhere {
				cfg.Tenants = nil
			}
			why, next := Recording(c.rec, cfg, c.facts)
			if why != c.why {
				t.Errorf("why:  %s\nwant: %s", why, c.why)
			}
			if next != c.next {
				t.Errorf("next: %s\nwant: %s", next, c.next)
			}
		})
	}
}

// No status and no reason may be without words.
func TestExplainEverything(t *testing.T) {
	for _, s := range state.Statuses() {
		why, next := Recording(testRecording(s), testConfig(true), Facts{Now: at, Stored: func(state.Destination) bool { return true }})
		if why == "" || next == "" || strings.Contains(why, "does not know") {
			t.Errorf("%s: why %q, next %q", s, why, next)
		}
	}
	for _, r := range state.Reasons() {
		if text := reasonText(r); !strings.HasSuffix(text, "("+string(r)+")") || strings.HasPrefix(text, "quarantined") {
			t.Errorf("%s: %q", r, text)
		}
	}
}
