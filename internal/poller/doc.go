// Package poller decides when to ask the vendor and turns its answers into
// files of the state.
//
//	schedule, Trigger ──► run of a tenant: Claim ──► getRecords ──► read ──► plan ──► Update
//	sync (a link), retry ──────────────────► Ask ─────┘               │        (in the store's transaction)
//	record_ids, record_ids_file ──► Track                              └─► owners of the other items: adopted
//
// # What it knows, and what it decides
//
// The vendor has no list call. The poller asks about recordIds that somebody
// tracked, and about those that a listing named (adopted ones). One listing is
// weak evidence: it may come too early, name other recordings, lack what was
// there a minute ago, or refuse. So nothing is decided on the way to or from
// the vendor. The answer is boiled down to facts, and plan, a pure function
// without a clock, says inside the store's transaction what those facts change
// in the recording as it is then. All rules about time (settling, growing
// intervals, later looks, giving up, counting empty listings) are there.
//
// The vendor is not kept waiting for the state: while answers are written, the
// next recordings are asked about, and answers that wait together share one
// fsync. How many wait, and how many bytes they have, is bounded.
//
// Other recordings' items are written before the recording that was asked for,
// whose next poll is moved last: killed in between, the poll is repeated.
//
// # Fairness
//
// Every tenant has its own runs and its own Options.Concurrency workers. A run
// that is still going when the schedule fires is not joined by another of the
// same tenant; other tenants never notice. A shared set of workers would be
// smaller, but two dead tenants could fill it whatever share one may take, and
// a run that waits for all tenants would be skipped because of one.
//
// A run takes what was due when it began, the longest due first, so its cost is
// what is due and recordings that are asked at every run come round once.
//
// # Ids by the million
//
// A record_ids_file is read when it changes, and tracked in large batches,
// since the state writes a page once for all keys of a batch that lie in it. Of
// a file that was tracked wholly, size, time and hash are kept in the state: a
// start reads it once and looks up none of its lines.
//
// # Whose fault a 403 is
//
// Code 403 may mean the key, or this one recordId. The recordId that last
// succeeded is asked once: if it still works, the recording alone is rejected;
// if not, or if none is known, the tenant is suspended. A suspended tenant gets
// one probe per run, rotating over its due ids and the last good one, and goes
// on by itself at the first success.
//
// # Locks
//
// The state is guarded by the store. A tenant's mutable memory (suspension,
// the last good recordId, what is known of the ids file) has one mutex each,
// which is never held across a call to the vendor, except the one that makes
// workers that meet a 403 together share one verdict.
package poller
