package state

import "fmt"

// Problems returns what cannot be true of a recording, whatever has happened:
// the invariants that `state check` and every test hold against the state.
func (r Recording) Problems() []string {
	var out []string
	bad := func(format string, a ...any) { out = append(out, r.ID().String()+": "+fmt.Sprintf(format, a...)) }
	if r.Status == "" {
		bad("has no status")
	}
	if r.Status == SourceDeleted && r.Deletion.WarrantID == "" {
		bad("source deleted without a warrant")
	}
	if r.Status == Deleting && r.Deletion.WarrantID == "" {
		bad("deleting without a warrant")
	}
	switch r.Status {
	case Archived, Deleting, SourceDeleted, DeletionUnconfirmed:
		if !r.AllVerified() {
			bad("is %s with a file that is not verified", r.Status)
		}
		if r.Manifest.WrittenAt.IsZero() {
			bad("is %s without a manifest", r.Status)
		}
	case Waiting, Redirected:
		if len(r.Files) > 0 {
			bad("is %s with files", r.Status)
		}
	case Quarantined:
		if r.Reason == "" {
			bad("quarantined without a reason")
		}
	case Archiving:
	}
	keys := map[string]string{}
	for _, f := range r.Files {
		out = append(out, f.problems(r.ID())...)
		at := f.Dest.Endpoint + "\x00" + f.Dest.Bucket + "\x00" + f.Key
		if other, ok := keys[at]; ok {
			bad("files %s and %s share the key %s", other, f.ID, f.Key)
		}
		keys[at] = f.ID
	}
	return out
}

func (f File) problems(k Key) []string {
	var out []string
	bad := func(format string, a ...any) {
		out = append(out, FileRef{Key: k, FileID: f.ID}.String()+": "+fmt.Sprintf(format, a...))
	}
	if f.Key == "" {
		bad("has no object key")
	}
	switch f.Phase {
	case Discovered:
		if f.Upload != nil {
			bad("has an upload before its transfer")
		}
	case Transferring:
		if f.Upload != nil && f.Upload.ID != "" && f.Version == nil {
			bad("has an upload of an unpinned source")
		}
	case Stored, Verified:
		if f.Sums.SHA256 == "" {
			bad("is %s without a checksum", f.Phase)
		}
		if f.Upload != nil {
			bad("is %s with an open upload", f.Phase)
		}
		if f.Phase == Verified && (f.Level == "" || f.VerifiedAt.IsZero()) {
			bad("verified without proof")
		}
	case FileQuarantined:
		if f.Reason == "" {
			bad("quarantined without a reason")
		}
	default:
		bad("has the unknown phase %q", f.Phase)
	}
	return out
}
