package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"archiver/internal/state"
)

const (
	tailEvery = time.Second // how often the audit log is read
	tailBatch = 256         // events at a time
	saveEvery = time.Minute // how often the timestamps are saved at most
	// factName is where they are saved.
	factName = "metrics/timestamps"
)

// tail is where Run stands in the audit log.
type tail struct {
	after uint64 // events up to here are known
	since uint64 // events up to here, of before this process, move timestamps alone
	saved string // what the fact says
}

// kept is the fact.
type kept struct {
	After   uint64                          `json:"after"` // the events up to here are in Tenants
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
			return nil
		}
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
	switch e.Type {
	case state.EventTracked:
		m.of(e.Tenant).moments[tracked].reach(e.At)
	case state.EventArchived:
		m.of(e.Tenant).moments[archived].reach(e.At)
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
// log is read from its beginning, once.
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
	if b != nil && json.Unmarshal(b, &k) != nil {
		k = kept{} // the log has nearly all of it
	}
	for name, at := range k.Tenants {
		for i := range at {
			m.of(name).moments[i].recall(at[i])
		}
	}
	m.tail = tail{after: min(k.After, last), since: last, saved: string(b)}
	return nil
}

// save writes the timestamps if they have changed.
func (m *Metrics) save(ctx context.Context) error {
	k := kept{After: m.tail.after, Tenants: map[string][momentCount]float64{}}
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
