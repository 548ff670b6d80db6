package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"archiver/internal/fault"
	"archiver/internal/state"
)

func probedNothing() state.Capabilities { return state.Capabilities{ProbedAt: time.Unix(1, 0)} }

// serve answers everything with h.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   fault.Kind
		hint   string
	}{
		{403, "AccessDenied", fault.Unauthorized, "s3:PutObject"},
		{403, "InvalidAccessKeyId", fault.Unauthorized, "access_key_id"},
		{403, "SignatureDoesNotMatch", fault.Unauthorized, "secret_access_key"},
		{403, "RequestTimeTooSkewed", fault.Unauthorized, "clock"},
		{400, "ExpiredToken", fault.Unauthorized, "expired"},
		{400, "AuthorizationHeaderMalformed", fault.Unauthorized, "region"},
		{301, "PermanentRedirect", fault.Unauthorized, "region"},
		{400, "KMS.DisabledException", fault.Unauthorized, "kms:"},
		{404, "NoSuchBucket", fault.Unauthorized, "bucket"},
		{403, "QuotaExceeded", fault.Unauthorized, "quota"},
		{507, "XMinioStorageFull", fault.Unauthorized, "full"},
		{507, "", fault.Unauthorized, "full"},
		{404, "NoSuchUpload", fault.NotFound, ""},
		{404, "NoSuchKey", fault.NotFound, ""},
		{400, "BadDigest", fault.Corrupt, ""},
		{400, "XAmzContentChecksumMismatch", fault.Corrupt, ""},
		{400, "InvalidPart", fault.Corrupt, "again"},
		{400, "EntityTooSmall", fault.BadRequest, ""},
		{400, "RequestTimeout", fault.Temporary, ""},
		{409, "OperationAborted", fault.Temporary, ""},
		{412, "PreconditionFailed", fault.Exists, ""},
		{429, "TooManyRequests", fault.Temporary, ""},
		{500, "InternalError", fault.Temporary, ""},
		{501, "NotImplemented", fault.Rejected, "does not implement"},
		{502, "", fault.Temporary, ""},
		{503, "SlowDown", fault.Temporary, ""},
	} {
		t.Run(fmt.Sprint(c.status, c.code), func(t *testing.T) {
			b := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Retry-After", "2") // keeps the retries out of this test
				if c.code == "" {
					w.WriteHeader(c.status)
					return
				}
				say(w, c.status, c.code, "the store's words")
			}), nil)
			_, err := b.UploadPart(t.Context(), "k", "u", 7, []byte("x"), 1)
			fe, ok := errors.AsType[*fault.Error](err)
			if !ok || fe.Kind != c.want || fe.Status != c.status || !strings.Contains(fe.Hint, c.hint) || fe.RetryAfter != 2*time.Second {
				t.Fatalf("%#v", err)
			}
			want := fmt.Sprintf("s3 UploadPart recordings/k part 7: %d", c.status)
			if c.code != "" {
				want += " " + c.code + ": the store's words"
			}
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%q does not start with %q", err, want)
			}
		})
	}
}

func TestWrongRegionIsNamed(t *testing.T) {
	b := open(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
		w.WriteHeader(http.StatusMovedPermanently)
	}), nil)
	err := b.Check(t.Context())
	if fault.KindOf(err) != fault.Unauthorized || !strings.Contains(err.Error(), "eu-central-1") {
		t.Error(err)
	}
}

// TestForbiddenKey: 403 for one key is "missing" if the bucket lets us in.
func TestForbiddenKey(t *testing.T) {
	for bucketStatus, want := range map[int]fault.Kind{200: fault.NotFound, 403: fault.Unauthorized} {
		b := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Count(r.URL.Path, "/") == 1 || strings.HasSuffix(r.URL.Path, testBucket+"/") {
				w.WriteHeader(bucketStatus)
				return
			}
			say(w, 403, "AccessDenied", "")
		}), nil)
		_, err := b.Head(t.Context(), "k", "")
		if fault.KindOf(err) != want || !strings.Contains(err.Error(), "s3:ListBucket") {
			t.Errorf("Head, bucket %d: %v", bucketStatus, err)
		}
		if _, _, err := b.Get(t.Context(), "k", "", 0, ""); fault.KindOf(err) != want {
			t.Errorf("Get, bucket %d: %v", bucketStatus, err)
		}
	}
}

