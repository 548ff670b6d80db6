// Package metrics is what Prometheus sees of the archiver: the names of
// docs/contract.md, section 7, in a registry of their own.
//
//	vendor client, bucket ─► Vendor, S3 ────────────┐
//	poller, syncer ─► Polled, SourceRead, … ────────┤
//	audit log ─► Run, each second ──────────────────┼─► registry ─► Handler
//	state, syncer ─► asked when somebody scrapes ───┘
//
// A number has one source. What is true now (recordings, files, bytes of
// buffers) is asked for at the scrape. What the audit log tells (archived,
// quarantined, deleted) is read from it, in order, so that a move counts
// whoever made it. The rest is told by whoever does it.
//
// A label never carries an id, and its values are bounded: codes that no list
// here knows become a class ("4xx") or "other". Where they are known before
// anything happened, the series exist with 0, so that alerts can be written.
//
// Counters begin with the process. The three timestamps would raise an alarm
// if they did: they are kept as a fact of the state, together with the place
// in the audit log up to which they are true.
package metrics
