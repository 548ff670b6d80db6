package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"archiver/internal/state"
)

const (
	// backlogLife is how long what was found out of a backlog is good.
	backlogLife = 15 * time.Second
	// backlogLimit is how many files of one tenant are looked at; of more,
	// the most urgent count.
	backlogLimit = 10_000
	// riskWindow is how close to its deadline any file is at risk.
	riskWindow = 48 * time.Hour
)

// Backlog is what a tenant has not archived yet.
type Backlog struct {
	state.Backlog
	AtRisk  []state.PendingFile // of Files, those that may not be archived before their deadline
	Uploads int                 // of Files, those with a multipart upload open
	At      time.Time           // when it was found out
}

// backlogCache keeps the last answer.
type backlogCache struct {
	mu   sync.Mutex // held while the state is asked: who comes meanwhile waits for the same answer
	last Backlog
}

// Backlog returns a tenant's backlog as it was at most 15 seconds ago. Its
// slices are shared: they must not be changed. Errors are the state's and
// ctx's.
func (m *Metrics) Backlog(ctx context.Context, tenant string) (Backlog, error) {
	t := m.of(tenant)
	c := &t.backlog
	c.mu.Lock()
	defer c.mu.Unlock()
	now := m.o.Clock()
	if age := now.Sub(c.last.At); age >= 0 && age < backlogLife {
		return c.last, nil
	}
	b, err := m.o.Store.Backlog(ctx, tenant, backlogLimit)
	if err != nil {
		return Backlog{}, fmt.Errorf("look up what tenant %s has not archived: %w", tenant, err)
	}
	out := Backlog{Backlog: b, AtRisk: AtRisk(b.Files, m.Rate(tenant), now), At: now}
	for _, f := range b.Files {
		if f.Uploading {
			out.Uploads++
		}
	}
	c.last = out
	return out, nil
}

// AtRisk returns the files that may not be archived before the vendor drops
// them: less than 48 hours are left, or, at rate bytes per second, the file
// and all that go before it take longer than that. files are in the order in
// which they are transferred. A file of unknown size is held to take no time,
// one without a deadline is never at risk, and a quarantined one is not
// transferred at all. rate 0: not known, so that only the 48 hours count.
func AtRisk(files []state.PendingFile, rate float64, now time.Time) []state.PendingFile {
	var (
		out    []state.PendingFile
		before float64 // bytes to be moved until this file is there
	)
	for _, f := range files {
		if f.Phase == state.FileQuarantined {
			continue
		}
		if f.Phase != state.Stored {
			before += float64(max(f.Size, 0))
		}
		if f.Deadline.IsZero() {
			continue
		}
		left := f.Deadline.Sub(now)
		if left < riskWindow || rate > 0 && before/rate > left.Seconds() {
			out = append(out, f)
		}
	}
	return out
}
