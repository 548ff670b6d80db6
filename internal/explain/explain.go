// Package explain says things to people: why a recording is where it is, what
// happens next and when, and what needs somebody. It is pure; the API, the
// commands and the summary of a backfill say it in the same words.
package explain

import (
	"fmt"
	"strings"
	"time"

	"archiver/internal/config"
	"archiver/internal/state"
)

// Facts are what is not in the state.
type Facts struct {
	Now       time.Time
	Suspended string // why the vendor refuses the tenant's key, "" if it doesn't
	Paused    string // why the tenant's bucket refuses it, "" if it doesn't
	// Stored reports whether a configured tenant stores to a destination; required.
	Stored func(state.Destination) bool
}

// Recording says in plain words why a recording is where it is, and what
// happens next and when.
func Recording(r state.Recording, cfg *config.Config, f Facts) (why, next string) {
	e := explainer{r: r, cfg: cfg, tenant: cfg.Tenants[r.Tenant], now: f.Now, stored: f.Stored}
	why, next = e.status()
	switch {
	case e.tenant == nil:
		next = fmt.Sprintf("nothing: tenant %s is not in the configuration, so it is paused", r.Tenant)
	case f.Suspended != "" && !r.Poll.NextAt.IsZero():
		next = fmt.Sprintf("tenant %s is suspended, its key is tried at every poll run: %s; then: %s", r.Tenant, f.Suspended, next)
	case f.Paused != "" && r.Status == state.Archiving:
		next = fmt.Sprintf("the transfers of tenant %s are paused, the bucket is tried again by itself: %s; then: %s", r.Tenant, f.Paused, next)
	}
	return why, next
}

type explainer struct {
	r      state.Recording
	cfg    *config.Config
	tenant *config.Tenant // nil: not configured
	now    time.Time
	stored func(state.Destination) bool
}

func (e explainer) status() (why, next string) {
	r := e.r
	switch r.Status {
	case state.Waiting:
		return e.waiting(), e.asked() + e.givenUp()
	case state.Archiving:
		return e.archiving()
	case state.Archived:
		return e.archived(), Sentences(e.rewritten(), e.deletion(), e.late())
	case state.Deleting:
		return fmt.Sprintf("warrant %s is stored, and the outcome of delRecordFile is not known yet", r.Deletion.WarrantID),
			"the vendor is asked what it still lists: nothing is source_deleted, anything else is tried again under a new warrant"
	case state.SourceDeleted:
		return fmt.Sprintf("every file is verified, and since %s the vendor lists nothing of it any more, under warrant %s", Stamp(r.SourceDeletedAt), r.Deletion.WarrantID),
			Sentences(e.rewritten(), "nothing: it is final")
	case state.DeletionUnconfirmed:
		return "delRecordFile claimed success, but: " + r.Deletion.Error, Sentences(e.rewritten(), e.deletion(), e.late())
	case state.Redirected:
		return "the vendor's listings only ever named other recordings, which are archived in its place", "nothing: it is final"
	case state.Quarantined:
		return e.quarantined()
	}
	return fmt.Sprintf("its status is %q, which this version does not know", r.Status), "nothing; install the version that wrote it"
}

// waiting is why there is no file yet.
func (e explainer) waiting() string {
	p := e.r.Poll
	switch {
	case p.LastAt.IsZero():
		return "it is tracked, and the vendor was not asked about it yet"
	case p.Refusals > 0:
		return fmt.Sprintf("the vendor has refused it %d times in a row since %s, which it may do of a recording asked for too early: %s", p.Refusals, Stamp(p.RefusedSince), p.Error)
	case p.Error != "":
		return fmt.Sprintf("the vendor did not answer when it was asked at %s: %s", Stamp(p.LastAt), p.Error)
	}
	return fmt.Sprintf("the vendor listed no finished file of it when it was asked at %s", Stamp(p.LastAt))
}

// asked is when the vendor is asked the next time; "" if it isn't.
func (e explainer) asked() string {
	at := e.r.Poll.NextAt
	switch {
	case at.IsZero():
		return ""
	case !at.After(e.now):
		return "the vendor is asked at the next poll run (" + e.cfg.Poll.ScheduleSpec + ")"
	}
	return "the vendor is asked again at " + When(at, e.now)
}

// givenUp is when waiting ends.
func (e explainer) givenUp() string {
	if e.cfg.Poll.GiveUpAfter <= 0 {
		return ""
	}
	return "; without a file by " + Stamp(e.r.TrackedAt.Add(e.cfg.Poll.GiveUpAfter)) + " it is quarantined as never_produced"
}

// archiving looks at the files, the unhappiest first.
func (e explainer) archiving() (why, next string) {
	files := current(e.r)
	done, missing := 0, 0
	var failed, moving *state.File
	for i := range files {
		f := &files[i]
		switch {
		case f.Phase == state.Verified:
			done++
		case f.Error != "" && failed == nil:
			failed = f
		case f.Phase == state.Transferring || f.Phase == state.Stored:
			moving = f
		}
		if f.Missing > 0 && f.Phase != state.Verified {
			missing++
		}
	}
	progress := fmt.Sprintf("%d of %s verified", done, Count(len(files), "file"))
	if missing > 0 {
		progress += fmt.Sprintf("; %s not in the vendor's last listing", Count(missing, "file"))
	}
	switch {
	case failed != nil:
		return fmt.Sprintf("%s; %s: %s", progress, e.attempt(*failed), failed.Error), e.triedAgain(failed.NextAttemptAt)
	case moving != nil && moving.Phase == state.Stored:
		return progress + "; " + moving.Filename + " is stored, and its proof is outstanding", "the bucket is asked to prove what it has"
	case moving != nil:
		return progress + "; " + moving.Filename + " is being transferred", "the transfer goes on, from the recorded parts if it was stopped"
	case done < len(files):
		return progress, "the others are fetched as soon as there is room"
	case e.r.SettledAt.IsZero():
		return progress + "; more may come until nothing has happened for " + Span(e.cfg.Poll.Settle) + " (poll.settle)", e.asked()
	case e.r.Manifest.Error != "":
		return progress + "; the manifest could not be written: " + e.r.Manifest.Error, e.triedAgain(e.r.Manifest.NotBefore)
	}
	return progress + "; its manifest is not written yet", "the manifest is written, and then it is archived"
}

