// Package meetingapi speaks the meeting vendor's API: its six calls, its
// errors, the identity of the files that it lists, and its presigned URLs.
//
// # One call
//
//	GetRecords ── gate (rate, two priorities) ── attempt ── classify ──┬─ Listing
//	                 ▲                                                 ├─ *fault.Error
//	                 └────────── wait (backoff, Retry-After) ◄─────────┘ repeatable and temporary
//
// Every call is a POST of a small JSON object to {api_url}/meeting/NAME with
// the tenant's key in the header auth. An answer counts as a success only if
// the HTTP status is 2xx, state is 1 and code is 200; everything else becomes
// a *fault.Error whose kind says what the caller has to do and whose chain
// holds one of this package's sentinels where the vendor documents the code.
//
// # Calls that must not be repeated
//
// getRecords, closeRecord and closeLive are repeated here, with backoff. The
// other three are sent once. If such a call fails after the request may have
// reached the vendor (a timeout, a reset, a 5xx, an answer that is no JSON),
// the error is fault.Ambiguous and only asking settles it; if the vendor or
// the network clearly refused it, the error has its ordinary kind. These calls
// take a fresh connection each, so that a kept-alive connection that the
// vendor closed meanwhile cannot turn a harmless call into an ambiguous one.
//
// # What the wire withstands
//
// The vendor's own document prints answers with trailing commas, numbers where
// its tables say strings, and items that name other recordings than the one
// asked for. So the decoder is lenient in form (trailing commas, a byte order
// mark, invalid UTF-8, NaN) and strict in substance: nothing that the vendor
// listed is dropped. An element that is no item at all still becomes an Item
// that is not Finished, because the caller deletes at the source only what it
// can account for completely. The repair of trailing commas is done here in one
// pass: an answer is foreign bytes, and a parser that builds a tree of it
// recursively can be killed by eight megabytes of "[".
//
// # Secrets
//
// The auth value never appears in an error, not even where the vendor echoes
// it. A downUrl is a bearer secret: only Item.DownURL and Item.Raw hold it, and
// RedactURL and RedactItem make what may be logged or stored. No redirect is
// followed, so the auth header goes to api_url and nowhere else.
package meetingapi
