package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"archiver/internal/sandbox/s3server"
	"archiver/internal/sandbox/vendorsim"
	"archiver/internal/state"
)

// errUnproven says that something is not as it must be; what, was printed.
var errUnproven = errors.New("not everything is proven")

// conclude prints the table, checks everything against the truth and says what
// came of it. all: a recording that is not final is a mismatch too.
func (w *world) conclude(ctx context.Context, all bool) error {
	p := &proof{world: w, all: all}
	if err := p.gather(ctx); err != nil {
		return err
	}
	w.tell.printf("\n%s\n", table(p.recordings))
	if err := p.check(ctx); err != nil {
		return err
	}
	w.checked = true
	for _, u := range p.unfinished {
		w.tell.printf("unfinished: %s; the archiver would go on with it\n", u)
	}
	for _, m := range p.mismatches {
		w.tell.printf("NOT PROVEN: %s\n", m)
	}
	if len(p.mismatches) > 0 {
		return fmt.Errorf("%w: %d mismatches", errUnproven, len(p.mismatches))
	}
	w.tell.printf("proven: %d files, %d bytes, of %d recordings: read back from the S3 server, each has the vendor's SHA-256;\n"+
		"        one object per file, %d manifests, no upload left open, %d sources deleted, each under a stored warrant; the state checks clean\n",
		p.files, p.bytes, p.proven, len(p.manifests), p.deleted)
	return nil
}

// proof compares three things: what the vendor really had, what the S3 server
// really holds, asked past the archiver and the fault proxy, and what the
// archiver says.
type proof struct {
	*world
	all bool

	recordings []state.Recording // of those that the vendor knows, as the archiver sees them
	objects    map[string]s3server.Object
	manifests  map[string]s3server.Object
	mismatches []string
	unfinished []string

	proven, files, deleted int
	bytes                  int64
}

func (p *proof) mismatch(format string, a ...any) {
	p.mismatches = append(p.mismatches, fmt.Sprintf(format, a...))
}

// gather asks the archiver.
func (p *proof) gather(ctx context.Context) error {
	for _, t := range p.vendor.Recordings() {
		r, err := p.archiver.Store().Get(ctx, state.Key{Tenant: t.Tenant, RecordID: t.ID})
		if errors.Is(err, state.ErrNotFound) {
			r, err = state.Recording{Tenant: t.Tenant, RecordID: t.ID, Status: "not tracked"}, nil
		}
		if err != nil {
			return err
		}
		p.recordings = append(p.recordings, r)
	}
	slices.SortStableFunc(p.recordings, func(a, b state.Recording) int { return strings.Compare(a.Tenant, b.Tenant) })
	return nil
}

// check compares. Its error means that it could not look.
func (p *proof) check(ctx context.Context) error {
	contents, err := s3server.Truth(ctx, p.store.Client(), bucketName)
	if err != nil {
		return fmt.Errorf("read the bucket back: %w", err)
	}
	p.objects, p.manifests = map[string]s3server.Object{}, map[string]s3server.Object{}
	for _, o := range contents.Objects {
		if strings.HasPrefix(o.Key, "manifests/") {
			p.manifests[o.Key] = o
		} else {
			p.objects[o.Key] = o
			p.example = o.Key
		}
	}
	known := map[string]bool{} // keys that are accounted for
	for _, r := range p.recordings {
		if err := p.recording(ctx, r, known); err != nil {
			return err
		}
	}
	for _, o := range contents.Objects {
		if !known[o.Key] {
			p.mismatch("object %s belongs to no file of the vendor", o.Key)
		}
	}
	for _, u := range contents.Uploads {
		if !known[u.Key] {
			p.mismatch("an upload of %s was left open", u.Key)
		}
	}
	if n := p.vendor.Counts()["delRecordFile"]; n != p.deleted {
		p.mismatch("delRecordFile was called %d times for %d deleted sources", n, p.deleted)
	}
	return p.archiver.Store().Check(ctx, func(problem string) { p.mismatch("state: %s", problem) })
}

