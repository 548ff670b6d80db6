package bucket

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"archiver/internal/state"
)

const (
	testKeyID  = "AKIATESTTESTTEST"
	testSecret = "s3cr3t-s3cr3t-s3cr3t"
	testBucket = "recordings"
)

// startGateway runs a real S3 server with one bucket; one per process at a
// time, so that tests that use it don't run in parallel.
func startGateway(t testing.TB) (endpoint string) {
	t.Helper()
	dir := t.TempDir()
	root, side := filepath.Join(dir, "root"), filepath.Join(dir, "meta")
	for _, d := range []string{filepath.Join(root, testBucket), side} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sidecar, err := meta.NewSideCar(side)
	if err != nil {
		t.Fatal(err)
	}
	be, err := posix.New(root, sidecar, posix.PosixOpts{SideCarDir: side, CopyObjectThreshold: 5 << 30, Concurrency: 64})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- embedgw.RunVersityGW(ctx, be, &embedgw.Config{
			RootUserAccess: testKeyID, RootUserSecret: testSecret, Ports: []string{addr}, MaxConnections: 256, MaxRequests: 128,
			MultipartMaxParts: 10000, Quiet: true, KeepAlive: true, HealthPath: "/healthz",
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the S3 server ended: %v", err)
		}
	})
	await(t, func() bool {
		select {
		case err := <-done:
			t.Fatalf("the S3 server ended: %v", err)
		default:
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return "http://" + addr
}

// await polls until ok, at most 10 s.
func await(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("did not come about")
		}
	}
}

func staticCredentials() (id, secret string, err error) { return testKeyID, testSecret, nil }

// open makes a Bucket at endpoint; change may be nil.
func open(t testing.TB, endpoint string, change func(*Options)) *Bucket {
	t.Helper()
	o := Options{Endpoint: endpoint, Bucket: testBucket, PathStyle: true, Credentials: staticCredentials}
	if change != nil {
		change(&o)
	}
	b, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// front is a proxy before the real server that can interfere. Signatures hold,
// because it passes the Host on.
type front struct {
	*httptest.Server
	proxy *httputil.ReverseProxy

	mu        sync.Mutex
	interfere func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool // guarded by mu
}

func startFront(t testing.TB, backend string) *front {
	t.Helper()
	target, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{proxy: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.Host = r.In.Host
		},
	}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	interfere := f.interfere
	f.mu.Unlock()
	if interfere == nil || !interfere(w, r, f.proxy) {
		f.proxy.ServeHTTP(w, r)
	}
}

func (f *front) set(interfere func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.interfere = interfere
}

// isComplete recognises CompleteMultipartUpload.
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// isPart recognises UploadPart.
func isPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Has("partNumber")
}

// isPut recognises PutObject.
func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.RawQuery == "x-id=PutObject"
}

// cut ends the connection without an answer.
func cut(t testing.TB, w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = c.Close()
}

// swallow forwards a request and keeps the answer for itself.
func swallow(r *http.Request, forward http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	forward.ServeHTTP(rec, r)
	return rec
}

// say answers with an S3 error document.
func say(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+code+`</Code><Message>`+message+`</Message></Error>`)
}

// content is n bytes that don't repeat within a part.
func content(n int) []byte {
	out := make([]byte, n)
	x := uint32(n)*2654435761 + 1
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = byte(x)
	}
	return out
}

func sumsOf(body []byte) state.Checksums { return state.Checksums{CRC64NVME: crc64nvme.Checksum(body)} }

func specOf(key string, size int) state.ObjectSpec {
	return state.ObjectSpec{
		Key: key, ContentType: "video/mp4", Size: int64(size),
		Metadata: map[string]string{"archiver-tenant": "acme", "archiver-record-id": "02e5", "archiver-file-id": "f1"},
	}
}

// upload sends body in parts of partSize and leaves the upload open.
func upload(t testing.TB, b *Bucket, spec state.ObjectSpec, body []byte, partSize int) (id string, parts []state.Part) {
	t.Helper()
	id, err := b.CreateUpload(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for off := 0; off == 0 || off < len(body); off += partSize {
		chunk := body[off:min(off+partSize, len(body))]
		sum := crc64nvme.Checksum(chunk)
		n := int32(len(parts) + 1)
		etag, err := b.UploadPart(t.Context(), spec.Key, id, n, chunk, sum)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, state.Part{Number: n, Offset: int64(off), Size: int64(len(chunk)), CRC64NVME: sum, ETag: etag})
	}
	return id, parts
}

// read fetches an object's bytes.
func read(t testing.TB, b *Bucket, key string, offset int64) []byte {
	t.Helper()
	rc, _, err := b.Get(t.Context(), key, "", offset, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rc.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
