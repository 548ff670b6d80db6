package faultproxy_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc64"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	awshttp "github.com/aws/smithy-go/transport/http"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
)

func TestPassesAndSignsAnew(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	const key = "a/b c/ü+&=.mp4"
	if err := r.put(key, "hello", withSum("hello")); err != nil {
		t.Fatal(err)
	}
	e := r.last()
	if e.Method != http.MethodPut || e.Path != "/bkt/"+key || e.Status != 200 || e.BytesIn != 5 || !e.Forwarded || len(e.PayloadHash) != 64 ||
		e.RequestHeader.Get("X-Amz-Checksum-Crc64nvme") == "" || e.RequestHeader.Get("Authorization") != "" {
		t.Errorf("log %+v", e)
	}
	if err := r.put("wrong", "hello", withSum("x")); code(err) != "BadDigest" {
		t.Errorf("a wrong checksum: %v", err)
	}
	out, err := r.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String(key), Range: aws.String("bytes=1-3")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Body.Close() }()
	if b, err := io.ReadAll(out.Body); string(b) != "ell" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := r.CompleteMultipartUpload(t.Context(), r.upload("multi", strings.Repeat("x", 5<<20), "tail")); err != nil {
		t.Error(err)
	}
	if c := r.truth(); len(c.Objects) != 2 || c.Objects[0].Key != key || c.Objects[1].Size != 5<<20+4 {
		t.Errorf("bucket %+v", c)
	}
	if _, err := r.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bkt"), Key: aws.String("none")}); code(err) != "NotFound" {
		t.Errorf("head of nothing: %v", err)
	}
}

func TestUnsignedPayloadIsLogged(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	in := &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: aws.String("k"), Body: strings.NewReader("hello")}
	_, err := r.PutObject(t.Context(), in, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
	if err != nil || r.last().PayloadHash != "UNSIGNED-PAYLOAD" {
		t.Errorf("%v, logged %q", err, r.last().PayloadHash)
	}
}

func TestPresignedAndAnonymousPassAsTheyAre(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	if err := r.put("k", "hello", nil); err != nil {
		t.Fatal(err)
	}
	access, secret := r.server.Keys()
	ps := s3.NewPresignClient(s3server.NewClient(r.Endpoint(), access, secret))
	req, err := ps.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]int{req.URL: 200, r.Endpoint() + "/bkt/k": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want || r.last().Presigned != (want == 200) || strings.Contains(r.last().RawQuery, "Signature") {
			t.Errorf("status %d, want %d; log %+v", resp.StatusCode, want, r.last())
		}
	}
}

func TestActionsOnPut(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	tests := map[string]struct {
		do      faultproxy.Action
		want    string // error code, or a part of the error; "" is success
		stored  bool
		replied int
	}{
		"slow down":    {do: faultproxy.Reply{Status: 503, Code: "SlowDown", RetryAfter: 3 * time.Second}, want: "SlowDown", replied: 503},
		"denied":       {do: faultproxy.Reply{Status: 403, Code: "AccessDenied"}, want: "AccessDenied", replied: 403},
		"quota":        {do: faultproxy.Reply{Status: 507, Code: "QuotaExceeded", ReadBody: true}, want: "QuotaExceeded", replied: 507},
		"drop before":  {do: faultproxy.DropBefore{}, want: "request send failed"},
		"drop reply":   {do: faultproxy.DropReply{}, want: "request send failed", stored: true},
		"corrupt":      {do: faultproxy.Corrupt{At: 2}, want: "BadDigest", replied: 400},
		"no condition": {do: faultproxy.IgnoreConditions{}, stored: true, replied: 200},
		"date":         {do: faultproxy.SetHeader{Name: "Date", Value: "Fri, 31 May 2019 01:43:23 GMT"}, stored: true, replied: 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", "-")
			defer r.Inject(faultproxy.Rule{Method: "PUT", NoQuery: []string{"uploadId"}, Path: regexp.MustCompile("^/bkt/" + key + "$"), Times: 1, Do: tt.do})()
			err := r.put(key, "hello", func(in *s3.PutObjectInput) {
				in.ChecksumCRC64NVME, in.IfNoneMatch = sum([]byte("hello")), aws.String("*")
			})
			if (err == nil) != (tt.want == "") || err != nil && code(err) != tt.want && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if e, ok := errors.AsType[*awshttp.ResponseError](err); ok && name == "slow down" && e.Response.Header.Get("Retry-After") != "3" {
				t.Error("no Retry-After")
			}
			if e := r.last(); e.Status != tt.replied {
				t.Errorf("log %+v", e)
			}
			stored := false
			for _, o := range r.truth().Objects {
				stored = stored || o.Key == key
			}
			if stored != tt.stored {
				t.Errorf("stored %t, want %t", stored, tt.stored)
			}
			again := r.put(key, "hello", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
			if (code(again) == "PreconditionFailed") != tt.stored {
				t.Errorf("the rule outlived its time: %v", again)
			}
		})
	}
}

func TestCompleteFaults(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	in := r.upload("k", "hello")
	complete := []string{"uploadId"}
	r.Inject(faultproxy.Rule{Method: "POST", Query: complete, Times: 1, Do: faultproxy.CompleteError{Code: "InternalError"}})
	if _, err := r.CompleteMultipartUpload(t.Context(), in); code(err) != "InternalError" || r.last().Status != 200 {
		t.Errorf("200 with an error: %v", err)
	}
	if c := r.truth(); len(c.Objects) != 0 || len(c.Uploads) != 1 {
		t.Errorf("bucket %+v", c)
	}
	r.Inject(faultproxy.Rule{Method: "POST", Query: complete, Times: 1, Do: faultproxy.DropReply{}})
	if _, err := r.CompleteMultipartUpload(t.Context(), in); err == nil || r.last().UpstreamStatus != 200 || r.last().Status != 0 {
		t.Errorf("a lost reply: %v, %+v", err, r.last())
	}
	if c := r.truth(); len(c.Objects) != 1 || len(c.Uploads) != 0 {
		t.Errorf("bucket %+v", c)
	}
}

