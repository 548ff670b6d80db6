package bucket

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"archiver/internal/fault"
)

// ofThis makes a Bucket whose probes have a name, as the daemon's have.
func ofThis(t *testing.T, endpoint string) *Bucket {
	t.Helper()
	return open(t, endpoint, func(o *Options) { o.ProbeID = "this" })
}

// probes are the two, for what holds of both.
var probes = map[string]func(context.Context, *Bucket) error{
	"Probe": func(ctx context.Context, b *Bucket) error {
		_, err := b.Probe(ctx)
		return err
	},
	"ProbeConditions": func(ctx context.Context, b *Bucket) error {
		_, left, err := b.ProbeConditions(ctx)
		if left != "" {
			err = errors.Join(err, errors.New("left "+left))
		}
		return err
	},
}

// killed runs a probe that is killed while its CreateMultipartUpload is on its
// way, and returns what lets that one arrive.
func killed(t *testing.T, f *front, b *Bucket, run func(context.Context, *Bucket) error) (arrives func()) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	var create *http.Request
	f.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPost || !r.URL.Query().Has("uploads") {
			return false
		}
		create = r.Clone(context.WithoutCancel(r.Context()))
		kill()
		cut(t, w)
		return true
	})
	if err := run(ctx, b); fault.KindOf(err) != fault.Canceled {
		t.Fatalf("the killed one: %v", err)
	}
	f.set(nil)
	return func() {
		if rec := swallow(create, f.proxy); rec.Code != http.StatusOK {
			t.Errorf("the late CreateMultipartUpload: %d %s", rec.Code, rec.Body)
		}
	}
}

// TestProbeSweepsWhatAKilledOneLeft: an upload that a killed probe had asked for
// is gone after the next one, whether it came about before that or meanwhile;
// if only afterwards, the one behind it takes it away.
func TestProbeSweepsWhatAKilledOneLeft(t *testing.T) {
	f := startFront(t, startGateway(t))
	for name, run := range probes {
		t.Run(name, func(t *testing.T) {
			b := ofThis(t, f.URL)
			next := func() {
				t.Helper()
				if err := run(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			killed(t, f, b, run)()
			next()
			nothingLeft(t, b)

			arrives := sync.OnceFunc(killed(t, f, b, run))
			f.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if isPart(r) {
					arrives()
				}
				return false
			})
			next()
			f.set(nil)
			nothingLeft(t, b)

			arrives = killed(t, f, b, run)
			next()
			arrives()
			if left, err := b.ListUploads(t.Context(), probePrefix); err != nil || len(left) != 1 {
				t.Fatalf("nothing came about behind the probe: %v, %v", left, err)
			}
			next()
			nothingLeft(t, b)
		})
	}
}

// TestProbeSweepsItsOwnAlone: what another archiver's probe has open is not
// touched, also where its name begins like ours.
func TestProbeSweepsItsOwnAlone(t *testing.T) {
	b := ofThis(t, startGateway(t))
	for _, key := range []string{probePrefix + "this-other", probePrefix + "other", ConditionsKey + "-this-other"} {
		spec := specOf(key, 1)
		if _, err := b.CreateUpload(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	for name, run := range probes {
		if err := run(t.Context(), b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if open, err := b.ListUploads(t.Context(), probePrefix); err != nil || len(open) != 3 {
		t.Errorf("open: %v, %v", open, err)
	}
}

// TestProbesAtOnce: tenants that share a bucket probe it each with a Bucket of
// their own, under one name; none sweeps away what another is at work on.
func TestProbesAtOnce(t *testing.T) {
	endpoint := startGateway(t)
	for name, run := range probes {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 4 {
				b := ofThis(t, endpoint)
				all.Go(func() {
					for range 2 {
						if err := run(t.Context(), b); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			nothingLeft(t, ofThis(t, endpoint))
		})
	}
}
