package sync

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"archiver/internal/download"
	"archiver/internal/meetingapi"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

const (
	// maxSkew is how far our clock may be from the vendor's or the bucket's.
	maxSkew = 5 * time.Minute
	// readbackLife is how long a read-back is good for a warrant.
	readbackLife = 24 * time.Hour
)

// evidence gathers what one warrant needs. It is used once.
type evidence struct {
	s      *Syncer
	t      *Tenant
	policy DeletePolicy
	start  time.Time
	recs   map[string]state.Recording // owners, by recordId
	w      state.Warrant
	unread []state.Evidence // copies that have to be read back first
}

// sourceChanged says that the source is not what we archived.
type sourceChanged struct {
	key  state.Key
	file state.File
	why  string
}

func (e *sourceChanged) Error() string { return e.why }

// listed asks the vendor and finds the verified file of every item.
func (e *evidence) listed(ctx context.Context, rec state.Recording) ([]meetingapi.Identified, []state.File, error) {
	l, err := e.t.Vendor.GetRecords(ctx, rec.RecordID, meetingapi.Urgent)
	if rec.Deletion.WarrantID != "" && isGone(err) {
		return nil, nil, errGone
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the source before deleting it: %w", err)
	}
	if err := e.clock("vendor", l.Date); err != nil {
		return nil, nil, err
	}
	e.w = state.Warrant{
		Tenant: rec.Tenant, RecordID: rec.RecordID, ListedAt: l.ReceivedAt, Covers: []string{rec.RecordID},
		Clocks: state.Clocks{Ours: e.s.o.Clock(), Vendor: l.Date},
	}
	if !lists(l, rec.RecordID) {
		if rec.Deletion.WarrantID != "" {
			return nil, nil, errGone
		}
		return nil, nil, refuse("the vendor lists no file of it")
	}
	items := meetingapi.Identify(rec.RecordID, l.Items)
	files := make([]state.File, len(items))
	for i, it := range items {
		if files[i], err = e.known(ctx, it); err != nil {
			return nil, nil, err
		}
	}
	return items, files, nil
}

