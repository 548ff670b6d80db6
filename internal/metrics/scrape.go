package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"archiver/internal/state"
)

// scrapeTimeout bounds what a scrape waits for the state.
const scrapeTimeout = 10 * time.Second

// The metrics that are asked for when somebody scrapes.
var (
	descRecordings = desc("recordings", "Recordings tracked.", "tenant", "status")
	descFiles      = desc("files", "Files known of.", "tenant", "phase")
	descAtRisk     = desc("files_at_risk", "Files that may not be archived before the vendor drops them.", "tenant")
	descOldest     = desc("oldest_unarchived_seconds", "Age of the oldest recording that waits or is being archived; 0: there is none.", "tenant")
	descUploads    = desc("multipart_uploads_open", "Files with a multipart upload of ours open or intended.", "tenant")
	descFlight     = desc("transfers_in_flight", "Files being transferred or proven.", "tenant")
	descBuffers    = desc("buffer_bytes_in_use", "Bytes of part buffers in use.")
	descSize       = desc("state_size_bytes", "Size of the state.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, help, labels, nil)
}

// scraped collects them.
type scraped struct{ m *Metrics }

// Describe implements prometheus.Collector.
func (scraped) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRecordings, descFiles, descAtRisk, descOldest, descUploads, descFlight, descBuffers, descSize} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (s scraped) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	m := s.m
	out <- value(descBuffers, float64(m.o.Syncer.BufferBytes()))
	if n, err := m.o.Store.Size(); err != nil {
		out <- prometheus.NewInvalidMetric(descSize, err)
	} else {
		out <- value(descSize, float64(n))
	}
	s.totals(ctx, out)
	flight := m.o.Syncer.Transferring()
	for _, t := range m.configured() {
		out <- value(descFlight, float64(flight[t.name]), t.name)
		s.backlog(ctx, t.name, out)
	}
}

func (s scraped) totals(ctx context.Context, out chan<- prometheus.Metric) {
	totals, err := s.m.o.Store.Totals(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(descRecordings, err)
		return
	}
	if totals == nil {
		totals = map[string]state.Totals{}
	}
	for _, t := range s.m.configured() {
		if _, ok := totals[t.name]; !ok {
			totals[t.name] = state.Totals{} // it has nothing yet
		}
	}
	for tenant, n := range totals {
		for _, status := range state.Statuses() {
			out <- value(descRecordings, float64(n.Recordings[status]), tenant, string(status))
		}
		for _, phase := range state.Phases() {
			out <- value(descFiles, float64(n.Files[phase]), tenant, string(phase))
		}
	}
}

func (s scraped) backlog(ctx context.Context, tenant string, out chan<- prometheus.Metric) {
	b, err := s.m.Backlog(ctx, tenant)
	if err != nil {
		out <- prometheus.NewInvalidMetric(descAtRisk, err)
		return
	}
	age := 0.0
	if !b.Oldest.IsZero() {
		age = max(0, s.m.o.Clock().Sub(b.Oldest).Seconds())
	}
	out <- value(descAtRisk, float64(b.AtRisk), tenant)
	out <- value(descOldest, age, tenant)
	out <- value(descUploads, float64(b.Uploads), tenant)
}

func value(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}