func TestStoreThatProvesNothing(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	r.Inject(faultproxy.Rule{Do: faultproxy.StripChecksums{}})
	r.Inject(faultproxy.Rule{Method: "PUT", Times: 1, Do: faultproxy.Corrupt{At: 0}})
	if err := r.put("k", "hello", withSum("hello")); err != nil {
		t.Errorf("the store checked: %v", err)
	}
	if got := r.truth().Objects[0]; got.Size != 5 || got.CRC64NVME == *sum([]byte("hello")) {
		t.Errorf("object %+v", got)
	}
	in := r.upload("m", "hello")
	in.ChecksumCRC64NVME = sum([]byte("wrong"))
	out, err := r.CompleteMultipartUpload(t.Context(), in)
	if err != nil || out.ChecksumCRC64NVME != nil || out.ETag == nil {
		t.Errorf("complete %+v, %v", out, err)
	}
	head, err := r.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bkt"), Key: aws.String("m"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || head.ChecksumCRC64NVME != nil || *head.ContentLength != 5 {
		t.Errorf("head %+v, %v", head, err)
	}
}

// An upload framed for a trailing checksum must arrive without its frames.
func TestStripUnframes(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	r.Inject(faultproxy.Rule{Do: faultproxy.StripChecksums{}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.Endpoint()+"/bkt/k", strings.NewReader("5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "AWS4-HMAC-SHA256 whatever", "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding": "aws-chunked",
		"X-Amz-Decoded-Content-Length": "5", "X-Amz-Trailer": "x-amz-checksum-crc64nvme",
	} {
		req.Header.Set(name, value)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if o := r.truth().Objects; resp.StatusCode != 200 || len(o) != 1 || o[0].Size != 5 {
		t.Errorf("status %d, bucket %+v", resp.StatusCode, o)
	}
}

func TestLooksLikeCOS(t *testing.T) {
	r := newRig(t, faultproxy.Options{COS: true})
	r.Inject(faultproxy.Rule{Do: faultproxy.StripChecksums{}})
	first := strings.Repeat("x", 5<<20)
	if err := r.put("small", "hello", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CompleteMultipartUpload(t.Context(), r.upload("large", first, "tail")); err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string]string{"small": "hello", "large": first + "tail"} {
		if _, err := r.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("bkt"), Key: &key}); err != nil {
			t.Fatal(err)
		}
		want := strconv.FormatUint(crc64.Checksum([]byte(body), crc64.MakeTable(crc64.ECMA)), 10)
		if got := r.last().ResponseHeader.Get("X-Cos-Hash-Crc64ecma"); got != want {
			t.Errorf("%s: %q, want %s", key, got, want)
		}
	}
	for _, e := range r.Log() {
		if e.Method == http.MethodPut && e.ResponseHeader.Get("X-Cos-Hash-Crc64ecma") == "" {
			t.Errorf("no checksum on %s %s", e.Path, e.RawQuery)
		}
	}
}

func TestTruncatedAnswerAndStrip(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	if err := r.put("k", strings.Repeat("x", 1000), nil); err != nil {
		t.Fatal(err)
	}
	r.Inject(faultproxy.Rule{Method: "GET", Path: regexp.MustCompile("k$"), After: 1, Times: 1, Do: faultproxy.Truncate{At: 300}})
	r.Inject(faultproxy.Rule{Method: "GET", Do: faultproxy.Strip{Request: []string{"Range"}, Response: []string{"ETag"}}})
	for i := range 3 {
		out, err := r.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bkt"), Key: aws.String("k"), Range: aws.String("bytes=0-1")})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(out.Body)
		_ = out.Body.Close()
		if (err != nil) != (i == 1) || err == nil && len(b) != 1000 || out.ETag != nil {
			t.Errorf("get %d: %d bytes, %v, ETag %v", i, len(b), err, out.ETag)
		}
	}
}

func TestHoldHangAndClose(t *testing.T) {
	r := newRig(t, faultproxy.Options{})
	until := make(chan struct{})
	r.Inject(faultproxy.Rule{Method: "PUT", Times: 1, Do: faultproxy.Hold{Until: until}})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.put("k", "hello", nil); err != nil {
			t.Error(err)
		}
	})
	for len(r.Log()) == 0 {
		<-time.After(time.Millisecond)
	}
	if c := r.truth(); len(c.Objects) != 0 {
		t.Errorf("held, but stored: %+v", c)
	}
	close(until)
	wg.Wait()
	r.ClearRules()
	r.Inject(faultproxy.Rule{Do: faultproxy.Hang{}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("bkt")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
	wg.Go(func() {
		if err := r.put("k2", "hello", nil); err == nil {
			t.Error("a closed proxy answered")
		}
	})
	for len(r.Log()) < 3 {
		<-time.After(time.Millisecond)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestUpstreamIsGone(t *testing.T) {
	p, err := faultproxy.Start(t.Context(), faultproxy.Options{Upstream: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.Endpoint()+"/bkt/k", bytes.NewReader([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	if resp, err := tr.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an answer from nobody")
	}
	if e := p.Log()[0]; e.Err == "" || e.Status != 0 {
		t.Errorf("log %+v", e)
	}
	if _, err := faultproxy.Start(t.Context(), faultproxy.Options{Upstream: "nonsense"}); err == nil {
		t.Error("nonsense accepted")
	}
}
