// Package state is the vocabulary of the archiver: what a recording and a file
// are, which moves they may make, and what a store that keeps them promises.
//
// It is pure. There is no I/O, no clock and no logging here; time comes in as
// an argument. Each rule about states stands once, in Apply:
//
//	Recording:  waiting ──► archiving ──► archived ──► deleting ──► source_deleted
//	               │            ▲            │  ▲          │
//	               │            └─ late file ┘  └─ failed ─┤
//	               ▼                                       ▼
//	           redirected        quarantined ◄─ any    deletion_unconfirmed
//
//	File:       discovered ──► transferring ──► stored ──► verified
//	                 ▲───── source changed ──────┘
//	            quarantined ◄─ any (verified only if the bucket lost it)
//
// A store loads a Recording with its files, lets the caller decide on Changes,
// applies them with Apply, and writes the result together with the events that
// Apply returned: one transaction, so the audit log can never disagree with
// the state. Whoever decides does so inside that transaction, on what is true
// then, never on what was true when a request went out.
package state
