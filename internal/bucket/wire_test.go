package bucket

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
)

// listener notes what arrives and answers every write with success.
type listener struct {
	mu     sync.Mutex
	last   *http.Request // guarded by mu
	length int           // of last's body; guarded by mu
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	l.mu.Lock()
	l.last, l.length = r, int(n)
	l.mu.Unlock()
	w.Header().Set("ETag", `"e"`)
	if r.Method == http.MethodPost {
		_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	}
}

func (l *listener) seen() (*http.Request, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.length
}

func TestPayloadSigning(t *testing.T) {
	l := &listener{}
	plain := httptest.NewServer(l)
	t.Cleanup(plain.Close)
	secure, ca := secured(t, l)
	body := content(mib)
	hash := sha256.Sum256(body)
	signed := hex.EncodeToString(hash[:])
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"loopback":                {func(o *Options) { o.Endpoint = plain.URL }, "UNSIGNED-PAYLOAD"},
		"localhost":               {func(o *Options) { o.Endpoint = strings.Replace(plain.URL, "127.0.0.1", "localhost", 1) }, "UNSIGNED-PAYLOAD"},
		"https":                   {func(o *Options) { o.Endpoint, o.CAFile = secure.URL, ca }, "UNSIGNED-PAYLOAD"},
		"another machine":         {func(o *Options) { o.Endpoint, o.Proxy = "http://store.invalid:9000", plain.URL }, signed},
		"loopback behind a proxy": {func(o *Options) { o.Endpoint, o.Proxy = "http://127.0.0.1:9", plain.URL }, signed},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "", c.change)
			if _, err := b.UploadPart(t.Context(), "k", "u", 1, body, crc64nvme.Checksum(body)); err != nil {
				t.Fatal(err)
			}
			checkPlainBody(t, l, body)
			r, _ := l.seen()
			if got := r.Header.Get("X-Amz-Content-Sha256"); got != c.want {
				t.Errorf("X-Amz-Content-Sha256 = %s, want %s", got, c.want)
			}
			if _, err := b.put(t.Context(), b.putInput(specOf("k", len(body)), body), body); err != nil {
				t.Fatal(err)
			}
			if r, _ := l.seen(); r.Header.Get("X-Amz-Content-Sha256") != c.want {
				t.Errorf("PutObject: X-Amz-Content-Sha256 = %s", r.Header.Get("X-Amz-Content-Sha256"))
			}
			if got, want := readsOfBody(t, b, body), len(body); (got == want) != (c.want == "UNSIGNED-PAYLOAD") {
				t.Errorf("%d bytes of a body of %d were read", got, want)
			}
		})
	}
}

