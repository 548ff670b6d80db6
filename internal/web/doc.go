// Package web is the archiver's HTTP API: what people and the commands ask of
// it, over the socket beside the state, within a process, and over TCP.
//
//	socket, in-process ─► Local ──────────────────────────┐
//	TCP ─► Host ─► origin ─► token ─► Public ─────────────┴─► huma ─► handlers ─► ports
//
// The handlers are the same for all three; only TCP has to say who it is. The
// types are apitype's, and OpenAPI is made from them. What an error means is
// decided in one place (problem.go), and every error is a problem document
// (RFC 9457) whose detail is a whole sentence and whose code is for scripts.
//
// Long lists are streamed in both directions: an import is tracked while it is
// read, so what was read before it broke off is tracked. Bytes of objects go
// through without a part buffer. A handler has no deadline of its own, but each
// of its writes and reads has one, so whoever stops reading holds nothing up.
package web
