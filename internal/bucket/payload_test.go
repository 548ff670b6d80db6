package bucket

import (
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyauth "github.com/aws/smithy-go/auth"
	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
	"archiver/internal/sandbox/s3stub"
)

// secured starts a TLS server and returns it with a file that its certificate
// is in.
func secured(t testing.TB, h http.Handler) (srv *httptest.Server, caFile string) {
	t.Helper()
	srv = httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(t.Output(), "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv, caFile
}

// TestBodyIsBackAfterTheCall: the store refuses a part, or hangs up, before it
// has read it. The buffer is used for something else at once, which -race sees
// if it is still being sent.
func TestBodyIsBackAfterTheCall(t *testing.T) {
	var n atomic.Int32
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%2 == 0 {
			cut(t, w)
			return
		}
		w.Header().Set("Retry-After", "1") // one attempt is enough
		say(w, 403, "AccessDenied", "")
	})
	plain := httptest.NewServer(h)
	t.Cleanup(plain.Close)
	srv, ca := secured(t, h)
	for _, endpoint := range []string{plain.URL, srv.URL} {
		b := open(t, endpoint, func(o *Options) { o.CAFile = ca })
		body := content(32 * mib)
		for range 4 {
			_, err := b.UploadPart(t.Context(), "k", "u", 1, body, 1)
			if kind := fault.KindOf(err); kind != fault.Unauthorized && kind != fault.Temporary {
				t.Errorf("%s: %v", endpoint, err)
			}
			clear(body)
		}
	}
}

// TestAttemptsHaveTheWholeBody: an attempt that was cut leaves nothing out of
// the next one.
func TestAttemptsHaveTheWholeBody(t *testing.T) {
	l := &listener{}
	var n atomic.Int32
	srv, ca := secured(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) < 3 {
			_, _ = r.Body.Read(make([]byte, 100))
			cut(t, w)
			return
		}
		l.ServeHTTP(w, r)
	}))
	b := open(t, srv.URL, func(o *Options) { o.CAFile = ca })
	body := content(8 * mib)
	if _, err := b.UploadPart(t.Context(), "k", "u", 1, body, crc64nvme.Checksum(body)); err != nil || n.Load() != 3 {
		t.Fatalf("%d attempts, %v", n.Load(), err)
	}
	checkPlainBody(t, l, body)
}

func TestUnknownAuthority(t *testing.T) {
	srv, _ := secured(t, http.NotFoundHandler())
	b := open(t, srv.URL, nil)
	_, err := b.Head(t.Context(), "k", "")
	if fault.KindOf(err) != fault.Unauthorized || !strings.Contains(err.Error(), hintCertificate) {
		t.Error(err)
	}
}

// TestEndpointMemory: what is remembered is what the rules say, whatever the
// SDK makes of what it was given.
func TestEndpointMemory(t *testing.T) {
	m := newEndpointMemory()
	params := func(bucket, key string, pathStyle bool) s3.EndpointParameters {
		return s3.EndpointParameters{Bucket: &bucket, Key: &key, Region: aws.String("eu-central-1"), ForcePathStyle: &pathStyle}
	}
	for range 2 {
		for _, p := range []s3.EndpointParameters{params("one", "a", false), params("one", "b/c", false), params("one", "a", true), params("two", "a", false)} {
			want, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.ResolveEndpoint(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			auth, _ := smithyauth.GetAuthOptions(&got.Properties)
			wantAuth, _ := smithyauth.GetAuthOptions(&want.Properties)
			if got.URI != want.URI || len(auth) == 0 || len(auth) != len(wantAuth) {
				t.Fatalf("%v with %d ways to sign, want %v with %d", got.URI, len(auth), want.URI, len(wantAuth))
			}
			for i := range auth {
				if d := cmp.Diff(wantAuth[i].SignerProperties.Values(), auth[i].SignerProperties.Values()); d != "" || auth[i].SchemeID != wantAuth[i].SchemeID {
					t.Errorf("%s, %s (-want +got):\n%s", wantAuth[i].SchemeID, auth[i].SchemeID, d)
				}
				auth[i].SchemeID = "spoiled"
				auth[i].SignerProperties.Set("spoiled", true)
			}
		}
	}
	if n := len(m.known); n != 3 {
		t.Errorf("%d endpoints are known, want 3", n)
	}
	if _, err := m.ResolveEndpoint(t.Context(), s3.EndpointParameters{}); err == nil || len(m.known) != 3 {
		t.Errorf("an error is remembered: %v", err)
	}
}

// TestManyCallsAtOnce share one client; -race watches.
func TestManyCallsAtOnce(t *testing.T) {
	stub, err := s3stub.Start(t.Context(), "", s3stub.Options{Buckets: []string{testBucket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stub.Close() })
	b := open(t, stub.Endpoint(), nil)
	b.SetCapabilities(allProven())
	body := content(mib)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if _, err := b.Put(t.Context(), specOf(strconv.Itoa(i), len(body)), body, sumsOf(body)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// BenchmarkPut stores small objects, each from a goroutine of its own.
func BenchmarkPut(b *testing.B) {
	stub, err := s3stub.Start(b.Context(), "", s3stub.Options{Buckets: []string{testBucket}, Keep: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = stub.Close() })
	store := open(b, stub.Endpoint(), nil)
	store.SetCapabilities(allProven())
	body := content(1000)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		var one sync.WaitGroup
		one.Go(func() {
			if _, err := store.Put(b.Context(), specOf(strconv.Itoa(n), len(body)), body, sumsOf(body)); err != nil {
				b.Error(err)
			}
		})
		one.Wait()
	}
}
