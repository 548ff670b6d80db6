package sync

import "context"

// open asks for the first bytes that are still missing. The answer says what
// the source is and how the file is read.
//
// By ranges, several at once, is read what has a strong validator, a known
// length, and more parts than transfer.streams: for less, the connections are
// not worth their making. Where the vendor's fileSize promises as much, the
// first request is for the first part alone, so that no answer is cut off;
// else it is open-ended, and a file that one stream reads has one request.
func (x *transfer) open(ctx context.Context, up *upload) error {
	size := func() int64 {
		if up != nil {
			return up.partSize
		}
		return x.partSize()
	}
	length := x.f.DeclaredSize
	if x.src.pinned {
		length = x.src.version.Length
	}
	x.lead = &stream{origin: x.src, off: x.off, end: -1}
	ranged := !x.src.single && x.byRanges(length, size())
	if ranged {
		x.lead.end = min(x.off+size(), length)
	}
	resp, err := x.lead.goOn(ctx)
	if err != nil {
		return err
	}
	if !x.src.pinned {
		x.src.version, x.src.pinned = resp.Version, true
		x.sized(resp.Version.Length)
	}
	if x.off == 0 {
		x.crc = resp.CRC64ECMA // also of a version that was pinned before, without a part yet
	}
	x.src.single = !x.src.version.Strong || x.src.version.Length < 0
	switch {
	case ranged && resp.Ranged && x.src.single: // a part that cannot be pinned is of no use
		x.lead.close()
		x.src.pinned = false
		return x.open(ctx, up)
	case ranged && !resp.Ranged: // it is the whole file
		x.lead.end = -1
		x.hosts.ignoresRanges(hostOf(x.src.path))
	}
	x.parallel = !x.src.single && x.byRanges(x.src.version.Length, size())
	return nil
}

// byRanges reports whether a file of that length, in bytes, is large enough to
// be read by ranges, and its host keeps to them.
func (x *transfer) byRanges(length, partSize int64) bool {
	streams := int64(x.o.Streams)
	return streams > 1 && length > streams*partSize && x.hosts.ranged(hostOf(x.src.path))
}
