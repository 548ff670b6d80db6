package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
)

const (
	tailEvery = time.Second // how often the audit log is read
	tailBatch = 256         // events at a time
	// olderBatch is how many events of before the start are looked at between
	// two looks at the log's end: a million of them take some minutes then, and
	// no more than some hundredths of a core.
	olderBatch = 4096
	saveEvery  = time.Minute // how often the timestamps are saved at most
	// factName is where they are saved.
	factName = "metrics/timestamps"
)

// tail is where Run stands in the audit log.
type tail struct {
	after uint64 // events up to here are known
	since uint64 // events up to here, of before this process, move timestamps alone
	// older: timestamps that are not known yet may stand in events up to here.
	older uint64
	saved string // what the fact says
}

// kept is the fact.
type kept struct {
	After   uint64                          `json:"after"`           // the events up to here are in Tenants,
	Older   uint64                          `json:"older,omitempty"` // but those up to here are not yet
	Tenants map[string][momentCount]float64 `json:"tenants"`
}

// Begin notes where the audit log ends: what comes after that is counted. It is
// called before anybody works, and before Run. If the state refuses that, Run
// says so and tries again.
func (m *Metrics) Begin(ctx context.Context) {
	_ = m.begin(ctx) // Run meets the same error
}

func (m *Metrics) begin(ctx context.Context) error {
	if m.loaded {
		return nil
	}
	if err := m.load(ctx); err != nil {
		return err
	}
	m.loaded = true
	return nil
}

// Run reads the audit log and measures rates until ctx ends, then saves the
// timestamps and returns. It does not give up: what the state refuses is said
// once and tried again.
func (m *Metrics) Run(ctx context.Context) {
	t := time.NewTicker(tailEvery)
	defer t.Stop()
	var (
		failing    bool
		savedAt    = time.Now()
		measuredAt = savedAt
	)
	for {
		err := m.step(ctx)
		if err == nil && time.Since(savedAt) >= saveEvery {
			savedAt = time.Now()
			err = m.save(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			m.o.Logger.Warn("metrics from the audit log are late", zap.Error(err))
		}
		failing = err != nil
		if d := time.Since(measuredAt); d >= rateEvery {
			m.measure(d)
			measuredAt = time.Now()
		}
		select {
		case <-ctx.Done():
			m.last(ctx)
			return
		case <-t.C:
		}
	}
}

// last takes what was written at the very end, and saves.
func (m *Metrics) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scrapeTimeout)
	defer cancel()
	err := m.step(ctx)
	if err == nil {
		err = m.save(ctx)
	}
	if err != nil {
		m.o.Logger.Warn("the timestamps of the metrics are not saved", zap.Error(err))
	}
}

// step takes what is new in the audit log.
func (m *Metrics) step(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	for {
		events, err := m.o.Store.Events(ctx, m.tail.after, tailBatch)
		if err != nil {
			return fmt.Errorf("read the audit log behind event %d: %w", m.tail.after, err)
		}
		for _, e := range events {
			m.take(e)
			m.tail.after = e.Seq
		}
		if len(events) < tailBatch {
			return m.lookBack(ctx)
		}
	}
}

// lookBack takes the timestamps that no later event has told from some events
// of before the start, the newest of them first.
func (m *Metrics) lookBack(ctx context.Context) error {
	if m.tail.older == 0 {
		return nil
	}
	totals, err := m.o.Store.Totals(ctx)
	if err != nil {
		return fmt.Errorf("look for tenants whose timestamps are not known: %w", err)
	}
	if m.knows(totals) {
		m.tail.older = 0
		return nil
	}
	n := min(olderBatch, m.tail.older)
	events, err := m.o.Store.Events(ctx, m.tail.older-n, int(n))
	if err != nil {
		return fmt.Errorf("read the audit log up to event %d: %w", m.tail.older, err)
	}
	for _, e := range slices.Backward(events) {
		if i, ok := momentOf(e); ok {
			m.of(e.Tenant).moments[i].recall(inSeconds(e.At))
		}
	}
	m.tail.older -= n
	return nil
}

// knows reports whether the timestamps of all tenants are known, of those of
// the configuration and of those that have recordings.
func (m *Metrics) knows(totals map[string]state.Totals) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	known := func(t *tenant) bool {
		return t != nil && t.moments[tracked].seconds() != 0 && t.moments[archived].seconds() != 0
	}
	for name := range totals {
		if !known(m.tenants[name]) {
			return false
		}
	}
	for _, t := range m.tenants {
		if !known(t) {
			return false
		}
	}
	return true
}

// momentOf is which timestamp an event moves, if any.
func momentOf(e state.Event) (i int, ok bool) {
	switch e.Type {
	case state.EventTracked:
		return tracked, true
	case state.EventArchived:
		return archived, true
	default:
		return 0, false
	}
}

// take counts one event.
func (m *Metrics) take(e state.Event) {
	now := e.Seq > m.tail.since
	count := func(result string) {
		if now {
			m.vec.deletions.WithLabelValues(e.Tenant, result).Inc()
		}
	}
	if i, ok := momentOf(e); ok {
		m.of(e.Tenant).moments[i].reach(e.At)
	}
	switch e.Type {
	case state.EventSourceDeleted:
		count(deleted)
	case state.EventDeletionUnconfirmed:
		count(unconfirmed)
	case state.EventDeletionFailed:
		count(failed)
	case state.EventQuarantined:
		if now && e.FileID == "" { // a file's own comes with its recording's
			m.vec.quarantined.WithLabelValues(e.Tenant, string(e.Reason)).Inc()
		}
	default:
	}
}

// load takes up the timestamps of the last run, and the audit log where they
// end: another command may have tracked something in between. Without them the
// log is looked through from its end, a little at a time.
func (m *Metrics) load(ctx context.Context) error {
	last, err := m.o.Store.LastEvent(ctx)
	if err != nil {
		return fmt.Errorf("look up the last event: %w", err)
	}
	b, err := m.o.Store.Fact(ctx, factName)
	if err != nil {
		return fmt.Errorf("recall the timestamps of the metrics: %w", err)
	}
	var k kept
	if b == nil || json.Unmarshal(b, &k) != nil {
		k = kept{After: last, Older: last} // the log has nearly all of it
	}
	for name, at := range k.Tenants {
		for i := range at {
			m.of(name).moments[i].recall(at[i])
		}
	}
	m.tail = tail{after: min(k.After, last), since: last, older: min(k.Older, last), saved: string(b)}
	return nil
}

// save writes the timestamps if they have changed.
func (m *Metrics) save(ctx context.Context) error {
	k := kept{After: m.tail.after, Older: m.tail.older, Tenants: map[string][momentCount]float64{}}
	m.mu.RLock()
	for name, t := range m.tenants {
		var at [momentCount]float64
		for i := range at {
			at[i] = t.moments[i].seconds()
		}
		k.Tenants[name] = at
	}
	m.mu.RUnlock()
	b, err := json.Marshal(k)
	if err != nil || string(b) == m.tail.saved {
		return err
	}
	if err := m.o.Store.SetFact(ctx, factName, b); err != nil {
		return fmt.Errorf("save the timestamps of the metrics: %w", err)
	}
	m.tail.saved = string(b)
	return nil
}
