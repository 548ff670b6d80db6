package bucket

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"archiver/internal/fault"
	"archiver/internal/state"
)

func allProven() state.Capabilities {
	return state.Capabilities{
		PartChecksum: true, PutChecksum: true, FullObject: true, ProbedAt: time.Unix(1, 0),
		ConditionalPut: true, ConditionalComplete: true, ConditionalReplace: true,
	}
}

// TestAmbiguousWrite plays every way in which an answer to a write can lie or
// be lost, at once and after a first attempt that took effect.
func TestAmbiguousWrite(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	errorIn200 := func(w http.ResponseWriter) {
		say(w, http.StatusOK, "InternalError", "We encountered an internal error.")
	}
	cases := map[string]struct {
		do      func(w http.ResponseWriter, r *http.Request, forward http.Handler)
		want    fault.Kind // of the first call
		refuses string     // "" both; else only for "put" or "complete"
	}{
		"reply lost after the effect":  {do: func(w http.ResponseWriter, r *http.Request, fw http.Handler) { swallow(r, fw); cut(t, w) }},
		"cut before the effect":        {do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { cut(t, w) }, want: fault.Temporary},
		"200 with error after effect":  {do: func(w http.ResponseWriter, r *http.Request, fw http.Handler) { swallow(r, fw); errorIn200(w) }, refuses: "complete"},
		"200 with error before effect": {do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { errorIn200(w) }, want: fault.Temporary, refuses: "complete"},
		"409 before the effect": {do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			say(w, 409, "ConditionalRequestConflict", "conflict")
		}, want: fault.Temporary},
		"412 after the effect": {do: func(w http.ResponseWriter, r *http.Request, fw http.Handler) {
			swallow(r, fw)
			say(w, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		}},
		"412 without an object": {do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			say(w, 412, "PreconditionFailed", "x")
		}, want: fault.Temporary},
		"second request meets its own first": {do: func(w http.ResponseWriter, r *http.Request, fw http.Handler) {
			body := new(bytes.Buffer)
			_, _ = body.ReadFrom(r.Body)
			for _, answer := range []http.ResponseWriter{nil, w} {
				req := r.Clone(r.Context())
				req.Body = http.NoBody
				if body.Len() > 0 {
					req.Body = readCloser{bytes.NewReader(body.Bytes())}
				}
				if answer == nil {
					swallow(req, fw)
				} else {
					fw.ServeHTTP(answer, req)
				}
			}
		}},
		"503 with Retry-After": {do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Retry-After", "7")
			say(w, 503, "SlowDown", "Please reduce your request rate.")
		}, want: fault.Temporary},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		for _, way := range []string{"put", "complete"} {
			c := cases[name]
			if c.refuses != "" && c.refuses != way {
				continue
			}
			t.Run(way+"/"+name, func(t *testing.T) {
				b.SetCapabilities(allProven())
				body := content(1000)
				spec := specOf(way+"/"+name, len(body))
				write := func() (state.ObjectInfo, error) { return b.Put(t.Context(), spec, body, sumsOf(body)) }
				matches := isPut
				if way == "complete" {
					id, parts := upload(t, b, spec, body, 5*mib)
					write = func() (state.ObjectInfo, error) { return b.CompleteUpload(t.Context(), spec, id, parts, sumsOf(body)) }
					matches = isComplete
				}
				var hits atomic.Int32
				f.set(func(w http.ResponseWriter, r *http.Request, fw http.Handler) bool {
					if !matches(r) {
						return false
					}
					hits.Add(1)
					c.do(w, r, fw)
					return true
				})
				info, err := write()
				f.set(nil)
				if hits.Load() == 0 {
					t.Fatal("nothing was played")
				}
				if way == "complete" && hits.Load() != 1 {
					t.Errorf("Complete was sent %d times", hits.Load())
				}
				if got := fault.KindOf(err); got != c.want {
					t.Fatalf("kind %q, want %q: %v", got, c.want, err)
				}
				if name == "503 with Retry-After" && (fault.RetryAfterOf(err) != 7*time.Second || hits.Load() != 1) {
					t.Errorf("retry after %v, %d hits", fault.RetryAfterOf(err), hits.Load())
				}
				if err != nil { // told to try again: that must work
					if info, err = write(); err != nil {
						t.Fatal(err)
					}
				}
				if info.CRC64NVME == nil || *info.CRC64NVME != sumsOf(body).CRC64NVME {
					t.Errorf("info = %+v", info)
				}
				if again, err := write(); err != nil || again.ETag != info.ETag {
					t.Errorf("once more: %+v, %v", again, err)
				}
			})
		}
	}
	if left, err := b.ListUploads(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("uploads left: %v, %v", left, err)
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func TestVanishedUpload(t *testing.T) {
	b := open(t, startGateway(t), nil)
	body := content(10)
	spec := specOf("k", len(body))
	id, parts := upload(t, b, spec, body, 5*mib)
	if err := b.AbortUpload(t.Context(), spec.Key, id); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompleteUpload(t.Context(), spec, id, parts, sumsOf(body)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("CompleteUpload: %v", err)
	}
	if _, err := b.ListParts(t.Context(), spec.Key, id); fault.KindOf(err) != fault.NotFound {
		t.Errorf("ListParts: %v", err)
	}
	if _, err := b.UploadPart(t.Context(), spec.Key, id, 1, body, sumsOf(body).CRC64NVME); fault.KindOf(err) != fault.NotFound {
		t.Errorf("UploadPart: %v", err)
	}
	if err := b.AbortUpload(t.Context(), spec.Key, id); err != nil {
		t.Errorf("AbortUpload of what is gone: %v", err)
	}
}

// TestSecondUploadOfOurs: two uploads of the same file; the one that loses is
// success too, and leaves nothing.
func TestSecondUploadOfOurs(t *testing.T) {
	b := open(t, startGateway(t), nil)
	body := content(5*mib + 1)
	spec := specOf("k", len(body))
	for _, caps := range []state.Capabilities{{}, allProven()} {
		b.SetCapabilities(caps)
		id, parts := upload(t, b, spec, body, 5*mib)
		if _, err := b.CompleteUpload(t.Context(), spec, id, parts, sumsOf(body)); err != nil {
			t.Error(err)
		}
		id2, parts2 := upload(t, b, spec, body, 5*mib+1)
		if _, err := b.CompleteUpload(t.Context(), spec, id2, parts2, sumsOf(body)); err != nil {
			t.Error(err)
		}
	}
	if left, err := b.ListUploads(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("uploads left: %v, %v", left, err)
	}
}

func TestLostManifestReply(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	b.SetCapabilities(allProven())
	var etag string
	for _, text := range []string{`{"n":1}`, `{"n":2}`} {
		var played atomic.Bool
		f.set(func(w http.ResponseWriter, r *http.Request, fw http.Handler) bool {
			if !isPut(r) || played.Swap(true) {
				return false
			}
			swallow(r, fw)
			cut(t, w)
			return true
		})
		next, err := b.PutManifest(t.Context(), "m.json", []byte(text), etag)
		if err != nil || next == "" || next == etag {
			t.Fatalf("%s: %q, %v", text, next, err)
		}
		etag = next
	}
	if got := read(t, b, "m.json", 0); string(got) != `{"n":2}` {
		t.Errorf("manifest = %s", got)
	}
}

func TestAbortUntilGone(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	body := content(10)
	spec := specOf("k", len(body))
	id, _ := upload(t, b, spec, body, 5*mib)
	var aborts atomic.Int32
	f.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		if aborts.Add(1) < 3 { // accepted, but a part in flight keeps it alive
			w.WriteHeader(http.StatusNoContent)
			return true
		}
		return false
	})
	if err := b.AbortUpload(t.Context(), spec.Key, id); err != nil {
		t.Fatal(err)
	}
	if aborts.Load() != 3 {
		t.Errorf("%d aborts", aborts.Load())
	}
	if _, err := b.ListParts(t.Context(), spec.Key, id); fault.KindOf(err) != fault.NotFound {
		t.Errorf("still there: %v", err)
	}
}

func TestPartRetriesOnAFreshConnection(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	body := content(mib)
	spec := specOf("k", len(body))
	var n atomic.Int32
	f.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !isPart(r) {
			return false
		}
		if n.Add(1) > 2 {
			return false
		}
		cut(t, w)
		return true
	})
	id, parts := upload(t, b, spec, body, 5*mib)
	if _, err := b.CompleteUpload(t.Context(), spec, id, parts, sumsOf(body)); err != nil || n.Load() != 3 {
		t.Errorf("%d attempts, %v", n.Load(), err)
	}
}
