package s3server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/minio/crc64nvme"

	"archiver/internal/sandbox/s3server"
)

func start(t *testing.T, opts s3server.Options) *s3server.Server {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	opts.Buckets = []string{"recordings"}
	s, err := s3server.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func crc(b []byte) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(b))))
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func truth(t *testing.T, s *s3server.Server) s3server.Contents {
	t.Helper()
	c, err := s3server.Truth(t.Context(), s.Client(), "recordings")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, c *s3.Client, key string, body []byte, sum *string, ifNoneMatch *string) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("recordings"), Key: &key, Body: bytes.NewReader(body), ChecksumCRC64NVME: sum,
		ContentType: aws.String("video/mp4"), Metadata: map[string]string{"archiver-tenant": "acme"}, IfNoneMatch: ifNoneMatch,
	})
	return err
}

func TestPut(t *testing.T) {
	for name, sidecar := range map[string]bool{"as the file system allows": false, "sidecar": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, s3server.Options{Sidecar: sidecar})
			body := []byte("hello, world")
			if err := put(t, s.Client(), "a/b c/ü+.mp4", body, crc(body), nil); err != nil {
				t.Fatal(err)
			}
			if err := put(t, s.Client(), "a/wrong.mp4", body, crc([]byte("x")), nil); code(err) != "BadDigest" {
				t.Errorf("a wrong CRC64NVME: %v", err)
			}
			if err := put(t, s.Client(), "a/b c/ü+.mp4", []byte("other"), nil, aws.String("*")); code(err) != "PreconditionFailed" {
				t.Errorf("If-None-Match: %v", err)
			}
			c := truth(t, s)
			if len(c.Objects) != 1 || len(c.Uploads) != 0 {
				t.Fatalf("bucket holds %+v", c)
			}
			sum := sha256.Sum256(body)
			o := c.Objects[0]
			if o.Key != "a/b c/ü+.mp4" || o.Size != 12 || o.SHA256 != hex.EncodeToString(sum[:]) || o.ContentType != "video/mp4" ||
				o.Metadata["archiver-tenant"] != "acme" || o.CRC64NVME != *crc(body) {
				t.Errorf("object %+v", o)
			}
			if b, err := os.ReadFile(filepath.Join(s.DataDir(), "recordings", o.Key)); err != nil || !bytes.Equal(b, body) {
				t.Errorf("on disk: %q, %v", b, err)
			}
		})
	}
}

func TestMultipart(t *testing.T) {
	s := start(t, s3server.Options{})
	client := s.Client()
	bucket, key := aws.String("recordings"), aws.String("big.mp4")
	parts := [][]byte{bytes.Repeat([]byte("a"), 5<<20), []byte("tail")}
	whole := bytes.Join(parts, nil)
	up, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: bucket, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		t.Fatal(err)
	}
	var done []types.CompletedPart
	for i, p := range parts {
		in := &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(p), ChecksumCRC64NVME: crc([]byte("x"))}
		if _, err := client.UploadPart(t.Context(), in); code(err) != "BadDigest" {
			t.Errorf("a wrong part checksum: %v", err)
		}
		in.Body, in.ChecksumCRC64NVME = bytes.NewReader(p), crc(p)
		out, err := client.UploadPart(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, types.CompletedPart{PartNumber: in.PartNumber, ETag: out.ETag, ChecksumCRC64NVME: in.ChecksumCRC64NVME})
	}
	if c := truth(t, s); len(c.Uploads) != 1 || c.Uploads[0].UploadID != *up.UploadId || c.Uploads[0].Key != "big.mp4" || len(c.Objects) != 0 {
		t.Errorf("while it is open: %+v", c)
	}
	complete := &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		ChecksumCRC64NVME: crc([]byte("x")), ChecksumType: types.ChecksumTypeFullObject,
	}
	if _, err := client.CompleteMultipartUpload(t.Context(), complete); code(err) != "BadDigest" {
		t.Errorf("a wrong whole checksum: %v", err)
	}
	complete.ChecksumCRC64NVME = crc(whole)
	if _, err := client.CompleteMultipartUpload(t.Context(), complete); err != nil {
		t.Fatal(err)
	}
	c := truth(t, s)
	if len(c.Uploads) != 0 || len(c.Objects) != 1 || c.Objects[0].Size != int64(len(whole)) || c.Objects[0].CRC64NVME != *crc(whole) {
		t.Errorf("at the end: %+v", c)
	}
}

func TestObjectLockAndVersions(t *testing.T) {
	s := start(t, s3server.Options{ObjectLock: true})
	client, until := s.Client(), time.Now().Add(time.Hour)
	out, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("recordings"), Key: aws.String("a"), Body: bytes.NewReader([]byte("1")), ChecksumCRC64NVME: crc([]byte("1")),
		ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &until,
	})
	if err != nil || out.VersionId == nil {
		t.Fatalf("put: %+v, %v", out, err)
	}
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("recordings"), Key: aws.String("a"), VersionId: out.VersionId}); err == nil {
		t.Error("a locked version was deleted")
	}
}

func TestStandardOutputStaysClean(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = out
	defer func() { os.Stdout = stdout }()
	for _, lock := range []bool{false, true} {
		s, err := s3server.Start(t.Context(), s3server.Options{Dir: t.TempDir(), Buckets: []string{"recordings"}, ObjectLock: lock, Sidecar: lock})
		if err != nil {
			t.Fatal(err)
		}
		if err := put(t, s.Client(), "k", []byte("x"), crc([]byte("y")), nil); code(err) != "BadDigest" {
			t.Errorf("put: %v", err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(out.Name()); err != nil || len(b) > 0 {
		t.Errorf("the gateway wrote %q, %v", b, err)
	}
}

func TestOneAtATimeAndAgain(t *testing.T) {
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := s3server.Start(t.Context(), s3server.Options{Dir: dir, Buckets: []string{"recordings"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s3server.Start(ctx, s3server.Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("a second server: %v", err)
	}
	if err := put(t, s.Client(), "kept", []byte("x"), nil, nil); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := put(t, s3server.NewClient(s.Endpoint(), "sandbox", "sandbox-secret"), "late", []byte("x"), nil, nil); err == nil {
		t.Error("a closed server answers")
	}
	if wd, err := os.Getwd(); err != nil || wd != before {
		t.Errorf("working directory %s, %v", wd, err)
	}
	if c := truth(t, start(t, s3server.Options{Dir: dir})); len(c.Objects) != 1 || c.Objects[0].Key != "kept" {
		t.Errorf("after a restart: %+v", c)
	}
	if _, err := s3server.Start(t.Context(), s3server.Options{}); err == nil {
		t.Error("no directory, but a server")
	}
}
