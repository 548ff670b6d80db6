// Package sandbox is the root of the servers that the tests and the demo run
// against: they are real ones, reached over real sockets, and share no type
// with the archiver's clients, because a type used on both sides would hide a
// mistake on the wire.
//
//	vendorsim   the meeting vendor: six API calls and the download host behind its presigned links
//	s3server    a full S3 server in this process, with files on disk
//	s3stub      an S3 server that checks every byte and keeps none, for measuring
//	faultproxy  stands before an S3 server and makes it misbehave on request
//	samples     short MP4 recordings that really play
//
// The rest is what they are built from: content (bytes of any size that cost
// no memory), crc64sum (joining CRCs), awschunk (the SDK's upload framing),
// pace (latency and rate) and tlscert (a certificate for loopback).
package sandbox