// gather asks the vendor, the vendor's store and the bucket, in this order.
func (e *evidence) gather(ctx context.Context, rec state.Recording) (state.Warrant, error) {
	items, files, err := e.listed(ctx, rec)
	if err != nil {
		return e.w, err
	}
	for i, it := range items {
		if err := e.source(ctx, it, files[i]); err != nil {
			return e.w, err
		}
	}
	for i := range items {
		if err := e.copy(ctx, &e.w.Evidence[i]); err != nil {
			return e.w, err
		}
	}
	if len(e.unread) > 0 {
		return e.w, errUnread
	}
	now := e.s.o.Clock()
	if now.Sub(e.start) > warrantLife {
		return e.w, refuse("gathering the evidence took longer than %s", warrantLife)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails, crypto/rand
	e.w.ID, e.w.At = hex.EncodeToString(id), now
	return e.w, nil
}

func (e *evidence) clock(whose string, date time.Time) error {
	if date.IsZero() {
		return nil
	}
	if d := e.s.o.Clock().Sub(date).Abs(); d > maxSkew {
		return refuse("our clock and the %s's are %s apart; set the clock right", whose, d.Round(time.Second))
	}
	return nil
}

// known finds the verified file of a listed item. Every item counts, whatever
// recording it belongs to.
func (e *evidence) known(ctx context.Context, it meetingapi.Identified) (state.File, error) {
	rec, ok := e.recs[it.Owner]
	if !ok {
		var err error
		rec, err = e.s.o.Store.Get(ctx, state.Key{Tenant: e.t.Name, RecordID: it.Owner})
		if errors.Is(err, state.ErrNotFound) {
			return state.File{}, refuse("the listing names recording %s, which is not archived", it.Owner)
		}
		if err != nil {
			return state.File{}, err
		}
		e.recs[it.Owner] = rec
		if !slices.Contains(e.w.Covers, it.Owner) {
			e.w.Covers = append(e.w.Covers, it.Owner)
		}
	}
	f, ok := rec.Current(it.FileID)
	switch {
	case !it.Finished() || it.FileID == "":
		return f, refuse("the listing has an item of %s that is not finished", it.Owner)
	case rec.Hold:
		return f, refuse("recording %s is on hold", it.Owner)
	case !ok:
		return f, refuse("the listing has a file of %s that is not archived", it.Owner)
	case f.Phase != state.Verified:
		return f, refuse("file %s of %s is %s, not verified", f.ID, it.Owner, f.Phase)
	case f.Marks.Any():
		return f, refuse("file %s of %s is marked %s", f.ID, it.Owner, f.Marks)
	case rec.Manifest.Due || rec.Manifest.WrittenAt.IsZero():
		return f, refuse("the manifest of recording %s is not written", it.Owner)
	case f.DeclaredSize != it.FileSize:
		return f, refuse("the vendor lists file %s of %s with %d bytes now, it was %d", f.ID, it.Owner, it.FileSize, f.DeclaredSize)
	case it.FileSize >= 0 && it.FileSize != f.Size && !f.Marks.SizeMismatch:
		return f, refuse("file %s of %s has %d bytes here, %d at the vendor", f.ID, it.Owner, f.Size, it.FileSize)
	}
	return f, nil
}

// source shows that the fresh URL still leads to what we archived.
func (e *evidence) source(ctx context.Context, it meetingapi.Identified, f state.File) error {
	info, err := e.t.Source.Stat(ctx, it.DownURL)
	if err != nil {
		return fmt.Errorf("look at the source before deleting it: %w", err)
	}
	ev := state.Evidence{
		RecordID: it.Owner, FileID: f.ID, DeclaredSize: it.FileSize, Source: info.Version,
		Dest: f.Dest, Key: f.Key, Object: f.Object, Size: f.Size, Sums: f.Sums, Level: f.Level, ReadbackAt: f.ReadbackAt,
	}
	was := state.SourceVersion{Length: -1}
	if f.Version != nil {
		was = *f.Version
	}
	validator := was.ETag != "" || was.LastModified != ""
	otherCRC := f.Sums.HasECMA && info.CRC64ECMA != nil && *info.CRC64ECMA != f.Sums.CRC64ECMA
	untold := was.Length >= 0 && info.Version.Length < 0 // it no longer says how long it is
	switch {
	case isDocument(info.ContentType) && newMedia(f.Filename).IsMedia:
		return refuse("the source of file %s answers with %s now", f.ID, info.ContentType)
	case otherCRC, validator && !was.Same(info.Version), info.Version.Length >= 0 && info.Version.Length != f.Size:
		return &sourceChanged{
			key:  state.Key{Tenant: e.t.Name, RecordID: it.Owner},
			file: f, why: "the source of file " + f.ID + " changed after it was archived",
		}
	case !validator || untold:
		if err := e.reread(ctx, it, f); err != nil {
			return err
		}
		ev.SourceReread = true
	}
	e.w.Evidence = append(e.w.Evidence, ev)
	return nil
}

// isDocument reports whether a Content-Type is that of an error page.
func isDocument(contentType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch strings.TrimSpace(t) {
	case "text/html", "text/xml", "application/xml", "application/json":
		return true
	}
	return false
}

// reread reads a source that has no validator, or no longer tells its length,
// in full and compares it.
func (e *evidence) reread(ctx context.Context, it meetingapi.Identified, f state.File) error {
	ctx, cancel := context.WithTimeout(ctx, warrantLife)
	defer cancel()
	resp, err := e.t.Source.Get(ctx, download.Request{URL: it.DownURL, Length: -1, Whole: true})
	if err != nil {
		return fmt.Errorf("read the source again before deleting it: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read-only: nothing can be lost
	h := sha256.New()
	if _, err := io.Copy(h, counted{resp.Body, func(n int) { e.s.o.Observer.SourceRead(e.t.Name, n) }}); err != nil {
		return fmt.Errorf("read the source again before deleting it: %w", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != f.Sums.SHA256 {
		return &sourceChanged{
			key:  state.Key{Tenant: e.t.Name, RecordID: it.Owner},
			file: f, why: "the source of file " + f.ID + ", read again, is not what was archived",
		}
	}
	return nil
}

// copy shows that the bucket still proves its copy.
func (e *evidence) copy(ctx context.Context, ev *state.Evidence) error {
	d, ok := e.s.destination(e.t, ev.Dest)
	if !ok {
		return refuse("destination_unconfigured: bucket %s, which has file %s, is no longer in the configuration", ev.Dest.Bucket, ev.FileID)
	}
	caps, err := e.s.proofs.of(ctx, ev.Dest, d)
	if err != nil {
		return err
	}
	info, err := d.Head(ctx, ev.Key, ev.Object.VersionID)
	if err != nil {
		return fmt.Errorf("ask the bucket for file %s before deleting its source: %w", ev.FileID, err)
	}
	if err := e.clock("bucket", info.Date); err != nil {
		return err
	}
	if !info.Date.IsZero() {
		e.w.Clocks.Bucket = info.Date
	}
	now := object(info)
	if info.Size != ev.Size || !ev.Object.Same(now) {
		return refuse("the bucket's object %s is not the one that was verified", ev.Key)
	}
	ev.Object = now
	level, err := expectation{key: ev.Key, size: ev.Size, sums: ev.Sums}.level(info, caps)
	if err != nil {
		return err // another checksum, whatever was read back earlier
	}
	recent := within(e.s.o.Clock(), ev.ReadbackAt, readbackLife)
	switch {
	case recent:
		ev.Level = state.LevelReadback
	case level == state.LevelFullObject && e.policy.Require == state.LevelFullObject:
		ev.Level = state.LevelFullObject
	case ev.Level == state.LevelFullObject && e.policy.Require == state.LevelFullObject:
		// What it proved once it no longer does: that is for a person to look at.
		return refuse("the bucket does not prove %s any more, as it did when it was verified", ev.Key)
	default:
		e.unread = append(e.unread, *ev)
	}
	return nil
}

// errUnread says that copies have to be read back before the bucket can be held
// to prove them.
var errUnread = errors.New("copies have to be read back first")

// readBack reads back the copies for which the warrant needs it: where the
// bucket proves nothing of a whole object, or delete_source.require is
// readback.
func (e *evidence) readBack(ctx context.Context) error {
	for _, ev := range e.unread {
		d, ok := e.s.destination(e.t, ev.Dest)
		if !ok {
			return refuse("destination_unconfigured: bucket %s is no longer in the configuration", ev.Dest.Bucket)
		}
		caps, err := e.s.proofs.of(ctx, ev.Dest, d)
		if err != nil {
			return err
		}
		f, _ := e.recs[ev.RecordID].File(ev.FileID)
		pr, err := prove(ctx, d, caps, expectation{
			key: ev.Key, versionID: ev.Object.VersionID, size: ev.Size, sums: ev.Sums, parts: f.Parts,
		}, true)
		e.s.proved(e.t.Name, pr.level, err)
		if err != nil {
			return err
		}
		k := state.Key{Tenant: e.t.Name, RecordID: ev.RecordID}
		_, err = e.s.o.Store.Update(ctx, k, state.Do(state.Verify{FileID: ev.FileID, Level: pr.level, Object: object(pr.info), Readback: true}))
		if err != nil {
			return err
		}
	}
	return nil
}

// archiveAgain puts the changed source beside the old object: a new
// generation of the file, under a key of its own.
func (s *Syncer) archiveAgain(ctx context.Context, c *sourceChanged) error {
	_, err := s.o.Store.Update(ctx, c.key, func(r state.Recording) ([]state.Change, error) {
		f, ok := r.File(c.file.ID)
		if !ok || f.Superseded {
			return nil, nil
		}
		n := max(f.Generation, 1) + 1
		id := fmt.Sprintf("%s-%d", state.Identity(f.ID), n)
		base := f.Key
		return []state.Change{
			state.Supersede{FileID: f.ID, Detail: c.why},
			state.Discover{
				FileID: id, Filename: f.Filename, Generation: n, Dest: s.tenants[c.key.Tenant].Dest,
				Keys: []string{objectkey.WithFileID(base, id), objectkey.WithFileID(base, id+"-b")},
				Listing: state.Listing{
					DeclaredSize: f.DeclaredSize, Start: f.StartTime, Stop: f.StopTime,
					SourcePath: f.SourcePath, Vendor: f.Vendor, Deadline: f.Deadline,
				},
			},
		}, nil
	})
	if err == nil {
		s.Wake()
	}
	return err
}
