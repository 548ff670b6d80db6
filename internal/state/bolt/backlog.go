package bolt

import (
	"bytes"
	"context"
	"encoding/binary"

	"archiver/internal/state"
)

// Backlog implements state.Queue.
func (s *Store) Backlog(ctx context.Context, tenant string, limit int) (state.Backlog, error) {
	var out state.Backlog
	if err := checkName("tenant", tenant); err != nil {
		return out, nil //nolint:nilerr // what cannot be stored waits for nothing
	}
	err := s.view(ctx, func(t *txn) (err error) {
		if out.Files, out.More, err = t.pending(tenant, limit); err != nil {
			return err
		}
		oldest := never
		for _, status := range []state.Status{state.Waiting, state.Archiving} {
			at, err := t.firstListed(tenant, status)
			if err != nil {
				return err
			}
			oldest = min(oldest, at)
		}
		if oldest != never {
			out.Oldest = instantTime(oldest)
		}
		return nil
	})
	if err != nil {
		return state.Backlog{}, err
	}
	return out, nil
}

// firstListed is the time of the oldest recording of a status, or never.
func (t *txn) firstListed(tenant string, status state.Status) (uint64, error) {
	prefix := statusPrefix(tenant, status)
	k, v := t.cursor(bByStatus, prefix).first()
	if k == nil {
		return never, nil
	}
	if _, err := unseal(bByStatus, k, v, formatIndex); err != nil {
		return 0, err
	}
	if len(k) < len(prefix)+8 {
		return 0, &damage{bByStatus, bytes.Clone(k), "the key is too short"}
	}
	return binary.BigEndian.Uint64(k[len(prefix):]), nil
}

// pending returns the most urgent files of a tenant, due or not.
func (t *txn) pending(tenant string, limit int) (out []state.PendingFile, more bool, err error) {
	var bad error
	err = t.eachWork(bPending, tenant, func(_ uint64, ref state.FileRef) bool {
		if more = len(out) >= limit; more {
			return false
		}
		var p state.PendingFile
		if p, bad = t.pendingFile(ref); bad == nil {
			out = append(out, p)
		}
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	return out, more, err
}

func (t *txn) pendingFile(ref state.FileRef) (state.PendingFile, error) {
	var f state.File
	found, err := t.getJSON(bFiles, fileKey(ref), &f)
	if err == nil && !found {
		err = &damage{bPending, fileKey(ref), "the file is not there"}
	}
	p := state.PendingFile{Ref: ref, Phase: f.Phase, Deadline: f.Deadline, Size: f.DeclaredSize, Uploading: f.Upload != nil}
	if p.Size < 0 && f.Version != nil {
		p.Size = f.Version.Length
	}
	return p, err
}

// LastEvent implements state.Audit.
func (s *Store) LastEvent(ctx context.Context) (seq uint64, err error) {
	err = s.view(ctx, func(t *txn) (err error) { seq, err = t.lastSequence(); return err })
	return seq, err
}
