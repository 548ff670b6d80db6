package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/apitype"
	"archiver/internal/fault"
	"archiver/internal/state"
)

// maxManifest bounds what is read of an object that lies at a manifest's key.
const maxManifest = 64 << 20

// manifest writes the recording's manifest, and with that makes a recording
// archived whose files are all verified. more is false where nothing else
// should be tried now.
func (s *Syncer) manifest(ctx context.Context, t *Tenant, k state.Key) (more bool) {
	log := s.o.Logger.With(zap.String("tenant", k.Tenant), zap.String("record_id", k.RecordID))
	if s.gate.shut(t.Name, t.Dest) {
		return false
	}
	rec, err := s.o.Store.Get(ctx, k)
	if err == nil {
		err = s.writeManifest(ctx, t, rec)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	at := s.o.Clock().Add(s.backoff(5, err))
	until, down := s.manifestRefused(ctx, t, rec, err)
	if down {
		at = until
	} else {
		log.Error("write the manifest", zap.Error(err))
	}
	_, err = s.o.Store.Update(ctx, k, state.Do(state.ManifestFailed{Error: err.Error(), RetryAt: at}))
	if err != nil && ctx.Err() == nil {
		log.Error("record that the manifest was not written", zap.Error(err))
		s.put.put(state.WorkManifest, k)
	}
	return !down
}

// manifestRefused finds out whether it was the bucket as a whole that refused.
func (s *Syncer) manifestRefused(ctx context.Context, t *Tenant, rec state.Recording, err error) (until time.Time, down bool) {
	at := rec.Manifest.Dest
	if rec.Manifest.Key == "" {
		at = t.Dest
	}
	d, ok := s.destination(t, at)
	_, isFault := errors.AsType[*fault.Error](err)
	if _, probe := errors.AsType[*probeError](err); !ok || !isFault && !probe {
		return time.Time{}, false
	}
	return s.bucketDown(ctx, t.Name, at, d, err)
}

func (s *Syncer) writeManifest(ctx context.Context, t *Tenant, rec state.Recording) error {
	at, key := rec.Manifest.Dest, rec.Manifest.Key
	if key == "" {
		at, key = t.Dest, t.ManifestKey(rec)
	}
	d, ok := s.destination(t, at)
	if !ok {
		return fmt.Errorf("destination_unconfigured: bucket %s, which has the manifest, is no longer in the configuration; put it back", at.Bucket)
	}
	if rec.Status == state.Archiving {
		rec.ArchivedAt = s.o.Clock()
	}
	if _, err := s.proofs.of(ctx, at, d); err != nil {
		return err // the bucket has to be known for what may be sent to it
	}
	w := manifestWrite{key: key, m: apitype.OfManifest(rec), ours: rec.Manifest.ETag, merged: rec.Manifest.Merged}
	if err := w.put(ctx, d); err != nil {
		return err
	}
	s.works(t.Name, at, false)
	after, err := s.o.Store.Update(ctx, rec.ID(), state.Do(state.ManifestWritten{Dest: at, Key: key, ETag: w.ours, Merged: w.merged, Rendered: rec}))
	if err != nil {
		return err
	}
	if after.Status == state.Archived && rec.Status != state.Archived {
		s.o.Logger.Info("archived", zap.String("tenant", rec.Tenant), zap.String("record_id", rec.RecordID),
			zap.Int("files", len(after.Files)), zap.String("manifest", key))
	}
	return nil
}

// manifestWrite is one manifest on its way into the bucket.
type manifestWrite struct {
	key    string
	m      apitype.Manifest
	ours   string // ETag of what we wrote last, "" before the first
	merged bool   // an earlier manifest knew files that our state does not
}

// put replaces what we wrote last. Where something else lies there it must be
// an older manifest of the same recording (the state was lost, or the answer
// to our last write): it is replaced, and objects that only it knows are kept,
// now and in every later write.
func (w *manifestWrite) put(ctx context.Context, d Objects) error {
	if w.merged {
		if err := w.merge(ctx, d); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		body, err := json.MarshalIndent(w.m, "", "  ")
		if err != nil {
			return fmt.Errorf("render manifest %s: %w", w.key, err)
		}
		etag, err := d.PutManifest(ctx, w.key, body, w.ours)
		if err == nil {
			w.ours = etag
			return nil
		}
		kind := fault.KindOf(err)
		if try == 3 || kind != fault.Exists && kind != fault.Changed && kind != fault.NotFound {
			return err
		}
		if err := w.merge(ctx, d); err != nil {
			return err
		}
	}
}

// merge takes over what the manifest in the bucket knows and we do not.
func (w *manifestWrite) merge(ctx context.Context, d Objects) error {
	there, now, err := readManifest(ctx, d, w.key)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		w.ours = ""
		return nil
	case err != nil:
		return err
	case there.Schema != apitype.ManifestSchema || there.Tenant != w.m.Tenant || there.RecordID != w.m.RecordID:
		return &fault.Error{
			Op: "write manifest", Subject: w.key, Kind: fault.Exists,
			Err:  fmt.Errorf("an object lies there that is not the manifest of %s/%s", w.m.Tenant, w.m.RecordID),
			Hint: "move that object away, or set storage.manifest_key to another place",
		}
	}
	for _, f := range there.Files {
		known := slices.ContainsFunc(w.m.Files, func(g apitype.ManifestFile) bool {
			return g.Key == f.Key && g.Bucket == f.Bucket && g.Endpoint == f.Endpoint
		})
		if !known {
			w.m.Files = append(w.m.Files, f)
			w.merged = true
		}
	}
	w.ours = now
	return nil
}

func readManifest(ctx context.Context, d Objects, key string) (apitype.Manifest, string, error) {
	var m apitype.Manifest
	body, info, err := d.Get(ctx, key, "", 0, "")
	if err != nil {
		return m, "", err
	}
	defer func() { _ = body.Close() }() // read-only: nothing can be lost
	b, err := io.ReadAll(io.LimitReader(body, maxManifest))
	if err != nil {
		return m, "", &fault.Error{Op: "read manifest", Subject: key, Kind: fault.Temporary, Err: err}
	}
	if json.NewDecoder(bytes.NewReader(b)).Decode(&m) != nil {
		m = apitype.Manifest{} // no manifest at all; the caller sees that it is not ours
	}
	return m, info.ETag, nil
}