func (e explainer) attempt(f state.File) string {
	if f.Attempts == 0 {
		return f.Filename
	}
	return fmt.Sprintf("%s, attempt %d of %d", f.Filename, f.Attempts, e.cfg.Transfer.MaxAttempts)
}

func (e explainer) triedAgain(at time.Time) string {
	if !at.After(e.now) {
		return "it is tried again at once"
	}
	return "it is tried again at " + When(at, e.now)
}

// archived tells what we have, and what is odd about it.
func (e explainer) archived() string {
	parts := []string{"every file is verified in the bucket, and the manifest is written"}
	for _, f := range current(e.r) {
		if f.Marks.Any() {
			parts = append(parts, fmt.Sprintf("%s is marked %s", f.Filename, f.Marks))
		}
	}
	if !e.r.SourceGoneAt.IsZero() {
		parts = append(parts, fmt.Sprintf("since %s the vendor lists nothing of it any more, without our doing", Stamp(e.r.SourceGoneAt)))
	}
	return strings.Join(parts, "; ")
}

// rewritten is about a manifest that no longer tells all.
func (e explainer) rewritten() string {
	switch {
	case !e.r.Manifest.Due:
		return ""
	case e.r.Manifest.Error != "":
		return "the manifest is due again, but: " + e.r.Manifest.Error
	}
	return "the manifest is written again"
}

// deletion is what is to come of the source.
func (e explainer) deletion() string {
	r, id := e.r, e.r.RecordID
	switch {
	case e.tenant == nil:
		return ""
	case !r.SourceGoneAt.IsZero():
		return "there is nothing to delete at the vendor"
	case !e.tenant.Delete.Enabled:
		return "it stays at the vendor (delete_source is off)"
	case r.Hold:
		return "it stays at the vendor while it is on hold; archiver unhold " + id + " ends that"
	case r.Marked():
		return "it stays at the vendor until someone has looked at the marked files: archiver accept " + id
	case e.elsewhere() != "":
		return "it stays at the vendor: destination_unconfigured, because bucket " + e.elsewhere() + " is no longer in the configuration"
	case r.Manifest.Due:
		return "then it is deleted at the vendor, once the grace time is over"
	}
	due := r.Deletion.EligibleFrom.Add(e.tenant.Delete.After)
	failed := ""
	if r.Deletion.Error != "" {
		failed = " (the last try: " + r.Deletion.Error + ")"
	}
	if due.After(e.now) {
		return "it is deleted at the vendor from " + When(due, e.now) + " on, if every proof holds then" + failed
	}
	return "it is due to be deleted at the vendor, if every proof holds" + failed
}

// elsewhere names a bucket with files of it that no tenant stores to any more.
func (e explainer) elsewhere() string {
	for _, f := range current(e.r) {
		switch {
		case e.stored(f.Dest):
		case f.Dest.Endpoint == "":
			return f.Dest.Bucket
		default:
			return f.Dest.Bucket + " at " + f.Dest.Endpoint
		}
	}
	return ""
}

// late is about further looks at the vendor's listing.
func (e explainer) late() string {
	switch at := e.r.Poll.NextAt; {
	case at.IsZero():
		return ""
	case !at.After(e.now):
		return "the vendor is asked for late files at the next poll run"
	default:
		return "the vendor is asked for late files at " + When(at, e.now)
	}
}

func (e explainer) quarantined() (why, next string) {
	why = reasonText(e.r.Reason)
	if e.r.Detail != "" {
		why += ": " + e.r.Detail
	}
	retry := "archiver retry " + e.r.RecordID + " tries it now"
	if asked := e.asked(); asked != "" {
		return why, asked + ", and if that helps it goes on by itself; " + retry
	}
	return why, "nothing by itself: the vendor does not keep it any longer; " + retry
}

func reasonText(r state.Reason) string {
	switch r {
	case state.NeverProduced:
		return "the vendor never finished a file of it (never_produced)"
	case state.VendorRejected:
		return "the vendor refuses it (vendor_rejected)"
	case state.SourceGone:
		return "the vendor no longer lists a file that we don't have (source_gone)"
	case state.DownloadFailed:
		return "a file could not be downloaded (download_failed)"
	case state.BadContent:
		return "what the vendor sends is not the file (bad_content)"
	case state.UploadFailed:
		return "the bucket did not take a file (upload_failed)"
	case state.VerifyFailed:
		return "the bucket does not have what was sent to it (verify_failed)"
	}
	return "quarantined (" + string(r) + ")"
}

// current are the files that still count.
func current(r state.Recording) []state.File {
	var out []state.File
	for _, f := range r.Files {
		if !f.Superseded {
			out = append(out, f)
		}
	}
	return out
}
