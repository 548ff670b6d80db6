package poller

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"archiver/internal/meetingapi"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

// tell logs and counts what has become durable, one line for each decision,
// and wakes the syncer if there may be work for it.
func (p *Poller) tell(t *tenant, before, after state.Recording, changes []state.Change, res *Result) {
	log := t.log.With(zap.String("record_id", after.RecordID), zap.String("conference_key", after.ConferenceKey))
	work := false
	for _, c := range changes {
		switch c := c.(type) {
		case state.Track:
			res.Adopted++
			p.opts.Observer.Tracked(t.Name, 1)
			log.Info("recording adopted", zap.String("adopted_from", c.AdoptedFrom))
		case state.Discover:
			res.Files++
			work = true
			f, _ := after.File(c.FileID)
			log.Info("file discovered", zap.String("file_id", c.FileID), zap.String("key", f.Key), zap.Int64("bytes", f.DeclaredSize))
		case state.Supersede:
			log.Warn("source changed after archiving", zap.String("file_id", c.FileID), zap.String("why", c.Detail))
		case state.QuarantineFile:
			log.Warn("file quarantined", zap.String("file_id", c.FileID), zap.String("reason", string(c.Reason)), zap.String("why", c.Detail))
		case state.Settle:
			if before.SettledAt.IsZero() {
				res.Settled++
				work = true
				log.Info("recording settled", zap.Int("files", len(after.Files)))
			}
		case state.Redirect:
			log.Info("recording redirected", zap.String("why", c.Detail))
		case state.Quarantine:
			log.Warn("recording quarantined", zap.String("reason", string(c.Reason)), zap.String("why", c.Detail))
		case state.Gone:
			log.Warn("source gone", zap.String("why", c.Detail))
		case state.Retry:
			work = true
			log.Info("recording tried again: the vendor still lists it")
		}
	}
	if work {
		p.opts.Wake()
	}
}

// policy gathers what plan needs to know for one recording at a time.
func (p *Poller) policy(t *tenant, recordID string, at time.Time) policy {
	next := p.opts.Schedule.Next(at.In(p.opts.Location))
	pol := policy{
		settle: p.opts.Settle, maxInterval: p.opts.MaxInterval, giveUpAfter: p.opts.GiveUpAfter, recheck: p.opts.Recheck,
		retention: t.SourceRetention, dest: t.Dest,
	}
	if !next.IsZero() {
		pol.every = max(0, p.opts.Schedule.Next(next).Sub(next))
	}
	always := t.KeyHasFileID != nil && t.KeyHasFileID()
	pol.keys = func(it meetingapi.Identified, fileID string) []string { return t.keys(recordID, it, fileID, always) }
	return pol
}

// keys are the candidates for a file's object key, best first. A later
// generation lies beside the first one, never in its place. The last candidate
// is unique by construction, also where another tenant that shares the bucket
// has a recording of the same name.
func (t *tenant) keys(recordID string, it meetingapi.Identified, fileID string, always bool) []string {
	base := t.Key.Render(objectkey.Values{
		Tenant: t.Name, ConferenceKey: it.ConferenceKey, RecordID: recordID, FileID: it.FileID,
		Filename: it.Filename, EntID: it.EntID, Start: it.StartTime, Stop: it.StopTime,
	}, t.KeyZone)
	var out []string
	if fileID == it.FileID && (!always || t.Key.Uses("file_id")) {
		out = append(out, base)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{t.Name, recordID, fileID}, "\x00")))
	out = append(out, objectkey.WithFileID(base, fileID), objectkey.WithFileID(base, fileID+"-"+hex.EncodeToString(sum[:8])))
	return slices.Compact(out)
}
