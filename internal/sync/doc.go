// Package sync moves the files of recordings from the vendor into the bucket,
// proves that they arrived, and removes the source where a warrant allows it.
// It is imported as archivesync, and by package daemon alone.
//
//	claim ─► open ─► window: fetch ┬ fetch ┬ fetch ─► hash in order ─► send ─► record ─┐
//	                  │  ▲ link expired: ask again                                     │
//	                  └──┘ broken off: go on at the same byte                          ▼
//	archived ◄─ manifest ◄─ verified ◄─ prove ◄─ stored ◄─ complete ◄─ judge the whole
//	    │
//	    └─► issue a warrant ─► delRecordFile, once ─► ask what is left ─► source_deleted
//
// # One file
//
// A transfer belongs to one goroutine, which alone hashes, in order, while the
// bytes come. What has a strong validator, a known length and more parts than
// transfer.streams is read by that many ranges at once, each of one part and
// pinned to the version of the first answer; all else is one stream (open.go).
// A part that is hashed is sent by a goroutine of its own, out of its buffer
// until the bucket has acknowledged it, and recorded by another one, together
// with what came in while the last commit was under way (parts.go). So source,
// hash, bucket and disk wait for each other only through the window of parts
// between them (window.go).
//
// Of the ranges of a file only the lowest must move on: if it fails for good,
// the file has failed. One ahead of it that fails is fetched again when its
// turn comes.
//
// # Memory
//
// All part buffers come from one pool, which is the memory that the
// configuration grants (pool.go). A file waits for a buffer only for its lowest
// part, and then holds none but those on their way to the bucket. What it reads
// ahead it reads in borrowed buffers, which nobody waited for, and which are
// recalled when somebody does: then they are fetched again. So nobody waits for
// a file that waits, and nobody for a source that stalls.
//
// # After a crash
//
// Every step is recorded in the state before the next one relies on it, so the
// way back is the ordinary way: what is claimed again is taken up where its
// recorded parts end. Parts are acknowledged in any order; each is recorded with
// the state of the hash behind it. What lies behind a gap is read again for the
// hash, must have the checksum it had, and is not sent again.
//
// # Failures
//
// What went wrong is weighed in one place (conclude.go). A failure of the
// bucket as a whole (gate.go), of a host that does not answer anybody
// (hosts.go), or of the vendor's API, is never held against a file.
//
// What was archived can be proven again at any time, and read (verify.go);
// neither takes anything from the pool. Who counts is told of what the audit
// log does not tell (observe.go), and whoever asks sees what is in flight and
// whether anything moves (progress.go).
//
// delRecordFile is called in one function, which takes a warrant; only issue
// makes one (delete.go, evidence.go).
package sync
