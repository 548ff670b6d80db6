package bucket

import (
	"hash/crc64"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/sandbox/s3stub"
	"archiver/internal/state"
)

// TestPutIsOneRequest counts what two stores see that prove everything.
func TestPutIsOneRequest(t *testing.T) {
	stub, err := s3stub.Start(t.Context(), "", s3stub.Options{Buckets: []string{testBucket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stub.Close() })
	for name, endpoint := range map[string]string{"stub": stub.Endpoint(), "gateway": startGateway(t)} {
		t.Run(name, func(t *testing.T) {
			f := startFront(t, endpoint)
			b := open(t, f.URL, nil)
			if _, err := b.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, left, err := b.ProbeConditions(t.Context()); err != nil || left != "" {
				t.Fatal(left, err)
			}
			var puts, others atomic.Int32
			f.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if isPut(r) {
					puts.Add(1)
				} else {
					others.Add(1)
				}
				return false
			})
			for _, size := range []int{0, 1, mib} {
				body := content(size)
				spec := specOf(time.Duration(size).String(), size)
				puts.Store(0)
				got, err := b.Put(t.Context(), spec, body, sumsOf(body))
				if err != nil || puts.Load() != 1 || others.Load() != 0 {
					t.Fatalf("%d bytes: %d puts and %d other requests, %v", size, puts.Load(), others.Load(), err)
				}
				want, err := b.Head(t.Context(), spec.Key, "")
				others.Store(0)
				if err != nil {
					t.Fatal(err)
				}
				want.LastModified, want.Date, got.Date = time.Time{}, time.Time{}, time.Time{}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%d bytes (-HEAD +answer):\n%s", size, d)
				}
			}
		})
	}
}

// doubt is what may be wrong with an answer to a PutObject.
type doubt struct {
	caps func(*state.Capabilities) // nil: all is proven
	edit func(http.Header)         // nil: the answer stays as it is
	code int                       // of the answer; 0: as it is
	fail int                       // attempts that are refused before
}

func TestDoubtsAreAskedAbout(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	const sum, kind = "X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Type"
	doubts := map[string]doubt{
		"never probed":         {caps: func(c *state.Capabilities) { *c = state.Capabilities{} }},
		"put checks nothing":   {caps: func(c *state.Capabilities) { c.PutChecksum = false }},
		"no whole checksum":    {caps: func(c *state.Capabilities) { c.FullObject = false }},
		"condition is ignored": {caps: func(c *state.Capabilities) { c.ConditionalPut = false }},
		"own CRC alone":        {caps: func(c *state.Capabilities) { c.OwnCRC64ECMA, c.PutChecksum = true, false }},
		"no ETag":              {edit: func(h http.Header) { h.Del("ETag") }},
		"no checksum":          {edit: func(h http.Header) { h.Del(sum) }},
		"no CRC64NVME":         {edit: func(h http.Header) { h.Set(sum, "AAAA") }},
		"composite":            {edit: func(h http.Header) { h.Set(kind, "COMPOSITE") }},
		"201":                  {code: http.StatusCreated},
		"second attempt":       {fail: 1},
	}
	for _, name := range slices.Sorted(maps.Keys(doubts)) {
		t.Run(name, func(t *testing.T) {
			d, caps := doubts[name], allProven()
			if d.caps != nil {
				d.caps(&caps)
			}
			b.SetCapabilities(caps)
			var heads, puts atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request, fw http.Handler) bool {
				if r.Method == http.MethodHead {
					heads.Add(1)
				}
				if !isPut(r) {
					return false
				}
				if int(puts.Add(1)) <= d.fail {
					say(w, 503, "ServiceUnavailable", "")
					return true
				}
				rec := swallow(r, fw)
				maps.Copy(w.Header(), rec.Header())
				if d.edit != nil {
					d.edit(w.Header())
				}
				w.WriteHeader(max(rec.Code, d.code))
				return true
			})
			body := content(100)
			info, err := b.Put(t.Context(), specOf(name, 100), body, sumsOf(body))
			if err != nil || info.LastModified.IsZero() || info.ETag == "" || heads.Load() == 0 {
				t.Errorf("%d HEADs, %+v, %v", heads.Load(), info, err)
			}
		})
	}
}

// TestPutAnswerThatContradicts: the store says itself that it has other bytes.
func TestPutAnswerThatContradicts(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	for header, value := range map[string]string{
		"X-Amz-Checksum-Crc64nvme": "AAAAAAAAAAA=", "X-Cos-Hash-Crc64ecma": "12345", "X-Oss-Hash-Crc64ecma": "12345",
	} {
		for _, caps := range []state.Capabilities{{}, allProven()} {
			b.SetCapabilities(caps)
			f.set(func(w http.ResponseWriter, r *http.Request, fw http.Handler) bool {
				if !isPut(r) {
					return false
				}
				rec := swallow(r, fw)
				maps.Copy(w.Header(), rec.Header())
				w.Header().Set(header, value)
				w.WriteHeader(rec.Code)
				return true
			})
			body := content(100)
			key := header + caps.ProbedAt.String()
			if _, err := b.Put(t.Context(), specOf(key, 100), body, sumsOf(body)); fault.KindOf(err) != fault.Corrupt {
				t.Errorf("%s: %v", header, err)
			}
		}
	}
}

// TestOwnCRCIsProof: COS and OSS compute a CRC-64 that nobody sent them.
func TestOwnCRCIsProof(t *testing.T) {
	store := &naive{ownCRC: true, conditions: true}
	f := startFront(t, store.start(t))
	b := open(t, f.URL, nil)
	if _, err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.ProbeConditions(t.Context()); err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	f.set(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		requests.Add(1)
		return false
	})
	body := content(100)
	sums := sumsOf(body)
	for key, want := range map[string]int32{"unknown": 2, "known": 1} {
		if key == "known" {
			sums.CRC64ECMA, sums.HasECMA = crc64.Checksum(body, crc64.MakeTable(crc64.ECMA)), true
		} else {
			sums.CRC64ECMA, sums.HasECMA = 0, false
		}
		requests.Store(0)
		info, err := b.Put(t.Context(), specOf(key, 100), body, sums)
		if err != nil || requests.Load() != want || info.CRC64ECMA == nil {
			t.Errorf("%s: %d requests, %+v, %v", key, requests.Load(), info, err)
		}
	}
}
