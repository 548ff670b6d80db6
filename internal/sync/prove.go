package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// expectation is an object as it has to be.
type expectation struct {
	key, versionID string
	size           int64
	sums           state.Checksums
	parts          int // of the multipart upload that made it, 0 if it was none
	// seen is what HEAD answered just now, where the write has asked already.
	seen *state.ObjectInfo
	// back counts the bytes that are read back; nil: nobody does.
	back *atomic.Int64
}

// proof is how an object was shown to be what is expected.
type proof struct {
	level    state.Level
	info     state.ObjectInfo
	readback bool // all bytes were read just now
}

// prove asks the bucket and compares, at the strongest level that the bucket
// proves, or by reading everything back. fault.Corrupt: the bucket does not
// have what it should have. ETags and sizes alone prove nothing.
func prove(ctx context.Context, d Objects, caps state.Capabilities, want expectation, readback bool) (proof, error) {
	info, err := want.head(ctx, d, readback)
	if err != nil {
		return proof{}, err
	}
	p := proof{info: info}
	if p.level, err = want.level(info, caps); err != nil || p.level != "" && !readback {
		return p, err
	}
	if err := readBack(ctx, d, want, info); err != nil {
		return p, err
	}
	p.readback = true
	if p.level != state.LevelFullObject {
		p.level = state.LevelReadback
	}
	return p, nil
}

// level compares what HEAD answered. "": it proves nothing, read it back.
func (want expectation) level(info state.ObjectInfo, caps state.Capabilities) (state.Level, error) {
	var level state.Level
	if info.Size != want.size {
		return "", mismatch(want.key, fmt.Errorf("the bucket has %d bytes of %d", info.Size, want.size))
	}
	if c := info.CRC64NVME; c != nil {
		if *c != want.sums.CRC64NVME {
			return "", mismatch(want.key, errors.New("the bucket's CRC64NVME is another one"))
		}
		if caps.FullObject && caps.PutChecksum {
			level = state.LevelFullObject
		}
	}
	if c := info.CRC64ECMA; c != nil && want.sums.HasECMA {
		if *c != want.sums.CRC64ECMA {
			return "", mismatch(want.key, errors.New("the bucket's CRC64-ECMA is another one"))
		}
		level = state.LevelFullObject
	}
	if level == "" && want.parts > 0 && caps.PartChecksum {
		level = state.LevelParts
	}
	return level, nil
}

// head asks the bucket, unless it has just been asked. What is read back has to
// be known by its Last-Modified, too, since only as long as that stays the
// reading is good for a deletion.
func (want expectation) head(ctx context.Context, d Objects, readback bool) (state.ObjectInfo, error) {
	if want.seen != nil && (!readback || !want.seen.LastModified.IsZero()) {
		return *want.seen, nil
	}
	info, err := d.Head(ctx, want.key, want.versionID)
	if fault.KindOf(err) == fault.NotFound {
		return info, mismatch(want.key, errors.New("the bucket no longer has it"))
	}
	return info, err
}

// readBack reads the whole object and compares its SHA-256.
func readBack(ctx context.Context, d Objects, want expectation, info state.ObjectInfo) error {
	body, _, err := d.Get(ctx, want.key, info.VersionID, 0, info.ETag)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read-only: nothing can be lost
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, counted{body, want.counts}, make([]byte, 256<<10))
	if err != nil {
		return &fault.Error{Op: "read back", Subject: want.key, Kind: fault.Temporary, Err: err}
	}
	if sum := hex.EncodeToString(h.Sum(nil)); n != want.size || sum != want.sums.SHA256 {
		return mismatch(want.key, fmt.Errorf("read back %d bytes with SHA-256 %s, archived were %d with %s", n, sum, want.size, want.sums.SHA256))
	}
	return nil
}

func (want expectation) counts(n int) {
	if want.back != nil {
		want.back.Add(int64(n))
	}
}

// counted tells of the bytes that are read from it.
type counted struct {
	from io.Reader
	tell func(n int)
}

// Read implements io.Reader.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.tell(n)
	return n, err
}

func mismatch(key string, err error) error {
	return &fault.Error{
		Op: "verify", Subject: key, Kind: fault.Corrupt, Err: err,
		Hint: "the copy in the bucket is not what was archived; look who changed it, then retry the recording while its source exists",
	}
}