// recording checks everything of one recording.
func (p *proof) recording(ctx context.Context, r state.Recording, known map[string]bool) error {
	truth, _ := p.vendor.Recording(r.RecordID)
	if !final(r) && !p.all {
		p.unfinished = append(p.unfinished, fmt.Sprintf("%s is %s", r.ID(), r.Status))
		for _, f := range r.Files {
			known[f.Key] = true
		}
		known[r.Manifest.Key] = true
		if truth.Deleted {
			p.deleted++
		}
		return nil
	}
	before := len(p.mismatches)
	switch {
	case !final(r):
		p.mismatch("%s is still %s", r.ID(), r.Status)
	case r.Status == state.Quarantined:
		p.mismatch("%s is quarantined (%s): %s", r.ID(), r.Reason, oneLine(r.Detail))
	case r.Marked():
		p.mismatch("%s bears a mark", r.ID())
	case len(truth.Files) == 0 && r.Status != state.Redirected:
		p.mismatch("%s is %s, though the vendor has no file of it", r.ID(), r.Status)
	}
	for _, f := range truth.Files {
		if err := p.file(r, f, known); err != nil {
			return err
		}
	}
	if len(truth.Files) > 0 {
		if err := p.manifest(ctx, r, truth, known); err != nil {
			return err
		}
	}
	if err := p.deletion(ctx, r, truth); err != nil {
		return err
	}
	if len(p.mismatches) == before {
		p.proven++
	}
	return nil
}

// file looks for the one object that says that it is the vendor's file, and
// compares the bytes that were read back.
func (p *proof) file(r state.Recording, f vendorsim.FileTruth, known map[string]bool) error {
	want, err := f.SHA256()
	if err != nil {
		return err
	}
	var found []s3server.Object
	for _, o := range p.objects {
		if o.Metadata["archiver-tenant"] == r.Tenant && o.Metadata["archiver-record-id"] == r.RecordID && path.Base(o.Key) == f.Name {
			found = append(found, o)
			known[o.Key] = true
		}
	}
	if len(found) != 1 {
		p.mismatch("%s: the bucket has %d objects for %s, not one", r.ID(), len(found), f.Name)
		return nil
	}
	o := found[0]
	i := slices.IndexFunc(r.Files, func(sf state.File) bool { return sf.Key == o.Key })
	switch {
	case o.SHA256 != want:
		p.mismatch("%s: object %s has SHA-256 %s, the vendor's file %s", r.ID(), o.Key, first12(o.SHA256), first12(want))
	case i < 0 || r.Files[i].Phase != state.Verified || r.Files[i].Sums.SHA256 != want || r.Files[i].Size != f.Size:
		p.mismatch("%s: the archiver's own record of %s says otherwise", r.ID(), o.Key)
	default:
		p.files++
		p.bytes += o.Size
	}
	return nil
}

// manifest checks that the recording has one, and that it names each file with
// the vendor's checksum.
func (p *proof) manifest(ctx context.Context, r state.Recording, truth vendorsim.Truth, known map[string]bool) error {
	key := fmt.Sprintf("manifests/%s/%s.json", r.Tenant, r.RecordID)
	known[key] = true
	if _, ok := p.manifests[key]; !ok {
		p.mismatch("%s has no manifest", r.ID())
		return nil
	}
	out, err := p.store.Client().GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucketName), Key: &key})
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	defer out.Body.Close()
	var m struct {
		RecordID string `json:"record_id"`
		Files    []struct {
			Key    string `json:"key"`
			SHA256 string `json:"sha256"`
		} `json:"files"`
	}
	if err := json.NewDecoder(out.Body).Decode(&m); err != nil {
		p.mismatch("%s: its manifest is no JSON: %v", r.ID(), err)
		return nil
	}
	var want, got []string
	for _, f := range truth.Files {
		sum, err := f.SHA256()
		if err != nil {
			return err
		}
		want = append(want, f.Name+" "+sum)
	}
	for _, f := range m.Files {
		got = append(got, path.Base(f.Key)+" "+f.SHA256)
	}
	slices.Sort(want)
	slices.Sort(got)
	if m.RecordID != r.RecordID || !slices.Equal(want, got) {
		p.mismatch("%s: its manifest does not tell what the vendor had", r.ID())
	}
	return nil
}

// deletion checks that the source is gone at the vendor exactly where it
// should be, by one call, after its warrant was stored.
func (p *proof) deletion(ctx context.Context, r state.Recording, truth vendorsim.Truth) error {
	want := deletes(r.Tenant) && len(truth.Files) > 0
	if truth.Deleted != want {
		p.mismatch("%s: deleted at the vendor is %t, it should be %t", r.ID(), truth.Deleted, want)
	}
	if !truth.Deleted {
		return nil
	}
	p.deleted++
	w, err := p.archiver.Store().Warrant(ctx, r.Tenant, r.Deletion.WarrantID)
	switch {
	case errors.Is(err, state.ErrNotFound):
		p.mismatch("%s was deleted without a warrant", r.ID())
	case err != nil:
		return err
	case w.RecordID != r.RecordID || len(w.Evidence) != len(truth.Files) || w.At.After(truth.DeletedAt) || truth.Deletions != 1:
		p.mismatch("%s: its warrant %s does not cover its deletion", r.ID(), w.ID)
	}
	return nil
}
