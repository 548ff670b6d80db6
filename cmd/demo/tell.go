package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"archiver/internal/sandbox/pace"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// called is the vendor's OnCall: it tells of what is worth a line.
func (w *world) called(c vendorsim.Call) {
	switch c.Name {
	case "getRecords":
		w.listed(c)
	case "delRecordFile":
		if c.Effective {
			w.tell.say(time.Now(), c.Tenant, "vendor deletes the files of %s", short(c.RecordID))
		}
	case vendorsim.Download:
		w.downloaded(c)
	}
}

// listed tells once that a recording isn't ready yet, and once why.
func (w *world) listed(c vendorsim.Call) {
	t, ok := w.vendor.Recording(c.RecordID)
	if !ok || w.planned(c.RecordID) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	what := "the meeting is still running, there is nothing to fetch yet"
	if len(t.Files) > 0 {
		what = "not ready yet, the vendor is still preparing it"
		if !time.Now().Before(w.readyAt[c.RecordID]) {
			return
		}
	}
	if w.asked[c.RecordID] != what {
		w.asked[c.RecordID] = what
		w.tell.say(time.Now(), c.Tenant, "asked about %s: %s", short(c.RecordID), what)
	}
}

// planned says whether the recording was there from the beginning.
func (w *world) planned(id string) bool {
	for _, s := range w.stories {
		if s.id == id {
			return true
		}
	}
	return false
}

// downloaded tells of downloads that did not go well, and of those that go on
// where one did not.
func (w *world) downloaded(c vendorsim.Call) {
	t, ok := w.vendor.Recording(c.RecordID)
	if !ok {
		return
	}
	size := int64(-1)
	for _, f := range t.Files {
		if f.Path == c.Path {
			size = f.Size
		}
	}
	name := path.Base(c.Path)
	var from int64
	_, err := fmt.Sscanf(c.Range, "bytes=%d-", &from)
	ranged := err == nil && c.Status == http.StatusPartialContent
	switch probe := strings.HasSuffix(c.Range, "=0-0"); {
	case c.Status == http.StatusForbidden:
		w.tell.say(time.Now(), t.Tenant, "vendor's store refuses the link of %s at byte %d: 403, expired", name, from)
	case c.Status == http.StatusOK && w.pages[c.RecordID] && c.Bytes < min(size, 512):
		w.tell.say(time.Now(), t.Tenant, "vendor sends a web page of %d bytes in place of %s", c.Bytes, name)
	case probe || c.Status != http.StatusOK && !ranged:
	case c.Bytes < size-from:
		w.tell.say(time.Now(), t.Tenant, "vendor sends %d %% of %s and hangs up, at byte %d of %d", (from+c.Bytes)*100/size, name, from+c.Bytes, size)
	case from > 0:
		w.tell.say(time.Now(), t.Tenant, "vendor sends the rest of %s, from byte %d on", name, from)
	}
}

// watchBucket tells of what the fault proxy does to the bucket's answers, until
// all that was planned is told or ctx ends. Its log has no times, so it is
// looked at often, and what is new counts as of the look before: then it comes
// before what it led to.
func (w *world) watchBucket(ctx context.Context) {
	last := time.Now()
	for told := 0; told < w.bucketFaults && pace.Wait(ctx, 10*time.Millisecond) == nil; {
		now := time.Now()
		told += w.tellBucket(last)
		last = now
	}
}

// tellBucket tells of what is new and returns how much that was.
func (w *world) tellBucket(at time.Time) (told int) {
	for _, e := range w.proxy.Log() {
		if w.shown[e.Seq] {
			continue
		}
		what := ""
		switch {
		case e.Status == http.StatusServiceUnavailable:
			what = "bucket refuses part " + partOf(e.RawQuery) + " of %s: 503 SlowDown"
		case e.Method == http.MethodPost && e.Status == 0 && e.UpstreamStatus == http.StatusOK:
			what = "bucket puts %s together, but its answer is lost on the way"
		default:
			continue
		}
		w.shown[e.Seq] = true
		told++
		w.tell.say(at, tenantOf(e.Path), what, path.Base(e.Path))
	}
	return told
}

// partOf returns the number of the part that a query names.
func partOf(query string) string {
	q, err := url.ParseQuery(query)
	if err != nil {
		return "?"
	}
	return q.Get("partNumber")
}

// tenantOf returns the tenant of /bucket/tenant/….
func tenantOf(objectPath string) string {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(objectPath, "/"+bucketName+"/"), "/")
	return tenant
}

// audit tells of the archiver's audit log.
type audit struct {
	store state.Store
	tell  *narrator
	after uint64            // the last event told
	names map[string]string // of files, by tenant, recording and file
}

// next tells of what was appended since the last call.
func (a *audit) next(ctx context.Context) error {
	for {
		events, err := a.store.Events(ctx, a.after, 1000)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			a.after = e.Seq
			if text := a.words(e); text != "" {
				a.tell.say(e.At, e.Tenant, "%s", text)
			}
		}
	}
}

// words puts an event into words; "" if it isn't worth a line.
func (a *audit) words(e state.Event) string {
	ref := state.FileRef{Key: state.Key{Tenant: e.Tenant, RecordID: e.RecordID}, FileID: e.FileID}.String()
	if e.Type == state.EventDiscovered {
		a.names[ref] = path.Base(e.Detail)
	}
	id, name := short(e.RecordID), a.names[ref]
	switch e.Type {
	case state.EventTracked:
		if e.Detail != "" {
			return fmt.Sprintf("recording %s is adopted: the listing of %s names it", id, short(e.Detail))
		}
		return fmt.Sprintf("recording %s is tracked", id)
	case state.EventDiscovered:
		return fmt.Sprintf("discovered %s of recording %s", name, id)
	case state.EventTransferring:
		return "transferring " + name
	case state.EventAttemptFailed:
		return fmt.Sprintf("attempt failed, %s is tried again: %s", name, oneLine(e.Detail))
	case state.EventRestarted:
		return fmt.Sprintf("%s starts over: %s", name, oneLine(e.Detail))
	case state.EventStored:
		return fmt.Sprintf("stored %s", name)
	case state.EventVerified:
		return fmt.Sprintf("verified %s (%s)", name, e.Detail)
	case state.EventArchived:
		return fmt.Sprintf("recording %s is archived: every file verified, manifest written", id)
	case state.EventWarrant:
		return fmt.Sprintf("deleting the source of %s under warrant %s", id, short(e.Warrant))
	case state.EventSourceDeleted:
		return fmt.Sprintf("source of %s is deleted, confirmed by a fresh listing", id)
	case state.EventRedirected:
		return fmt.Sprintf("recording %s is redirected: it has no file of its own", id)
	case state.EventQuarantined:
		if e.FileID == "" {
			return fmt.Sprintf("recording %s is QUARANTINED (%s): %s", id, e.Reason, oneLine(e.Detail))
		}
		return ""
	case state.EventSettled, state.EventArchiving, state.EventManifestWritten:
		return "" // said by what follows
	default:
		return strings.TrimSpace(fmt.Sprintf("%s %s %s: %s", e.Type, id, name, oneLine(e.Detail)))
	}
}