// prove brings a stored file to verified.
func (x *transfer) prove(ctx context.Context) error {
	p, err := prove(ctx, x.dest, x.caps, expectation{
		key: x.f.Key, versionID: x.f.Object.VersionID, size: x.f.Size, sums: x.f.Sums, parts: x.f.Parts, seen: x.seen,
		back: &x.course.back,
	}, x.t.Readback)
	x.proved(x.ref.Tenant, p.level, err)
	if err != nil {
		return fromProof(err)
	}
	return x.update(ctx, state.Verify{FileID: x.f.ID, Level: p.level, Object: object(p.info), Readback: p.readback})
}

func object(i state.ObjectInfo) state.Object {
	return state.Object{ETag: i.ETag, VersionID: i.VersionID, LastModified: i.LastModified}
}

// proofs knows what each bucket was shown to prove. The negative probe is
// repeated daily; what it found outlives a restart.
type proofs struct {
	store Store
	clock func() time.Time
	log   *zap.Logger

	flight singleflight.Group // by destination: a bucket that hangs keeps no other waiting

	mu    sync.Mutex
	known map[state.Destination]state.Capabilities
}

const probeEvery = 24 * time.Hour

func newProofs(o Options) *proofs {
	return &proofs{store: o.Store, clock: o.Clock, log: o.Logger, known: map[state.Destination]state.Capabilities{}}
}

func (p *proofs) of(ctx context.Context, at state.Destination, d Prober) (state.Capabilities, error) {
	p.mu.Lock()
	c, ok := p.known[at]
	p.mu.Unlock()
	if ok && p.fresh(c) {
		d.SetCapabilities(c) // several tenants may each have a client for it
		return c, nil
	}
	v, err, shared := p.flight.Do(at.Endpoint+" "+at.Bucket, func() (any, error) { return p.find(ctx, at, d) })
	if shared && fault.KindOf(err) == fault.Unauthorized {
		v, err = p.find(ctx, at, d) // it may have been refused to another tenant, with other credentials
	}
	if err != nil {
		return c, err
	}
	c, _ = v.(state.Capabilities)
	d.SetCapabilities(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[at] = c
	return c, nil
}

func (p *proofs) fresh(c state.Capabilities) bool { return within(p.clock(), c.ProbedAt, probeEvery) }

// within reports whether t is at most d ago. A time in the future, of a clock
// that was wrong, is not.
func within(now, t time.Time, d time.Duration) bool {
	age := now.Sub(t)
	return age >= -maxSkew && age <= d
}

// find takes what an earlier run found, or probes.
func (p *proofs) find(ctx context.Context, at state.Destination, d Prober) (state.Capabilities, error) {
	name := "capabilities/" + at.Endpoint + "/" + at.Bucket
	var c state.Capabilities
	b, err := p.store.Fact(ctx, name)
	if err != nil {
		return c, err
	}
	if b != nil && json.Unmarshal(b, &c) == nil && p.fresh(c) {
		return c, nil
	}
	before := c
	if c, err = p.probe(ctx, at, d); err != nil {
		if before.ProbedAt.IsZero() || fault.KindOf(err) == fault.Unauthorized {
			return c, err
		}
		// What it proved yesterday is still the best that is known.
		p.log.Warn("the daily probe failed, tried again in an hour", zap.String("bucket", at.Bucket), zap.Error(err))
		before.ProbedAt = p.clock().Add(time.Hour - probeEvery)
		return before, nil
	}
	if b, err = json.Marshal(c); err != nil {
		return c, err
	}
	if err := p.store.SetFact(ctx, name, b); err != nil {
		return c, err
	}
	p.log.Info("probed the bucket", zap.String("bucket", at.Bucket), zap.String("level", string(c.Best())),
		zap.Bool("conditional_put", c.ConditionalPut), zap.Bool("conditional_complete", c.ConditionalComplete))
	return c, nil
}

// probe asks the bucket itself.
func (p *proofs) probe(ctx context.Context, at state.Destination, d Prober) (state.Capabilities, error) {
	c, err := d.Probe(ctx)
	if err != nil && c.ProbedAt.IsZero() {
		return c, &probeError{fmt.Errorf("find out what bucket %s proves: %w", at.Bucket, err)}
	}
	if err != nil {
		p.log.Warn("the probe left something behind", zap.String("bucket", at.Bucket), zap.Error(err))
	}
	c, left, err := d.ProbeConditions(ctx)
	if err != nil {
		return c, &probeError{fmt.Errorf("find out which conditions bucket %s honours: %w", at.Bucket, err)}
	}
	if left != "" {
		p.log.Warn("the probe left an object behind; remove it, or give the role s3:DeleteObject there (where versions are kept also s3:DeleteObjectVersion)", zap.String("object", left))
	}
	c.ProbedAt = p.clock()
	return c, nil
}
