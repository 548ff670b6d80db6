package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"archiver/internal/apitype"
	"archiver/internal/explain"
	"archiver/internal/state"
	archivesync "archiver/internal/sync"
)

// Alive returns why the process should be started again; nil: the state
// answers, and every loop that is to beat has beaten.
func (d *Daemon) Alive(ctx context.Context) error {
	select {
	case <-d.store.Failed():
		return errors.New("the state refuses everything; the log says why")
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := d.store.Totals(ctx); err != nil {
		return fmt.Errorf("read the state's totals: %w", err)
	}
	if !d.present().active() {
		return nil
	}
	return d.beats(time.Now())
}

// endsWithin is how long a generation may take, besides its grace, to end.
const endsWithin = time.Minute

// beats returns which loop of the generation that runs stands still at now.
func (d *Daemon) beats(now time.Time) error {
	g := d.atWork()
	d.mu.Lock()
	overtook := d.overtook
	d.mu.Unlock()
	if overtook.IsZero() {
		// of one that is to end, this loop has ended
		if at := g.syncer.Beat(); !at.IsZero() && now.Sub(at) > archivesync.BeatWithin {
			return fmt.Errorf("the loop that hands out transfers has stood still since %s", explain.Stamp(at))
		}
	} else if now.Sub(overtook) > g.cfg.ShutdownGrace+endsWithin {
		return fmt.Errorf("what was in flight under the configuration before does not end, since %s", explain.Stamp(overtook))
	}
	if tenant, at := g.poller.Stalled(now); tenant != "" {
		return fmt.Errorf("the poll run of tenant %s has stood still since %s", tenant, explain.Stamp(at))
	}
	return nil
}

// Ready tells what can be done and what can't.
func (d *Daemon) Ready(ctx context.Context) apitype.Health {
	h := apitype.Health{Status: apitype.HealthOK, Reasons: []string{}}
	if err := d.Alive(ctx); err != nil {
		return apitype.Health{Status: apitype.HealthUnavailable, Reasons: []string{err.Error()}}
	}
	g := d.atWork()
	suspended, paused := g.poller.Suspended(), g.syncer.Paused()
	for _, name := range slices.Sorted(maps.Keys(suspended)) {
		h.Reasons = append(h.Reasons, fmt.Sprintf("tenant %s is suspended: %s", name, suspended[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(paused)) {
		h.Reasons = append(h.Reasons, fmt.Sprintf("transfers of tenant %s are paused: %s", name, paused[name]))
	}
	switch tenants := len(g.cfg.Tenants); {
	case tenants > 0 && (len(suspended) == tenants || len(paused) == tenants):
		h.Status = apitype.HealthUnavailable
	case len(h.Reasons) > 0:
		h.Status = apitype.HealthDegraded
	}
	return h
}

// Status says in one line what the archiver is at.
func (d *Daemon) Status(ctx context.Context) string {
	totals, err := d.store.Totals(ctx)
	if err != nil {
		return "the state cannot be read: " + err.Error()
	}
	open, archived, quarantined := 0, 0, 0
	for _, t := range totals {
		for status, n := range t.Recordings {
			switch status {
			case state.Waiting, state.Archiving:
				open += n
			case state.Quarantined:
				quarantined += n
			default:
				archived += n
			}
		}
	}
	s := fmt.Sprintf("%s to archive, %s in flight, %d done", explain.Count(open, "recording"),
		explain.Count(d.atWork().syncer.Transferring(), "file"), archived)
	if quarantined > 0 {
		s += fmt.Sprintf(", %d quarantined", quarantined)
	}
	if h := d.Ready(ctx); h.Status != apitype.HealthOK {
		s = h.Status + ": " + h.Reasons[0] + "; " + s
	}
	return s
}
