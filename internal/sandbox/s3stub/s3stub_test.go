package s3stub_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/minio/crc64nvme"

	"archiver/internal/sandbox/content"
	"archiver/internal/sandbox/s3stub"
	"archiver/internal/sandbox/tlscert"
)

type stub struct {
	*s3stub.Server
	*s3.Client
}

func start(t *testing.T, opts s3stub.Options, change ...func(*s3.Options)) stub {
	t.Helper()
	opts.Buckets = []string{"b"}
	s, err := s3stub.Start(t.Context(), "", opts)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	o := s3.Options{
		BaseEndpoint: aws.String(s.Endpoint()), Region: "us-east-1", UsePathStyle: true, HTTPClient: &http.Client{Transport: tr},
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""), RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		Retryer: aws.NopRetryer{},
	}
	for _, f := range change {
		f(&o)
	}
	return stub{s, s3.New(o)}
}

func sum(b []byte) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(b))))
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func (s stub) put(ctx context.Context, key string, b []byte, change func(*s3.PutObjectInput)) error {
	in := &s3.PutObjectInput{Bucket: aws.String("b"), Key: &key, Body: bytes.NewReader(b), ContentType: aws.String("video/mp4"), Metadata: map[string]string{"who": "me"}}
	if change != nil {
		change(in)
	}
	_, err := s.PutObject(ctx, in)
	return err
}

func TestPutHeadGetDelete(t *testing.T) {
	s := start(t, s3stub.Options{})
	ctx, small, large := t.Context(), []byte("manifest"), bytes.Repeat([]byte("x"), 1<<20+1)
	withSum := func(b []byte) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) { in.ChecksumCRC64NVME = sum(b) }
	}
	if err := s.put(ctx, "small", small, withSum(large)); code(err) != "BadDigest" {
		t.Errorf("a wrong checksum: %v", err)
	}
	if err := errors.Join(s.put(ctx, "small", small, withSum(small)), s.put(ctx, "d/large", large, nil)); err != nil {
		t.Fatal(err)
	}
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("d/large"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentLength != int64(len(large)) || *head.ChecksumCRC64NVME != *sum(large) || head.ChecksumType != types.ChecksumTypeFullObject ||
		*head.ContentType != "video/mp4" || head.Metadata["who"] != "me" {
		t.Errorf("head %+v", head)
	}
	out, err := s.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("small"), Range: aws.String("bytes=2-4")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Body.Close() }()
	if b, err := io.ReadAll(out.Body); string(b) != "nif" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := s.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("d/large")}); code(err) != "NotImplemented" {
		t.Errorf("get of a large one: %v", err)
	}
	list, err := s.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("b"), Prefix: aws.String("d/")})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "d/large" {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := s.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("b"), Key: aws.String("small")}); err != nil {
		t.Error(err)
	}
	if _, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("small")}); code(err) != "NotFound" {
		t.Errorf("head of a deleted one: %v", err)
	}
	if _, err := s.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("b")}); err != nil {
		t.Error(err)
	}
	if _, err := s.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("other")}); code(err) != "NotFound" {
		t.Errorf("another bucket: %v", err)
	}
	if st := s.Stats(); st.Requests["PutObject"] != 3 || st.Refused["BadDigest"] != 1 || st.Bytes != int64(2*len(small)+len(large)) {
		t.Errorf("stats %+v", st)
	}
}

func TestKeepsWhatItIsTold(t *testing.T) {
	s := start(t, s3stub.Options{Keep: 4})
	for key, kept := range map[string]bool{"four": true, "fiver": false} {
		if err := s.put(t.Context(), key, []byte(key), nil); err != nil {
			t.Fatal(err)
		}
		out, err := s.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("b"), Key: &key})
		if (err == nil) != kept || !kept && code(err) != "NotImplemented" {
			t.Errorf("get of %d bytes: %v", len(key), err)
		}
		if err == nil {
			_ = out.Body.Close()
		}
	}
}

