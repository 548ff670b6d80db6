// Package sync moves the files of recordings from the vendor into the bucket,
// proves that they arrived, and removes the source where a warrant allows it.
// It is imported as archivesync, and by package daemon alone.
//
//	claim ─► connect ─► fill a buffer ─► digest ─► send the part ─► record it ─┐
//	            ▲  │ link expired: ask again                                   │
//	            └──┘ broken off: go on at the same byte                        ▼
//	archived ◄─ manifest ◄─ verified ◄─ prove ◄─ stored ◄─ complete ◄─ judge the whole
//	    │
//	    └─► issue a warrant ─► delRecordFile, once ─► ask what is left ─► source_deleted
//
// A transfer belongs to one goroutine; parts are sent by others while the next
// is filled. All part buffers come from one pool, which is the memory that the
// configuration grants. Every step is recorded in the state before the next
// one relies on it, so the way back after a crash is the ordinary way: what is
// claimed again is taken up where its recorded parts end.
//
// What went wrong is weighed in one place (conclude.go). A failure of the
// bucket as a whole, or of the vendor's API, is never held against a file.
//
// What was archived can be proven again at any time, and read (verify.go);
// neither takes anything from the pool. Who counts is told of what the audit
// log does not tell (observe.go), and whoever asks sees what is in flight and
// whether anything moves (progress.go).
//
// delRecordFile is called in one function, which takes a warrant; only issue
// makes one (delete.go, evidence.go).
package sync
