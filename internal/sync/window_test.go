package sync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/crc64nvme"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"archiver/internal/download"
	"archiver/internal/fault"
	"archiver/internal/state"
)

// moody is a Source of one file that is slow, stalls and breaks off, as its
// seed has it, but not for ever.
type moody struct {
	content  []byte
	strong   bool
	ranges   bool
	mu       sync.Mutex
	rng      *rand.Rand
	failures int // left
}

func (m *moody) draw(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(n)
}

// fails reports whether the next step is to fail.
func (m *moody) fails() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures == 0 || m.rng.IntN(3) > 0 {
		return false
	}
	m.failures--
	return true
}

func brokenOff() error {
	return &fault.Error{Op: "download", Kind: fault.Temporary, Err: io.ErrUnexpectedEOF}
}

// Get implements Source.
func (m *moody) Get(ctx context.Context, r download.Request) (*download.Response, error) {
	if err := sleep(ctx, time.Duration(m.draw(3000))*time.Millisecond); err != nil {
		return nil, err
	}
	if m.fails() {
		return nil, brokenOff()
	}
	n := int64(len(m.content))
	v := state.SourceVersion{ETag: `"v"`, Length: n, Strong: m.strong}
	from, to := r.Offset, n
	if r.Length > 0 {
		to = min(n, from+r.Length)
	}
	ranged := m.ranges && !r.Whole && (r.Offset > 0 || r.Length > 0)
	if !ranged {
		from, to = 0, n
	}
	if r.Offset > 0 && (r.Pin == nil || !m.strong) {
		return nil, &fault.Error{Kind: fault.Rejected, Err: errors.New("a range without a pin")}
	}
	body := &moodyBody{ctx: ctx, m: m, rest: m.content[from:to]}
	return &download.Response{Body: body, Version: v, Offset: from, Ranged: ranged}, nil
}

// Stat implements Source.
func (*moody) Stat(context.Context, string) (download.Info, error) {
	return download.Info{}, errors.ErrUnsupported
}

type moodyBody struct {
	ctx  context.Context //nolint:containedctx // a body is of one request
	m    *moody
	rest []byte
}

