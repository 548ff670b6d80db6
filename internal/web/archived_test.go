package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"archiver/internal/state"
)

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

// archive brings a recording to archived, with one file of that content.
func (w *world) archive(k state.Key, id, content string) state.Recording {
	w.t.Helper()
	size, at := int64(len(content)), time.Now()
	dest := state.Destination{Bucket: "b"}
	object := state.Object{ETag: "etag", LastModified: at}
	version := state.SourceVersion{ETag: `"v"`, Length: size}
	w.update(k, state.Track{},
		state.Discover{FileID: id, Filename: "a b.mp4", Dest: dest, Keys: []string{k.String() + "/" + id}, Listing: state.Listing{DeclaredSize: size, Start: at, Stop: at}},
		state.Start{FileID: id}, state.Pin{FileID: id, Version: version},
		state.MarkStored{FileID: id, Version: version, Size: size, Sums: state.Checksums{SHA256: sum(content), CRC64NVME: 7}, Object: object},
		state.Verify{FileID: id, Level: state.LevelFullObject, Object: object}, state.Settle{})
	r, err := w.store.Get(w.t.Context(), k)
	if err != nil {
		w.t.Fatal(err)
	}
	r.ArchivedAt = at
	w.set(func(p *ports) { p.objects[state.FileRef{Key: k, FileID: id}] = []byte(content) })
	return w.update(k, state.ManifestWritten{Dest: dest, Key: "m/" + k.String(), ETag: "m", Rendered: r})
}

func (w *world) update(k state.Key, changes ...state.Change) state.Recording {
	w.t.Helper()
	r, err := w.store.Update(w.t.Context(), k, state.Do(changes...))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// warrant moves an archived recording to deleting.
func (w *world) warrant(r state.Recording) {
	w.t.Helper()
	at, f := time.Now(), r.Files[0]
	_, err := w.store.StoreWarrant(w.t.Context(), state.Warrant{
		ID: "w-" + r.RecordID, Tenant: r.Tenant, RecordID: r.RecordID, At: at, ListedAt: at, Covers: []string{r.RecordID},
		Clocks: state.Clocks{Ours: at, Vendor: at},
		Evidence: []state.Evidence{{
			RecordID: r.RecordID, FileID: f.ID, DeclaredSize: f.DeclaredSize, Dest: f.Dest, Key: f.Key,
			Object: f.Object, Size: f.Size, Sums: f.Sums, Level: f.Level,
		}},
	}, 9, func() error { return nil })
	if err != nil {
		w.t.Fatal(err)
	}
}
