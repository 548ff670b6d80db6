package sync

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"archiver/internal/fault"
	"archiver/internal/objectkey"
	"archiver/internal/state"
)

// putWhole stores a file that is one piece with one PutObject.
func (x *transfer) putWhole(ctx context.Context, w *window, p *piece) error {
	body := p.buf[:p.n]
	x.digest.take(body)
	x.digest.join(p.crc, p.n)
	marks, err := x.judge(ctx)
	if err != nil {
		return err
	}
	info, err := x.put(ctx, body)
	if err != nil {
		return err
	}
	w.close() // the buffer is not kept from others while the state is written
	return x.stored(ctx, info, marks, 0)
}

// readThrough reads a file whose object is there already, without sending a
// byte, and adopts the object if it is the same.
func (x *transfer) readThrough(ctx context.Context, w *window, there state.ObjectInfo) error {
	err := w.each(func(_ int32, body []byte, crc uint64) error {
		x.digest.join(crc, int64(len(body)))
		x.course.done.Add(int64(len(body)))
		w.free(body)
		return nil
	})
	if err != nil {
		return err
	}
	marks, err := x.judge(ctx)
	if err != nil {
		return err
	}
	info, err := x.adopt(ctx, there)
	if err != nil {
		return err
	}
	return x.stored(ctx, info, marks, 0)
}

// unguarded reports that the bucket would overwrite what it is asked not to.
func (x *transfer) unguarded() bool { return !x.caps.ConditionalPut || !x.caps.ConditionalComplete }

// put writes the object; where one lies there already that claims to be this
// file (the state was lost), it is proven and adopted instead.
func (x *transfer) put(ctx context.Context, body []byte) (state.ObjectInfo, error) {
	if x.unguarded() || x.f.Spoiled {
		// The bucket would overwrite, or take what is there for ours: look first.
		info, err := x.dest.Head(ctx, x.f.Key, "")
		if err == nil {
			return x.adopt(ctx, info)
		}
		if fault.KindOf(err) != fault.NotFound {
			return info, fromBucket(err)
		}
	}
	info, err := x.dest.Put(ctx, x.spec(), body, x.digest.sums())
	if fault.KindOf(err) == fault.Exists {
		return x.adoptThere(ctx)
	}
	if err != nil {
		return info, fromBucket(err)
	}
	x.o.Observer.BucketTook(x.ref.Tenant, int64(len(body)))
	return info, nil
}

// adoptThere adopts what lies at the key, of which a write was just told.
func (x *transfer) adoptThere(ctx context.Context) (state.ObjectInfo, error) {
	info, err := x.dest.Head(ctx, x.f.Key, "")
	if err != nil {
		return info, fromBucket(err)
	}
	return x.adopt(ctx, info)
}

// adopt compares an object of the bucket with the bytes that were just read
// from the source. nil: it is this file, whole and proven.
func (x *transfer) adopt(ctx context.Context, info state.ObjectInfo) (state.ObjectInfo, error) {
	// A store repeats the checksum that it was given, also of bytes that have
	// rotted since: of a spoiled object nothing is believed any more.
	if x.f.Spoiled || !x.claims(info) || info.Size != x.digest.n {
		return info, errOccupied
	}
	_, err := prove(ctx, x.dest, x.caps, expectation{
		key: x.f.Key, versionID: info.VersionID, size: x.digest.n, sums: x.digest.sums(),
	}, x.t.Readback)
	if fault.KindOf(err) == fault.Corrupt {
		return info, errOccupied
	}
	if err != nil {
		return info, fromProof(err)
	}
	x.log.Info("adopted an object that was there already", zap.String("key", x.f.Key))
	return info, nil
}

// errOccupied says that an object that is not ours lies at the reserved key.
var errOccupied = errors.New("another object lies at the reserved key")

// claims reports whether an object's metadata say that it is this file.
func (x *transfer) claims(info state.ObjectInfo) bool {
	m := info.Metadata
	return m["archiver-tenant"] == metaValue(x.ref.Tenant) && m["archiver-record-id"] == metaValue(x.ref.RecordID) &&
		m["archiver-file-id"] == metaValue(x.f.ID)
}

func (x *transfer) stored(ctx context.Context, info state.ObjectInfo, marks state.Marks, parts int) error {
	x.seen = &info
	sums, at := x.digest.sums(), object(info)
	// What a person accepted were those bytes, not whatever bears the mark.
	marks.Accepted = x.f.Marks.Accepted && marks.String() == x.f.Marks.String() && sums.SHA256 == x.f.Sums.SHA256
	changes := []state.Change{state.MarkStored{
		FileID: x.f.ID, Version: x.src.version, Size: x.digest.n, Sums: sums, Marks: marks, Parts: parts, Object: at,
	}}
	want := expectation{key: x.f.Key, size: x.digest.n, sums: sums, parts: parts}
	if level, err := want.level(info, x.caps); err == nil && level != "" && !x.t.Readback {
		// What the write answered is the proof: one transaction for both.
		changes = append(changes, state.Verify{FileID: x.f.ID, Level: level, Object: at})
		select {
		case x.recording <- struct{}{}: // until it is written another file may begin
			x.aside = true
			x.moving.remove(&x.course)
			x.leave()
		default:
		}
	}
	if err := x.moves(ctx, changes...); err != nil {
		return err
	}
	if x.f.Phase == state.Verified {
		x.proved(x.ref.Tenant, x.f.Level, nil)
	}
	x.course.done.Store(x.digest.n)
	x.o.Observer.FileStored(x.ref.Tenant, x.digest.n, x.o.Clock().Sub(x.course.StartedAt))
	if marks.Any() {
		x.log.Warn("archived with a mark", zap.String("marks", marks.String()))
	}
	return nil
}

// spec is what the object is to be, docs/contract.md section 6.
func (x *transfer) spec() state.ObjectSpec {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	meta := map[string]string{}
	for k, v := range map[string]string{
		"archiver-tenant":         x.ref.Tenant,
		"archiver-record-id":      x.ref.RecordID,
		"archiver-file-id":        x.f.ID,
		"archiver-conference-key": x.rec.ConferenceKey,
		"archiver-start-time":     stamp(x.f.StartTime),
		"archiver-stop-time":      stamp(x.f.StopTime),
	} {
		if v != "" {
			meta[k] = metaValue(v)
		}
	}
	return state.ObjectSpec{
		Key: x.f.Key, ContentType: objectkey.ContentType(x.f.Filename), Metadata: meta, Size: x.digest.n,
	}
}

// metaValue percent-encodes what a metadata value cannot carry: everything but
// printable ASCII, and the percent sign itself. Blanks at the ends are encoded
// too, since HTTP drops them.
func metaValue(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		edge := c == ' ' && (i == 0 || i == len(s)-1)
		if c < ' ' || c > '~' || c == '%' || edge {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
