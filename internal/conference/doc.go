// Package conference starts and stops recordings and live streams at the
// vendor, and never loses sight of one.
//
// openRecord has an effect that nobody can ask about: the vendor has no call
// that says whether a conference is being recorded, and the recordId that it
// answers with is told again by closeRecord alone. So each start goes in three
// steps, and the state always says how far it came:
//
//	intent stored ──► call made once ──► answer stored, recordId tracked
//	   opening                            open, or refused, or unresolved
//
// The call is never repeated by itself. Where its reply was lost (a reset
// connection, no answer in time, a process that ended in between) the session
// is unresolved, a second start is refused, and the error names the way out:
// stopping it. closeRecord either tells the recordId, which is tracked in the
// same transaction, or says that nothing is being recorded.
//
// The call goes on when whoever asked for it hangs up: the answer is stored
// all the same. A live stream works alike, without a recordId; its URL gives
// the stream away, so it is in the answer that opened it and nowhere else.
package conference