// Read implements io.Reader.
func (b *moodyBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	wait := time.Duration(b.m.draw(500)) * time.Millisecond
	failed := b.m.fails()
	if failed && b.m.draw(2) == 0 {
		wait = time.Minute // it stalls, and is given up
	}
	if err := sleep(b.ctx, wait); err != nil {
		return 0, err
	}
	if failed {
		return 0, brokenOff()
	}
	n := copy(p[:min(len(p), 1+b.m.draw(3))], b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (*moodyBody) Close() error { return nil }

// journey is a file of the property below.
type journey struct {
	size, tenant, bucket, failures int
	strong, ranges, listed, slow   bool
	seed                           uint64
}

const tiny = 4 // bytes of a part

// travel reads a file through a window until it is whole, and returns the
// checksums.
func travel(ctx context.Context, s *Syncer, i int, j journey, content []byte) (state.Checksums, error) {
	ref := state.FileRef{Key: state.Key{Tenant: fmt.Sprint("t", j.tenant), RecordID: fmt.Sprint("r", i)}, FileID: "f"}
	s.o.Links.mu.Lock()
	s.o.Links.byKey[ref.Key] = map[string]link{state.Identity(ref.FileID): {url: fmt.Sprintf("http://h%d/f", i)}}
	s.o.Links.mu.Unlock()
	m := &moody{content: content, strong: j.strong, ranges: j.ranges, rng: rand.New(rand.NewPCG(j.seed, 0)), failures: j.failures}
	for attempt := 0; ; attempt++ {
		x := &transfer{Syncer: s, ref: ref, reading: ctx, log: zap.NewNop(), f: state.File{
			ID: "f", Filename: "a.bin", DeclaredSize: -1, SourcePath: fmt.Sprintf("h%d/f", i),
			Dest: state.Destination{Bucket: fmt.Sprint("b", j.bucket)},
		}}
		if j.listed {
			x.f.DeclaredSize = int64(j.size)
		}
		x.src = &origin{Syncer: s, source: m, ref: ref, path: x.f.SourcePath, log: x.log, reading: ctx}
		err := pass(ctx, x, m, j.slow)
		if err == nil {
			return x.digest.sums(), nil
		}
		if ctx.Err() != nil || attempt > j.failures+3 {
			return state.Checksums{}, fmt.Errorf("attempt %d: %w", attempt, err)
		}
	}
}

// pass is one attempt, with a bucket that takes its time.
func pass(ctx context.Context, x *transfer, m *moody, slow bool) error {
	source, stop := context.WithCancel(ctx)
	defer stop()
	if err := x.open(source, nil); err != nil {
		return err
	}
	x.digest = newDigest("a.bin", nil, false)
	w := x.newWindow(source, stop, tiny, 0)
	defer w.close()
	var sending sync.WaitGroup
	defer sending.Wait()
	return w.each(func(_ int32, body []byte, _ uint64) error {
		x.digest.join(crc64nvme.Checksum(body), int64(len(body)))
		wait := time.Duration(m.draw(2000)) * time.Millisecond
		if slow {
			wait *= 60
		}
		sending.Go(func() {
			_ = sleep(ctx, wait)
			w.free(body)
		})
		return nil
	})
}

// TestEveryFileArrives lets files of any size, from sources that stall and
// break off, into buckets that take their time, share a pool that is too small
// for them: each arrives whole, in a time that does not depend on luck.
func TestEveryFileArrives(t *testing.T) {
	t.Parallel()
	one := rapid.Custom(func(t *rapid.T) journey {
		return journey{
			size: rapid.IntRange(1, 15*tiny).Draw(t, "size"), tenant: rapid.IntRange(0, 2).Draw(t, "tenant"),
			bucket: rapid.IntRange(0, 1).Draw(t, "bucket"), failures: rapid.IntRange(0, 8).Draw(t, "failures"),
			strong: rapid.IntRange(0, 4).Draw(t, "strong") > 0, ranges: rapid.IntRange(0, 4).Draw(t, "ranges") > 0,
			listed: rapid.Bool().Draw(t, "listed"), slow: rapid.IntRange(0, 4).Draw(t, "slow") == 0, seed: rapid.Uint64().Draw(t, "seed"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		journeys := rapid.SliceOfN(one, 1, 6).Draw(rt, "files")
		parts, streams := rapid.Int64Range(4, 12).Draw(rt, "pool"), rapid.IntRange(1, 4).Draw(rt, "streams")
		var failed error
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			s := &Syncer{
				pool: newPool(parts*tiny, 3, 2), hosts: newHosts(time.Now),
				o: Options{Links: NewLinks(time.Now, nil), Observer: nobody{}, Streams: streams, PartSize: tiny, Memory: parts * tiny, Clock: time.Now},
			}
			errs := make(chan error, len(journeys))
			var files sync.WaitGroup
			for i, j := range journeys {
				files.Go(func() {
					content := make([]byte, j.size)
					for k := range content {
						content[k] = byte(k*7 + i)
					}
					sum := sha256.Sum256(content)
					got, err := travel(ctx, s, i, j, content)
					if err == nil && (got.SHA256 != hex.EncodeToString(sum[:]) || got.CRC64NVME != crc64nvme.Checksum(content)) {
						err = errors.New("other bytes arrived")
					}
					if err != nil {
						errs <- fmt.Errorf("file %d: %w", i, err)
					}
				})
			}
			files.Wait()
			close(errs)
			failed = errors.Join(<-errs, s.pool.sound())
			if n := s.pool.inUse(); n != 0 || len(s.pool.waiting) != 0 || len(s.pool.loans) != 0 {
				failed = errors.Join(failed, fmt.Errorf("%d bytes in use, %d waiting, %d lent", n, len(s.pool.waiting), len(s.pool.loans)))
			}
		})
		if failed != nil {
			rt.Fatal(failed)
		}
	})
}

// A source that stalls gives back what it has borrowed as soon as another file
// waits for it, and goes on later.
func TestStalledSourceLends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Syncer{pool: newPool(6*tiny, 1, 1), hosts: newHosts(time.Now), o: Options{
			Links: NewLinks(time.Now, nil), Observer: nobody{}, Streams: 6, PartSize: tiny, Memory: 6 * tiny, Clock: time.Now,
		}}
		ref := state.FileRef{Key: state.Key{Tenant: "t", RecordID: "r"}, FileID: "f"}
		s.o.Links.byKey[ref.Key] = map[string]link{state.Identity("f"): {url: "http://h/f"}}
		content := bytes.Repeat([]byte("x"), 10*tiny)
		src := &hanging{moody: moody{content: content, strong: true, ranges: true, rng: rand.New(rand.NewPCG(1, 1))}, until: make(chan struct{})}
		x := &transfer{Syncer: s, ref: ref, reading: t.Context(), log: zap.NewNop(), f: state.File{ID: "f", Filename: "a.bin", DeclaredSize: 10 * tiny, SourcePath: "h/f"}}
		x.src = &origin{Syncer: s, source: src, ref: ref, path: "h/f", log: x.log, reading: t.Context()}
		arrived := make(chan error, 1)
		go func() { arrived <- pass(t.Context(), x, &src.moody, false) }()
		if err := sleep(t.Context(), time.Minute); err != nil { // until every range has been answered
			t.Fatal(err)
		}
		if n := s.pool.inUse(); n != 6*tiny {
			t.Fatalf("it reads ahead in %d bytes", n)
		}
		begun := time.Now()
		soon, done := context.WithTimeout(t.Context(), time.Hour)
		defer done()
		for i := range 5 {
			if _, err := s.pool.take(soon, door{tenant: "t"}, tiny); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(begun); waited > time.Duration(i+1)*patience {
				t.Errorf("buffer %d came after %s", i+1, waited)
			}
		}
		last, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if _, err := s.pool.take(last, door{tenant: "t"}, tiny); err == nil {
			t.Error("the lowest part lost its buffer")
		}
		close(src.until)
		for range 5 {
			s.pool.put(door{tenant: "t"}, make([]byte, tiny))
		}
		if err := <-arrived; err != nil || x.digest.n != 10*tiny {
			t.Errorf("%d bytes arrived, %v", x.digest.n, err)
		}
	})
}

// hanging is a source whose bodies bring nothing until a time.
type hanging struct {
	moody
	until chan struct{}
}

// Get implements Source.
func (h *hanging) Get(ctx context.Context, r download.Request) (*download.Response, error) {
	resp, err := h.moody.Get(ctx, r)
	if err == nil {
		resp.Body = &hangingBody{resp.Body, ctx, h.until}
	}
	return resp, err
}

type hangingBody struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // a body is of one request
	until chan struct{}
}

// Read implements io.Reader.
func (b *hangingBody) Read(p []byte) (int, error) {
	select {
	case <-b.until:
		return b.ReadCloser.Read(p)
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}
