// Package bolt keeps the state in one file, with go.etcd.io/bbolt: the
// embedded implementation of state.Store.
//
// The file holds flat buckets. What is true stands in the first group; the
// second is derived from it in the same transaction, so that nothing on a hot
// path ever looks at what it does not return:
//
//	header        application, schema version, progress of a migration
//	recordings    tenant, recordId            the recording
//	files         tenant, recordId, fileId    its files
//	parts         …, part number              acknowledged parts of an upload
//	keys          endpoint, bucket, key       the file that the key is reserved for
//	events        sequence number             the audit log
//	warrants      tenant, id                  evidence on which a source was deleted
//	facts         name                        small values of the caller
//	conferences   tenant, conference, kind    sessions of record and live
//
//	events_of     tenant, recordId, sequence  one recording's part of the log
//	events_of_conference  tenant, conference, sequence
//	conferences_open      tenant, conference, kind: sessions that may be running
//	warrants_at   tenant, time, id            for the hourly limit
//	by_status     tenant, status, time, id    lists; all statuses merged are the list by time
//	by_conference tenant, conference, time, id
//	poll, manifest, delete, confirm           tenant, due time, recordId
//	transfer      tenant, deadline, start, id files that may be taken at once, to go on or to be cleaned up after
//	delayed       tenant, due time, id        files that wait after a failure
//	pending       tenant, deadline, start, id all files of those two
//	totals        tenant                      counters of those that have recordings
//
// A recording that was untracked is gone from all of them but events and
// events_of, where its last event says so. A session that was opening when the
// process ended is unresolved from the next Open on.
//
// Every value carries a CRC-32C over its key and itself: neither a flipped bit
// nor a value under a wrong key is ever taken for the truth. bbolt itself
// checks only its two meta pages, and it panics or faults on a damaged page;
// so nothing opens a file that was not looked at first (magic, checksums,
// length against the high-water mark, free list, our own header, all through
// a read-only descriptor), and every entry into bbolt is guarded: a panic and
// a SIGBUS come out as an error of kind damaged.
//
// Writers queue for one goroutine that runs all who wait in one transaction.
// While it is in fsync the next group gathers by itself, and where several write
// it waits some milliseconds for more of them: a transaction of one costs nearly
// twice what a call in a large one does. A lone writer waits for nothing.
//
// What a transfer reads is what it read or wrote a moment ago. The last values
// that were read and written are kept decoded, together with their bytes, and
// are used for exactly these bytes alone.
//
// Names come in no order, so a thousand new recordings fall on as many pages,
// each of which is then written whole. Track therefore writes many keys in the
// order in which they lie: every page once, four times as fast with a million.
//
// A write that fails for want of space leaves the last commit in force and the
// store usable. A failed fsync is another matter: nobody knows what the disk
// has, so the store refuses everything until it is opened again.
package bolt