func TestSecretsStayOut(t *testing.T) {
	leaky := serve(t, func(w http.ResponseWriter, r *http.Request) {
		say(w, 403, "SignatureDoesNotMatch", "you sent "+testSecret+" for "+testKeyID+" and "+r.Header.Get("Authorization")+"&#10;"+strings.Repeat("x", 5000))
	})
	dead := "http://127.0.0.1:1"
	for name, change := range map[string]func(*Options){
		"an answer":     func(o *Options) { o.Endpoint = leaky },
		"no connection": func(o *Options) { o.Endpoint = dead },
		"a dead proxy": func(o *Options) {
			o.Endpoint, o.Proxy = "http://store.invalid", "http://user:"+testSecret+"@127.0.0.1:1"
		},
		"no such host": func(o *Options) { o.Endpoint = "http://store.invalid" },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "", change)
			_, err := b.CreateUpload(t.Context(), specOf("k", 1))
			if err == nil {
				t.Fatal("no error")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				for _, secret := range []string{testSecret, testKeyID, "uploads", "\n"} {
					if strings.Contains(e.Error(), secret) {
						t.Errorf("%q in %q", secret, e)
					}
				}
				if len(e.Error()) > 700 {
					t.Errorf("%d bytes", len(e.Error()))
				}
			}
		})
	}
	for _, o := range []Options{
		{Bucket: "b", Endpoint: "http://u:" + testSecret + "@host"},
		{Bucket: "b", Endpoint: "http://host/?x=" + testSecret},
		{Bucket: "b", Endpoint: "ht tp://" + testSecret},
		{Bucket: "b", Endpoint: "http://host", Proxy: "::" + testSecret},
	} {
		o.Credentials = staticCredentials
		if _, err := New(t.Context(), o); err == nil || strings.Contains(err.Error(), testSecret) {
			t.Errorf("New: %v", err)
		}
	}
}

func TestCreateUploadWhoseReplyIsLost(t *testing.T) {
	var hits atomic.Int32
	b := open(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		cut(t, w)
	}), nil)
	if _, err := b.CreateUpload(t.Context(), specOf("k", 1)); fault.KindOf(err) != fault.Ambiguous || hits.Load() != 1 {
		t.Errorf("%d calls, %v", hits.Load(), err)
	}
}

func TestCanceledCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := open(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}), nil)
	if _, err := b.Head(ctx, "k", ""); fault.KindOf(err) != fault.Canceled || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBodyThatStopsComing(t *testing.T) {
	for name, c := range map[string]struct {
		then func(w http.ResponseWriter, r *http.Request)
	}{
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"cut":     {func(w http.ResponseWriter, _ *http.Request) { cut(t, w) }},
	} {
		b := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(content(50))
			_ = http.NewResponseController(w).Flush()
			c.then(w, r)
		}), nil)
		b.stall = 50 * time.Millisecond
		rc, _, err := b.Get(t.Context(), "k", "", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if len(got) != 50 || fault.KindOf(err) != fault.Temporary || !strings.HasPrefix(err.Error(), "s3 GetObject recordings/k: ") {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if err := rc.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnswersThatContradictTheBytes(t *testing.T) {
	for _, header := range []string{"X-Amz-Checksum-Crc64nvme", "X-Cos-Hash-Crc64ecma", "X-Oss-Hash-Crc64ecma"} {
		b := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"e"`)
			w.Header().Set(header, map[bool]string{true: "AAAAAAAAAAA=", false: "12345"}[header[2] == 'A'])
		}), nil)
		if _, err := b.UploadPart(t.Context(), "k", "u", 1, []byte("x"), 1); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestListingsArePaged(t *testing.T) {
	var stuck atomic.Bool
	b := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		pages := map[string]string{"": "a1", "a1": "a2", "a2": "b1"}
		at := q.Get("key-marker") + q.Get("upload-id-marker")
		if q.Has("uploads") {
			next := pages[at]
			if stuck.Load() {
				next = "a1"
			}
			_, _ = fmt.Fprintf(w, `<ListMultipartUploadsResult><IsTruncated>%v</IsTruncated><NextKeyMarker>%c</NextKeyMarker><NextUploadIdMarker>%c</NextUploadIdMarker>
				<Upload><Key>%s%c</Key><UploadId>%s</UploadId><Initiated>2026-01-02T03:04:05Z</Initiated></Upload></ListMultipartUploadsResult>`,
				next != "b1", next[0], next[1], q.Get("prefix"), next[0], next)
			return
		}
		n := len(q.Get("part-number-marker")) + 1 // 1, 11, 111
		if stuck.Load() {
			n = 1
		}
		mark := strings.Repeat("1", n)
		_, _ = fmt.Fprintf(w, `<ListPartsResult><IsTruncated>%v</IsTruncated><NextPartNumberMarker>%s</NextPartNumberMarker>
			<Part><PartNumber>%s</PartNumber><Size>5</Size><ETag>"e"</ETag></Part></ListPartsResult>`, n < 3, mark, mark)
	}), nil)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	uploads, err := b.ListUploads(t.Context(), "p/")
	want := []state.UploadInfo{{Key: "p/a", UploadID: "a1", Initiated: at}, {Key: "p/a", UploadID: "a2", Initiated: at}, {Key: "p/b", UploadID: "b1", Initiated: at}}
	if d := cmp.Diff(want, uploads); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	parts, err := b.ListParts(t.Context(), "k", "u")
	if err != nil || len(parts) != 3 || parts[2].Number != 111 || parts[2].Size != 5 {
		t.Errorf("%+v, %v", parts, err)
	}
	stuck.Store(true)
	if _, err := b.ListUploads(t.Context(), "p/"); fault.KindOf(err) != fault.Temporary {
		t.Errorf("a listing that goes in circles: %v", err)
	}
	if _, err := b.ListParts(t.Context(), "k", "u"); fault.KindOf(err) != fault.Temporary {
		t.Errorf("a listing that goes in circles: %v", err)
	}
}

func TestObserve(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	var n atomic.Int32
	b := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch n.Add(1) {
		case 1:
			say(w, 503, "SlowDown", "")
		case 2:
			cut(t, w)
		default:
			w.Header().Set("ETag", `"e"`)
		}
	}), func(o *Options) {
		o.Observe = func(op, code string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, op+" "+code)
		}
	})
	if _, err := b.UploadPart(t.Context(), "k", "u", 1, []byte("x"), 1); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"UploadPart SlowDown", "UploadPart error", "UploadPart 200"}, seen); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCredentials(t *testing.T) {
	secret, fail := "one", error(nil)
	b := open(t, serve(t, func(http.ResponseWriter, *http.Request) {}), func(o *Options) {
		o.Credentials = func() (string, string, error) { return testKeyID, secret, fail }
	})
	if err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _, err := b.Presign(t.Context(), "k", "", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	secret = "two"
	if second, _, err := b.Presign(t.Context(), "k", "", "", time.Hour); err != nil || signature(first) == signature(second) {
		t.Errorf("a rotated secret is not seen: %v", err)
	}
	fail = errors.New("the file is gone")
	if err := b.Check(t.Context()); fault.KindOf(err) != fault.Unauthorized || !strings.Contains(err.Error(), "the file is gone") {
		t.Error(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIACHAIN")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "chain")
	for _, f := range []func() (string, string, error){nil, func() (string, string, error) { return "", "", nil }} {
		b := open(t, "http://127.0.0.1:1", func(o *Options) { o.Credentials = f })
		if link, _, err := b.Presign(t.Context(), "k", "", "", time.Hour); err != nil || !strings.Contains(link, "AKIACHAIN") {
			t.Errorf("the SDK's chain: %v", err)
		}
	}
}

func signature(link string) string {
	_, s, _ := strings.Cut(link, "X-Amz-Signature=")
	s, _, _ = strings.Cut(s, "&")
	return s
}

func TestEndpointSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "HTTPS://S3.Example.com:443/": "https://s3.example.com", "http://h:80": "http://h", "http://h:9000/base/": "http://h:9000/base",
		"https://[2001:DB8::1]:9000": "https://[2001:db8::1]:9000",
	} {
		b := open(t, in, nil)
		if b.Endpoint() != want || b.Name() != testBucket {
			t.Errorf("%q: %q", in, b.Endpoint())
		}
	}
}
