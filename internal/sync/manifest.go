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
	if s.gate.shut(t.Dest) {
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
	if _, isFault := errors.AsType[*fault.Error](err); !ok || !isFault {
		return time.Time{}, false
	}
	return s.bucketDown(ctx, at, d, err)
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
	m := apitype.OfManifest(rec)
	etag, err := putManifest(ctx, d, key, m, rec.Manifest.ETag)
	if err != nil {
		return err
	}
	after, err := s.o.Store.Update(ctx, rec.ID(), state.Do(state.ManifestWritten{Dest: at, Key: key, ETag: etag, Rendered: rec}))
	if err != nil {
		return err
	}
	if after.Status == state.Archived && rec.Status != state.Archived {
		s.o.Logger.Info("archived", zap.String("tenant", rec.Tenant), zap.String("record_id", rec.RecordID),
			zap.Int("files", len(after.Files)), zap.String("manifest", key))
	}
	return nil
}

// putManifest replaces what we wrote last. Where something else lies there it
// must be an older manifest of the same recording (the state was lost, or the
// answer to our last write): it is replaced, and files that only it knows are
// kept.
func putManifest(ctx context.Context, d Objects, key string, m apitype.Manifest, ours string) (string, error) {
	for try := 0; ; try++ {
		body, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return "", fmt.Errorf("render manifest %s: %w", key, err)
		}
		etag, err := d.PutManifest(ctx, key, body, ours)
		kind := fault.KindOf(err)
		if try == 3 || kind != fault.Exists && kind != fault.Changed && kind != fault.NotFound {
			return etag, err
		}
		there, now, err := readManifest(ctx, d, key)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			ours = ""
			continue
		case err != nil:
			return "", err
		case there.Schema != apitype.ManifestSchema || there.Tenant != m.Tenant || there.RecordID != m.RecordID:
			return "", &fault.Error{
				Op: "write manifest", Subject: key, Kind: fault.Exists,
				Err:  fmt.Errorf("an object lies there that is not the manifest of %s/%s", m.Tenant, m.RecordID),
				Hint: "move that object away, or set storage.manifest_key to another place",
			}
		}
		for _, f := range there.Files {
			known := slices.ContainsFunc(m.Files, func(g apitype.ManifestFile) bool { return g.FileID == f.FileID })
			if !known {
				m.Files = append(m.Files, f)
			}
		}
		ours = now
	}
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