func TestConditions(t *testing.T) {
	s := start(t, s3stub.Options{})
	ctx := t.Context()
	cond := func(match, none string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) {
			if match != "" {
				in.IfMatch = &match
			}
			if none != "" {
				in.IfNoneMatch = &none
			}
		}
	}
	if err := s.put(ctx, "k", []byte("1"), cond("", "*")); err != nil {
		t.Error(err)
	}
	if err := s.put(ctx, "k", []byte("2"), cond("", "*")); code(err) != "PreconditionFailed" {
		t.Errorf("If-None-Match: %v", err)
	}
	if err := s.put(ctx, "k", []byte("2"), cond(`"x"`, "")); code(err) != "PreconditionFailed" {
		t.Errorf("If-Match: %v", err)
	}
	if err := s.put(ctx, "none", []byte("2"), cond(`"x"`, "")); code(err) != "NoSuchKey" {
		t.Errorf("If-Match on nothing: %v", err)
	}
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.put(ctx, "k", []byte("2"), cond(*head.ETag, "")); err != nil {
		t.Errorf("If-Match on what is there: %v", err)
	}
}

// session is an open upload with what was acknowledged.
type session struct {
	stub
	id   *string
	done []types.CompletedPart
}

func (s stub) open(t *testing.T, key string) *session {
	t.Helper()
	up, err := s.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: aws.String("b"), Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		t.Fatal(err)
	}
	if up.ChecksumType != types.ChecksumTypeFullObject {
		t.Errorf("checksum type %q", up.ChecksumType)
	}
	return &session{stub: s, id: up.UploadId}
}

func (u *session) part(t *testing.T, n int32, b []byte) {
	t.Helper()
	out, err := u.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: aws.String("b"), Key: aws.String("k"), UploadId: u.id, PartNumber: &n, Body: bytes.NewReader(b), ChecksumCRC64NVME: sum(b)})
	if err != nil {
		t.Fatal(err)
	}
	u.done = append(u.done, types.CompletedPart{PartNumber: &n, ETag: out.ETag, ChecksumCRC64NVME: out.ChecksumCRC64NVME})
}

func (u *session) complete(ctx context.Context, parts []types.CompletedPart, whole *string, size *int64) (*s3.CompleteMultipartUploadOutput, error) {
	return u.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String("b"), Key: aws.String("k"), UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		ChecksumCRC64NVME: whole, ChecksumType: types.ChecksumTypeFullObject, MpuObjectSize: size,
	})
}

func TestMultipart(t *testing.T) {
	s := start(t, s3stub.Options{MinPart: 1000})
	ctx, whole := t.Context(), make([]byte, 3777)
	if _, err := content.Generate(1, 3777).ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	u := s.open(t, "k")
	bad := &s3.UploadPartInput{Bucket: aws.String("b"), Key: aws.String("k"), UploadId: u.id, PartNumber: aws.Int32(1), Body: bytes.NewReader(whole), ChecksumCRC64NVME: sum(nil)}
	if _, err := u.UploadPart(ctx, bad); code(err) != "BadDigest" {
		t.Errorf("a wrong part: %v", err)
	}
	for n, cut := range [][2]int{{0, 1000}, {1000, 2500}, {2500, 3777}} {
		u.part(t, int32(n+1), whole[cut[0]:cut[1]])
	}
	wrong := slices.Clone(u.done)
	wrong[1].ChecksumCRC64NVME = sum(nil)
	swapped := []types.CompletedPart{u.done[1], u.done[0], u.done[2]}
	for name, tt := range map[string]struct {
		parts []types.CompletedPart
		sum   *string
		size  *int64
		want  string
	}{
		"wrong sum": {u.done, sum(nil), nil, "BadDigest"}, "wrong size": {u.done, sum(whole), aws.Int64(5), "InvalidRequest"},
		"wrong part sum": {wrong, nil, nil, "InvalidPart"}, "swapped": {swapped, nil, nil, "InvalidPartOrder"},
		"no such part": {append(slices.Clone(u.done), types.CompletedPart{PartNumber: aws.Int32(9), ETag: aws.String("x")}), nil, nil, "InvalidPart"},
		"none":         {nil, nil, nil, "MalformedXML"},
	} {
		if _, err := u.complete(ctx, tt.parts, tt.sum, tt.size); code(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	page, err := s.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("b"), Key: aws.String("k"), UploadId: u.id, MaxParts: aws.Int32(2)})
	if err != nil || len(page.Parts) != 2 || !*page.IsTruncated || *page.Parts[1].ChecksumCRC64NVME != *sum(whole[1000:2500]) {
		t.Fatalf("parts %+v, %v", page, err)
	}
	page, err = s.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("b"), Key: aws.String("k"), UploadId: u.id, PartNumberMarker: page.NextPartNumberMarker})
	if err != nil || len(page.Parts) != 1 || *page.Parts[0].PartNumber != 3 || *page.Parts[0].Size != 1277 {
		t.Errorf("second page %+v, %v", page, err)
	}
	out, err := u.complete(ctx, u.done, sum(whole), aws.Int64(3777))
	if err != nil || *out.ChecksumCRC64NVME != *sum(whole) || out.ChecksumType != types.ChecksumTypeFullObject {
		t.Fatalf("complete %+v, %v", out, err)
	}
	if _, err := u.complete(ctx, u.done, nil, nil); code(err) != "NoSuchUpload" {
		t.Errorf("completed twice: %v", err)
	}
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || *head.ChecksumCRC64NVME != *sum(whole) || *head.ContentLength != 3777 {
		t.Errorf("head %+v, %v", head, err)
	}
}

