package faultproxy_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/minio/crc64nvme"

	"archiver/internal/sandbox/faultproxy"
	"archiver/internal/sandbox/s3server"
)

// rig is a real S3 server behind a proxy, and a client whose own keys are
// wrong: only the proxy's signature lets it in.
type rig struct {
	*faultproxy.Proxy
	*s3.Client
	t      *testing.T
	server *s3server.Server
	http   *http.Client
}

func newRig(t *testing.T, opts faultproxy.Options) *rig {
	t.Helper()
	srv, err := s3server.Start(t.Context(), s3server.Options{Dir: t.TempDir(), Buckets: []string{"bkt"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	opts.Upstream = srv.Endpoint()
	opts.AccessKey, opts.SecretKey = srv.Keys()
	p, err := faultproxy.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	r := &rig{Proxy: p, t: t, server: srv, http: &http.Client{Transport: tr}}
	r.Client = s3.New(s3.Options{
		BaseEndpoint: aws.String(p.Endpoint()), Region: "us-east-1", UsePathStyle: true, HTTPClient: r.http, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("nobody", "wrong", ""), RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := errors.Join(p.Close(), p.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
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

func (r *rig) put(key, body string, change func(*s3.PutObjectInput)) error {
	in := &s3.PutObjectInput{Bucket: aws.String("bkt"), Key: &key, Body: strings.NewReader(body)}
	if change != nil {
		change(in)
	}
	_, err := r.PutObject(r.t.Context(), in)
	return err
}

func (r *rig) truth() s3server.Contents {
	r.t.Helper()
	c, err := s3server.Truth(r.t.Context(), r.server.Client(), "bkt")
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) last() faultproxy.Entry {
	log := r.Log()
	return log[len(log)-1]
}

func withSum(b string) func(*s3.PutObjectInput) {
	return func(in *s3.PutObjectInput) { in.ChecksumCRC64NVME = sum([]byte(b)) }
}

// upload runs a multipart upload of these parts up to, not including, its
// completion.
func (r *rig) upload(key string, parts ...string) *s3.CompleteMultipartUploadInput {
	r.t.Helper()
	bucket := aws.String("bkt")
	up, err := r.CreateMultipartUpload(r.t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: &key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{}}
	for i, p := range parts {
		n := aws.Int32(int32(i + 1))
		out, err := r.UploadPart(r.t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: &key, UploadId: up.UploadId, PartNumber: n, Body: strings.NewReader(p), ChecksumCRC64NVME: sum([]byte(p))})
		if err != nil {
			r.t.Fatal(err)
		}
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{PartNumber: n, ETag: out.ETag, ChecksumCRC64NVME: sum([]byte(p))})
	}
	in.ChecksumCRC64NVME, in.ChecksumType = sum([]byte(strings.Join(parts, ""))), types.ChecksumTypeFullObject
	return in
}
