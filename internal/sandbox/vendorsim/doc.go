// Package vendorsim simulates the meeting vendor: the six calls of its API
// document and the object store (Tencent COS) that its download links lead to.
//
//	client ── POST /meeting/NAME, auth ──▶ API host ──▶ model: conferences, recordings, files
//	   │                                     │ signs a fresh downUrl at each getRecords
//	   └── GET /2019-05-31/1866_094309.mp4?sign=… ──▶ download host
//
// It keeps to the document where the document speaks, with every code and the
// envelope's exact style, and to what is known of COS where it is silent:
// links that expire and must come back byte for byte, GET only, ranges,
// validators, x-cos-hash-crc64ecma, errors in XML. Deleting really deletes.
//
// What goes wrong is scripted: a Fault matches requests and names an Action,
// from an HTTP status to a body that changes in the middle. The log (Calls)
// and the ground truth (Truth) let a test state what must hold of the world
// afterwards: what was asked for, what was deleted, and what the bytes were.
//
// Times told are seconds in Options.Zone; file names and directories are in
// China Standard Time, as in the document's samples, eight hours apart.
package vendorsim
