package apitype

import (
	"archiver/internal/state"
)

// OfDetail renders a recording with all that is to be said of it. rec is what
// OfRecording made of r.
func OfDetail(rec Recording, r state.Recording, deletes bool, events []state.Event) Detail {
	d := Detail{
		Recording: rec, Files: []FileDetail{}, Detail: r.Detail,
		LastPolledAt: stamp(r.Poll.LastAt), PollError: r.Poll.Error, SettledAt: stamp(r.SettledAt),
		Deletion: Deletion{Enabled: deletes, Warrant: r.Deletion.WarrantID, Error: r.Deletion.Error},
		Manifest: ManifestInfo{
			Bucket: r.Manifest.Dest.Bucket, Key: r.Manifest.Key, WrittenAt: stamp(r.Manifest.WrittenAt),
			Due: r.Manifest.Due, Error: r.Manifest.Error,
		},
		Events: []Event{},
	}
	for i, f := range r.Files {
		d.Files = append(d.Files, ofFileDetail(rec.Files[i], f))
	}
	for _, e := range events {
		d.Events = append(d.Events, OfEvent(e))
	}
	return d
}

func ofFileDetail(file File, f state.File) FileDetail {
	d := FileDetail{
		File: file, Reason: string(f.Reason), Accepted: f.Marks.Accepted, Suspect: f.Suspect,
		StartTime: stamp(f.StartTime), StopTime: stamp(f.StopTime), Source: f.SourcePath, Endpoint: f.Dest.Endpoint,
		Missing: f.Missing, MissingSince: stamp(f.MissingSince), ReadbackAt: stamp(f.ReadbackAt), NextAttemptAt: stamp(f.NextAttemptAt),
	}
	if f.DeclaredSize >= 0 {
		size := f.DeclaredSize
		d.DeclaredSize = &size
	}
	return d
}

// OfEvent renders a line of the audit log.
func OfEvent(e state.Event) Event {
	return Event{
		Seq: e.Seq, At: e.At.UTC(), Tenant: e.Tenant, RecordID: e.RecordID, FileID: e.FileID, Type: string(e.Type),
		From: e.From, To: e.To, Reason: string(e.Reason), Detail: e.Detail, Warrant: e.Warrant,
	}
}
