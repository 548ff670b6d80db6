// Package bucket is the S3 destination: it stores objects whole or in parts,
// makes the store check them, asks what is there, and finds out what the
// store can prove. It speaks service/s3 directly, because the SDK's upload
// managers can't resume.
//
//	              ┌── Put ─ is the answer the proof? ───────── yes ─┐
//	spec, bytes ──┤                               no ─┐             ├─ ObjectInfo
//	              └── CreateUpload ─ UploadPart… ─ Complete ─ HEAD ─┘
//
// # Which answer to a write is believed
//
// A PUT or a Complete may be answered by silence, by 200 with an error in the
// body, by 409, by 412 or by NoSuchUpload although (or because) it took
// effect. So every write ends in a HEAD: the object is ours if its size, our
// metadata, and each checksum that the store returns are what we meant. Only
// then does Put or CompleteUpload return it, and the ObjectInfo is that
// HEAD's, so callers need not ask again.
//
// One answer says as much as that HEAD would, and spares it: 200 to the first
// attempt of a PutObject, with an ETag and the right checksum over the whole
// object, from a store that the probe saw refuse wrong checksums and what is
// there already. Anything less, and the HEAD is asked.
//
// Where the object is not ours, the error says which of the three it is:
// fault.Temporary (nothing there, go on with the same upload), fault.NotFound
// (nothing there and the upload is gone: start the file again), fault.Exists
// (something else is there). Calling either again with the same arguments is
// always safe.
//
// # What is sent
//
// Bodies are plain, with a Content-Length; never aws-chunked. Over https and
// to a loopback address the signature says UNSIGNED-PAYLOAD, since hashing
// the payload for SigV4 costs more than everything else together, and the
// checksum header guards the bytes; over plain http to another machine (or
// through a proxy) the payload is signed, because the signature is all that
// stops a forger there. Checksums are CRC64NVME, computed by the caller and
// handed over as headers, with every part, in Complete's list and for the
// whole object. A checksum that the probe found to be ignored or not
// understood is left out: it proves nothing, and some clones break on it.
// Expect: 100-continue is not sent: it costs each part a round trip, and a
// second where a server does not know it.
//
// # What a store proves, and how that is found out
//
// Probe never means to create an object: it sends wrong checksums, with a
// part, with Complete and with PutObject, and sees whether each is refused for
// being wrong (docs/contract.md, promise 2). What it can't learn that way is whether
// If-None-Match holds, since that takes an object that exists. That is
// ProbeConditions: it makes one small object under a fixed name, tries to
// overwrite it, and removes it again; where the right to remove is missing or
// a lock holds it, the one object stays, is named, and serves the next time,
// so there is never more than one. No object but this one is ever risked.
// Until conditions are proven, writes ask (HEAD) first and send
// the condition too, so that nobody's object is overwritten but in a race
// with somebody who writes to the same key in between.
//
// # Rights
//
// s3:PutObject, s3:GetObject, s3:AbortMultipartUpload,
// s3:ListMultipartUploadParts, s3:ListBucketMultipartUploads and
// s3:ListBucket, and s3:DeleteObject under .archiver-probe/ alone. Without
// s3:ListBucket, S3 answers 403 for a key that is not there; HeadBucket, which
// needs the same right, then tells nothing either: such a role is reported as
// Unauthorized, with the right to add. A bucket that keeps versions is asked
// for the very version that was written: s3:GetObjectVersion, and
// s3:DeleteObjectVersion for the probe. docs/operations.md has the policy, and
// a test of the daemon denies each right of it in turn.
package bucket