func TestSmallPartsAndAbort(t *testing.T) {
	s := start(t, s3stub.Options{})
	u := s.open(t, "k")
	u.part(t, 1, []byte("a"))
	u.part(t, 2, []byte("b"))
	if _, err := u.complete(t.Context(), u.done, nil, nil); code(err) != "EntityTooSmall" {
		t.Errorf("small parts: %v", err)
	}
	list, err := s.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("b"), Prefix: aws.String("k")})
	if err != nil || len(list.Uploads) != 1 || *list.Uploads[0].UploadId != *u.id {
		t.Errorf("uploads %+v, %v", list, err)
	}
	if _, err := s.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: aws.String("b"), Key: aws.String("k"), UploadId: u.id}); err != nil {
		t.Error(err)
	}
	list, err = s.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("b")})
	if err != nil || len(list.Uploads) != 0 {
		t.Errorf("after abort: %+v, %v", list, err)
	}
}

// Over TLS the SDK puts its own checksum behind the body, in frames.
func TestTLSAndTrailingChecksum(t *testing.T) {
	pair, err := tlscert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pair.Pool}}
	defer tr.CloseIdleConnections()
	s := start(t, s3stub.Options{TLS: pair.Server, Latency: time.Microsecond, Rate: 1 << 30}, func(o *s3.Options) {
		o.HTTPClient = &http.Client{Transport: tr}
	})
	b := bytes.Repeat([]byte("0123456789"), 50_000)
	err = s.put(t.Context(), "k", b, func(in *s3.PutObjectInput) {
		in.ChecksumAlgorithm, in.Body = types.ChecksumAlgorithmCrc64nvme, bytes.NewReader(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || *head.ContentLength != int64(len(b)) || *head.ChecksumCRC64NVME != *sum(b) {
		t.Errorf("head %+v, %v", head, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Endpoint()+"/b/raw", strings.NewReader("3\r\nabc\r\n0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong trailing checksum: %d", resp.StatusCode)
	}
}

func BenchmarkUploadPart(b *testing.B) {
	s, err := s3stub.Start(b.Context(), "", s3stub.Options{Buckets: []string{"b"}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const size = 64 << 20
	part := make([]byte, size)
	tr := &http.Transport{WriteBufferSize: 256 << 10}
	defer tr.CloseIdleConnections()
	b.SetBytes(size)
	for range b.N {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, s.Endpoint()+"/b/k", bytes.NewReader(part))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}
