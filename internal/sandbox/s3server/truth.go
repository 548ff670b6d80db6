package s3server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Contents is all that a bucket holds.
type Contents struct {
	Objects []Object // ordered by key
	Uploads []Upload // multipart uploads that are open
}

// Object is one object, read in full.
type Object struct {
	Key          string
	Size         int64  // bytes that were read
	SHA256       string // of them, lower-case hex
	ETag         string
	ContentType  string
	Metadata     map[string]string // names without x-amz-meta-
	CRC64NVME    string            // base64; "" unless the store has one
	LastModified time.Time
}

// Upload is a multipart upload that was neither completed nor aborted.
type Upload struct {
	Key       string
	UploadID  string
	Initiated time.Time
}

// Truth reads everything in a bucket of any S3 server, over a client such as
// NewClient returns: for what must hold of the world at the end of a test.
func Truth(ctx context.Context, client *s3.Client, bucket string) (Contents, error) {
	var c Contents
	objects := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket})
	for objects.HasMorePages() {
		page, err := objects.NextPage(ctx)
		if err != nil {
			return c, fmt.Errorf("truth of %s: %w", bucket, err)
		}
		for i := range page.Contents {
			o, err := read(ctx, client, bucket, *page.Contents[i].Key)
			if err != nil {
				return c, err
			}
			c.Objects = append(c.Objects, o)
		}
	}
	uploads := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	for uploads.HasMorePages() {
		page, err := uploads.NextPage(ctx)
		if err != nil {
			return c, fmt.Errorf("truth of %s: %w", bucket, err)
		}
		for _, u := range page.Uploads {
			c.Uploads = append(c.Uploads, Upload{Key: value(u.Key), UploadID: value(u.UploadId), Initiated: value(u.Initiated)})
		}
	}
	return c, nil
}

func read(ctx context.Context, client *s3.Client, bucket, key string) (Object, error) {
	// The checksum comes from HEAD: asked for with the bytes, the SDK would
	// refuse those that do not fit it, and hide what really lies there.
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return Object{}, fmt.Errorf("truth of %s/%s: %w", bucket, key, err)
	}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return Object{}, fmt.Errorf("truth of %s/%s: %w", bucket, key, err)
	}
	defer func() { _ = out.Body.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, out.Body)
	if err != nil {
		return Object{}, fmt.Errorf("truth of %s/%s: %w", bucket, key, err)
	}
	return Object{
		Key: key, Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), ETag: value(out.ETag), ContentType: value(out.ContentType),
		Metadata: out.Metadata, CRC64NVME: value(head.ChecksumCRC64NVME), LastModified: value(out.LastModified),
	}, nil
}

func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