// checkPlainBody checks a part's request: plain, with length and checksum.
func checkPlainBody(t *testing.T, l *listener, body []byte) {
	t.Helper()
	r, n := l.seen()
	h := r.Header
	if n != len(body) || r.ContentLength != int64(len(body)) || len(r.TransferEncoding) != 0 || len(r.Trailer) != 0 {
		t.Errorf("%d bytes, length %d, encoding %v, trailer %v", n, r.ContentLength, r.TransferEncoding, r.Trailer)
	}
	for name, want := range map[string]string{
		"Content-Encoding": "", "Expect": "", "X-Amz-Trailer": "", "X-Amz-Decoded-Content-Length": "", "X-Amz-Checksum-Crc32": "",
		"X-Amz-Checksum-Crc64nvme": *encodeCRC(crc64nvme.Checksum(body)), "X-Amz-Sdk-Checksum-Algorithm": "CRC64NVME",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// counted counts what is read of a body.
type counted struct {
	*bytes.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// readsOfBody sends a part through the bucket's client and counts: a body that
// is read once is not hashed.
func readsOfBody(t *testing.T, b *Bucket, body []byte) int {
	t.Helper()
	c := &counted{Reader: bytes.NewReader(body)}
	_, err := b.client.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: &b.name, Key: aws.String("k"), UploadId: aws.String("u"), PartNumber: aws.Int32(1), Body: struct {
			io.Reader
			io.Seeker
		}{c, c.Reader},
		ContentLength: aws.Int64(int64(len(body))), ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		ChecksumCRC64NVME: encodeCRC(crc64nvme.Checksum(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.n
}

// TestSignedPayloadIsAccepted sends signed payloads to the real server.
func TestSignedPayloadIsAccepted(t *testing.T) {
	f := startFront(t, startGateway(t))
	b := open(t, "http://store.invalid", func(o *Options) { o.Proxy = f.URL })
	for _, size := range []int{0, 1, mib} {
		body := content(size)
		spec := specOf(time.Duration(size).String(), size)
		if _, err := b.Put(t.Context(), spec, body, sumsOf(body)); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatObjectsGet(t *testing.T) {
	l := &listener{}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	b := open(t, srv.URL, func(o *Options) {
		o.StorageClass, o.SSE, o.SSEKMSKeyID, o.LockMode, o.LockDays = "STANDARD_IA", "aws:kms", "key-1", "governance", 30
		o.Tags = map[string]string{"b c": "d&e", "a": "1"}
		o.Clock = func() time.Time { return now }
	})
	common := map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key-1", "X-Amz-Tagging": "a=1&b%20c=d%26e",
	}
	object := map[string]string{
		"X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Object-Lock-Mode": "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date": "2026-03-02T12:00:00Z",
		"X-Amz-Meta-Archiver-File-Id": "f1", "Content-Type": "video/mp4",
	}
	check := func(op string, wants ...map[string]string) {
		t.Helper()
		r, _ := l.seen()
		got, want := map[string]string{}, map[string]string{}
		for _, w := range wants {
			for k, v := range w {
				want[k], got[k] = v, r.Header.Get(k)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", op, d)
		}
	}
	if _, err := b.CreateUpload(t.Context(), specOf("k", 10)); err != nil {
		t.Fatal(err)
	}
	check("CreateMultipartUpload", common, object, map[string]string{"X-Amz-Checksum-Algorithm": "CRC64NVME", "X-Amz-Checksum-Type": "FULL_OBJECT"})
	// The listener has nothing afterwards, so the write is not believed.
	if _, err := b.Put(t.Context(), specOf("k", 10), content(10), sumsOf(content(10))); fault.KindOf(err) != fault.Temporary {
		t.Errorf("Put: %v", err)
	}
	check("PutObject", common, object, map[string]string{"If-None-Match": "*"})
	if _, err := b.PutManifest(t.Context(), "m", []byte("{}"), ""); err != nil {
		t.Fatal(err)
	}
	check("manifest", common, map[string]string{
		"X-Amz-Storage-Class": "", "X-Amz-Object-Lock-Mode": "", "X-Amz-Object-Lock-Retain-Until-Date": "",
		"If-None-Match": "*", "Content-Type": "application/json",
	})
	b.SetCapabilities(probedNothing())
	if _, err := b.CreateUpload(t.Context(), specOf("k", 10)); err != nil {
		t.Fatal(err)
	}
	check("CreateMultipartUpload without checksums", map[string]string{"X-Amz-Checksum-Algorithm": "", "X-Amz-Checksum-Type": ""})
	if _, err := b.UploadPart(t.Context(), "k", "u", 1, []byte("x"), 1); err != nil {
		t.Fatal(err)
	}
	check("UploadPart without checksums", map[string]string{
		"X-Amz-Checksum-Crc64nvme": "", "X-Amz-Sdk-Checksum-Algorithm": "", "Content-Md5": "ndTkYSaMgDT1yFZOFVxnpg==",
	})
}

// BenchmarkUploadPart sends parts of 8 MiB to a server that discards them.
func BenchmarkUploadPart(b *testing.B) {
	l := &listener{}
	plain := httptest.NewServer(l)
	b.Cleanup(plain.Close)
	srv, ca := secured(b, l)
	for name, endpoint := range map[string]string{"http": plain.URL, "tls": srv.URL} {
		b.Run(name, func(b *testing.B) {
			bucket := open(b, endpoint, func(o *Options) { o.CAFile = ca })
			body := content(8 * mib)
			sum := crc64nvme.Checksum(body)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := bucket.UploadPart(b.Context(), "k", "u", 1, body, sum); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
