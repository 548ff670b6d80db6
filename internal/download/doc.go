// Package download reads the bytes behind a vendor's presigned URL.
//
// A download URL comes from outside and is not trusted, and what answers it is
// not trusted either. Three rules follow.
//
// # Where a URL may lead
//
// Only http and https are followed, over at most five redirects, none of them
// from https to http. Each hop's host has to be in the tenant's download_hosts
// where that list is set, and the address is judged at the moment of
// connecting, in the dialer, so that a name which resolves to something else
// the second time (DNS rebinding) is refused too. Link-local, cloud metadata,
// unspecified, multicast and broadcast addresses are always refused, also when
// they hide in an IPv4-mapped or NAT64 address; loopback is refused unless the
// tenant allows it. Private ranges are allowed: private clouds live there.
// Behind a proxy it is the proxy that connects, and resolves the name once
// more; the name is resolved and judged here before it is handed over, which
// catches a careless URL but not a rebinding one. That is why the
// configuration requires download_hosts with a proxy. The proxy's own address
// is the operator's choice and is not judged.
//
// # Which bytes are taken
//
// Ranges of one file may only be joined if they come from one version. So a
// request can be pinned: it then carries If-Match (or If-Unmodified-Since), and
// whatever the server makes of that, the validators and the total length of the
// answer are compared with the pin; anything else is fault.Changed. Encoded
// bodies, multipart answers and ranges that start elsewhere are refused. A
// body ends with io.EOF exactly where the answer said that it ends; it is a
// fault when it ends earlier or goes on, and when no byte came for the stall
// timeout.
//
// # What may be said about it
//
// The query and the user info of a URL are secrets. The query goes to the wire
// byte for byte as the vendor gave it, because decoding and encoding it again
// breaks signatures; no error, and no text of an error, contains it. Subjects
// of faults are host/path, and the evidence of an error page is at most 256
// printable bytes without what looks like a secret.
//
//	URL → target (raw path, raw query) → hop: hosts, guard, proxy → answer
//	                  ↑                                               │ 3xx
//	                  └───────────────────────────────────────────────┘
//	answer → status, encoding, Content-Range, validators, pin → Body
//
// Connections speak HTTP/1.1 on purpose: ranges fetched in parallel gain from
// separate connections with separate congestion windows, which is what HTTP/2
// would fold into one.
package download
