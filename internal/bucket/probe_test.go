package bucket

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/state"
)

func TestProbeOfAStoreThatProves(t *testing.T) {
	f := startFront(t, startGateway(t))
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	b := open(t, f.URL, func(o *Options) { o.Clock = func() time.Time { return now } })
	var created atomic.Int32
	f.set(func(w http.ResponseWriter, r *http.Request, fw http.Handler) bool {
		rec := swallow(r, fw)
		if rec.Code == http.StatusOK && (isPut(r) || isComplete(r)) {
			created.Add(1)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
		return true
	})
	got, err := b.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := state.Capabilities{PartChecksum: true, PutChecksum: true, FullObject: true, ConditionalReplace: true, ProbedAt: now}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Probe (-want +got):\n%s", d)
	}
	if created.Load() != 0 {
		t.Errorf("the probe made %d objects", created.Load())
	}
	caps, left, err := b.ProbeConditions(t.Context())
	if err != nil || left != "" {
		t.Fatal(left, err)
	}
	want.ConditionalPut, want.ConditionalComplete = true, true
	if d := cmp.Diff(want, caps); d != "" {
		t.Errorf("ProbeConditions (-want +got):\n%s", d)
	}
	if created.Load() != 1 {
		t.Errorf("the conditions made %d objects", created.Load())
	}
	if d := cmp.Diff(want, b.Capabilities()); d != "" {
		t.Errorf("Capabilities (-want +got):\n%s", d)
	}
	// A new probe keeps what it does not ask.
	if again, err := b.Probe(t.Context()); err != nil || !again.ConditionalPut {
		t.Errorf("again: %+v, %v", again, err)
	}
	nothingLeft(t, b)
}

func nothingLeft(t *testing.T, b *Bucket) {
	t.Helper()
	if left, err := b.ListUploads(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("uploads left: %v, %v", left, err)
	}
	key := ConditionsKey
	if b.opts.ProbeID != "" {
		key += "-" + b.opts.ProbeID
	}
	if _, err := b.Head(t.Context(), key, ""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%s: %v", key, err)
	}
}

func TestProbeOfAStoreThatProvesNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		store *naive
		want  state.Capabilities
	}{
		{"ignores everything", &naive{}, state.Capabilities{}},
		{"honours conditions", &naive{conditions: true}, state.Capabilities{ConditionalPut: true, ConditionalComplete: true, ConditionalReplace: true}},
		{"breaks on checksums", &naive{breaksOnChecksums: true}, state.Capabilities{}},
		{"breaks on conditions", &naive{breaksOnConditions: true}, state.Capabilities{}},
		{"checks parts alone", &naive{checksParts: true}, state.Capabilities{PartChecksum: true}},
		{"own CRC-64", &naive{ownCRC: true, conditions: true}, state.Capabilities{OwnCRC64ECMA: true, ConditionalPut: true, ConditionalComplete: true, ConditionalReplace: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := c.store
			b := open(t, store.start(t), nil)
			if _, err := b.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, left, err := b.ProbeConditions(t.Context())
			if err != nil || left != "" {
				t.Fatal(left, err)
			}
			got.ProbedAt = time.Time{}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if keys := store.keys(); len(keys) != 0 {
				t.Errorf("objects left: %v", keys)
			}
			nothingLeft(t, b)

			// The store works all the same.
			body := content(5*mib + 1)
			spec := specOf("a", len(body))
			id, parts := upload(t, b, spec, body, 5*mib)
			if _, err := b.CompleteUpload(t.Context(), spec, id, parts, sumsOf(body)); err != nil {
				t.Error(err)
			}
			if _, err := b.Put(t.Context(), specOf("b", 10), content(10), sumsOf(content(10))); err != nil {
				t.Error(err)
			}
			if _, err := b.Put(t.Context(), specOf("b", 11), content(11), sumsOf(content(11))); fault.KindOf(err) != fault.Exists {
				t.Errorf("over another object: %v", err)
			}
			etag, err := b.PutManifest(t.Context(), "m", []byte("1"), "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err = b.PutManifest(t.Context(), "m", []byte("2"), etag); err != nil {
				t.Error(err)
			}
			if _, err = b.PutManifest(t.Context(), "m", []byte("3"), etag); fault.KindOf(err) != fault.Changed {
				t.Errorf("over a changed manifest: %v", err)
			}
		})
	}
}

func TestProbeNamesWhatItCannotRemove(t *testing.T) {
	store := &naive{keeps: true}
	b := open(t, store.start(t), nil)
	caps, err := b.Probe(t.Context())
	if fault.KindOf(err) != fault.Exists || !strings.Contains(err.Error(), probePrefix) || !strings.Contains(err.Error(), "s3:DeleteObject") {
		t.Errorf("Probe: %v", err)
	}
	if caps.ProbedAt.IsZero() {
		t.Error("the probe is lost")
	}
	for range 2 {
		_, left, err := b.ProbeConditions(t.Context())
		if err != nil || left != testBucket+"/"+ConditionsKey {
			t.Errorf("ProbeConditions: %q, %v", left, err)
		}
	}
	if keys := store.keys(); len(keys) != 2 {
		t.Errorf("objects: %v", keys)
	}
}

func TestProbeThatFailsChangesNothing(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	b.SetCapabilities(allProven())
	f.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !isPut(r) {
			return false
		}
		say(w, 403, "AccessDenied", "Access Denied")
		return true
	})
	caps, err := b.Probe(t.Context())
	if fault.KindOf(err) != fault.Unauthorized || !caps.ProbedAt.IsZero() {
		t.Errorf("%+v, %v", caps, err)
	}
	if d := cmp.Diff(allProven(), b.Capabilities()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	nothingLeft(t, b)
}

// TestProbeOfARoleThatMayNotRead: a small file's PutObject is its own proof, so
// that its object cannot be read has to be seen before.
func TestProbeOfARoleThatMayNotRead(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, f.URL, nil)
	if _, err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, ConditionsKey) {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	_, left, err := b.ProbeConditions(t.Context())
	if fault.KindOf(err) != fault.Unauthorized || !strings.Contains(err.Error(), "s3:GetObject") || left != "" {
		t.Errorf("%v, left %q", err, left)
	}
	f.set(nil)
	nothingLeft(t, b)
}
