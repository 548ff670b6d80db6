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

// Backlog is what a tenant has not archived yet, in numbers: the files
// themselves would be kept in memory for every tenant.
type Backlog struct {
	// Oldest is the start time (the tracking time where that is unknown) of
	// the oldest recording that is waiting or archiving; zero: there is none.
	Oldest  time.Time
	AtRisk  int       // files that may not be archived before their deadline
	Uploads int       // files with a multipart upload open
	More    bool      // there are more than 10,000 files, of which only the most urgent count
	At      time.Time // when it was found out
}

// backlogCache keeps the last answer.
type backlogCache struct {
	mu   sync.Mutex // held while the state is asked: who comes meanwhile waits for the same answer
	last Backlog
}

// Backlog returns a tenant's backlog as it was at most 15 seconds ago. Errors
// are the state's and ctx's.
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
	rate, known := m.Rate(tenant)
	out := Backlog{Oldest: b.Oldest, AtRisk: len(AtRisk(b.Files, rate, known, now)), More: b.More, At: now}
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
// and all that go before it take longer than that; at 0, what has bytes to be
// moved never arrives. files are in the order in which they are transferred. A
// file of unknown size is held to take no time, one without a deadline is never
// at risk, and a quarantined one is not transferred, so that only its 48 hours
// count. Where rate is not known, only they count for every file.
func AtRisk(files []state.PendingFile, rate float64, known bool, now time.Time) []state.PendingFile {
	var (
		out    []state.PendingFile
		before float64 // bytes to be moved until this file is there
	)
	for _, f := range files {
		waits := f.Phase != state.FileQuarantined
		if waits && f.Phase != state.Stored {
			before += float64(max(f.Size, 0))
		}
		if f.Deadline.IsZero() {
			continue
		}
		left := f.Deadline.Sub(now)
		if left < riskWindow || waits && known && before > rate*left.Seconds() {
			out = append(out, f)
		}
	}
	return out
}
