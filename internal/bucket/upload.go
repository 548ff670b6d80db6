package bucket

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"archiver/internal/fault"
	"archiver/internal/state"
)

// CreateUpload opens a multipart upload for spec. All that the object gets,
// metadata, lock, tags and encryption, is fixed here. The call is made once.
//
// Errors: fault.Ambiguous if the answer was lost, so that an upload may be
// open at that key: ListUploads names it, AbortUpload ends it.
func (b *Bucket) CreateUpload(ctx context.Context, spec state.ObjectSpec) (uploadID string, err error) {
	in := &s3.CreateMultipartUploadInput{
		Bucket:               &b.name,
		Key:                  aws.String(spec.Key),
		ContentType:          optional(spec.ContentType),
		Metadata:             spec.Metadata,
		StorageClass:         types.StorageClass(b.opts.StorageClass),
		ServerSideEncryption: types.ServerSideEncryption(b.opts.SSE),
		SSEKMSKeyId:          optional(b.opts.SSEKMSKeyID),
		Tagging:              b.tagging(),
	}
	in.ObjectLockMode, in.ObjectLockRetainUntilDate = b.lock()
	if b.sendsPartCRC() {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc64nvme
	}
	if b.sendsWholeCRC() {
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	return b.create(ctx, in)
}

func (b *Bucket) create(ctx context.Context, in *s3.CreateMultipartUploadInput) (string, error) {
	out, err := b.client.CreateMultipartUpload(ctx, in, once)
	if err != nil {
		fe := b.classify(ctx, "CreateMultipartUpload", b.subject(*in.Key), err)
		if fe.Kind == fault.Temporary && (fe.Status == 0 || fe.Status == http.StatusInternalServerError || fe.Status < 300) {
			fe.Kind = fault.Ambiguous
		}
		return "", fe
	}
	if aws.ToString(out.UploadId) == "" {
		return "", local("CreateMultipartUpload", b.subject(*in.Key), fault.Ambiguous, "the answer names no upload", "")
	}
	return *out.UploadId, nil
}

// UploadPart sends part number (1 to 10,000; 5 MiB to 5 GiB but for the last
// one) with its CRC64NVME and returns its ETag, as received. The body is read
// once, straight onto the wire; a failed attempt reads it again.
//
// Errors: fault.Corrupt if the store got other bytes (by its refusal, or by
// the checksum that it answers with: CRC64NVME, or the CRC-64 that COS and OSS
// compute themselves), fault.NotFound if the upload is gone,
// fault.Temporary, fault.Unauthorized.
func (b *Bucket) UploadPart(ctx context.Context, key, uploadID string, number int32, body []byte, crc64nvme uint64) (etag string, err error) {
	var sum *string
	if b.sendsPartCRC() {
		sum = encodeCRC(crc64nvme)
	}
	out, fe := b.uploadPart(ctx, key, uploadID, number, body, sum)
	if fe != nil {
		return "", fe
	}
	subject := b.partSubject(key, number)
	if why := contradicts(wholeCRC(out.ChecksumCRC64NVME, ""), headerOf(out.ResultMetadata), crc64nvme, body); why != "" {
		return "", local("UploadPart", subject, fault.Corrupt, why, "")
	}
	if aws.ToString(out.ETag) == "" {
		return "", local("UploadPart", subject, fault.Temporary, "the answer has no ETag", "")
	}
	return *out.ETag, nil
}

func (b *Bucket) partSubject(key string, number int32) string {
	return fmt.Sprintf("%s part %d", b.subject(key), number)
}

// uploadPart sends one part, with crc64nvme (as the header has it) unless nil.
func (b *Bucket) uploadPart(ctx context.Context, key, uploadID string, number int32, body []byte, crc64nvme *string) (*s3.UploadPartOutput, *fault.Error) {
	in := &s3.UploadPartInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, PartNumber: &number,
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	}
	if crc64nvme != nil {
		in.ChecksumAlgorithm, in.ChecksumCRC64NVME = types.ChecksumAlgorithmCrc64nvme, crc64nvme
	} else if b.opts.LockMode != "" {
		in.ContentMD5 = md5Of(body)
	}
	lent, end := lend(ctx, body)
	defer end()
	out, err := b.client.UploadPart(lent, in)
	if err != nil {
		return nil, b.classify(ctx, "UploadPart", b.partSubject(key, number), err)
	}
	return out, nil
}

// ListParts returns what the store has of an upload, by number, with Number,
// Size, ETag, and CRC64NVME where the store says it (else 0). Errors:
// fault.NotFound if the upload is gone (completed or aborted).
func (b *Bucket) ListParts(ctx context.Context, key, uploadID string) ([]state.Part, error) {
	var parts []state.Part
	var marker *string
	for {
		out, err := b.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &b.name, Key: &key, UploadId: &uploadID, PartNumberMarker: marker})
		if err != nil {
			return nil, b.classify(ctx, "ListParts", b.subject(key), err)
		}
		for _, p := range out.Parts {
			sum, _ := decodeCRC(p.ChecksumCRC64NVME)
			parts = append(parts, state.Part{
				Number: aws.ToInt32(p.PartNumber), Size: aws.ToInt64(p.Size), ETag: aws.ToString(p.ETag), CRC64NVME: sum,
			})
		}
		if !aws.ToBool(out.IsTruncated) {
			return parts, nil
		}
		if next := aws.ToString(out.NextPartNumberMarker); next == "" || next == aws.ToString(marker) {
			return nil, local("ListParts", b.subject(key), fault.Temporary, "the listing does not go on after part "+strconv.Quote(next), "")
		}
		marker = out.NextPartNumberMarker
	}
}

// ListUploads returns every open multipart upload whose key starts with
// prefix, in the store's order.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) ([]state.UploadInfo, error) {
	var uploads []state.UploadInfo
	in := &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: optional(prefix)}
	for {
		out, err := b.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, b.classify(ctx, "ListMultipartUploads", b.subject(prefix), err)
		}
		for _, u := range out.Uploads {
			uploads = append(uploads, state.UploadInfo{
				Key: aws.ToString(u.Key), UploadID: aws.ToString(u.UploadId), Initiated: aws.ToTime(u.Initiated),
			})
		}
		if !aws.ToBool(out.IsTruncated) {
			return uploads, nil
		}
		key, id := aws.ToString(out.NextKeyMarker), aws.ToString(out.NextUploadIdMarker)
		if key == "" || key == aws.ToString(in.KeyMarker) && id == aws.ToString(in.UploadIdMarker) {
			return nil, local("ListMultipartUploads", b.subject(prefix), fault.Temporary, "the listing does not go on", "")
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

// abortAttempts bounds one AbortUpload, waits included, to a few seconds.
const abortAttempts = 5

// AbortUpload ends an upload and returns nil once it is gone, also if it was
// before. A part in flight may survive an abort (S3 API,
// AbortMultipartUpload), so it is repeated until ListParts finds nothing;
// fault.Temporary if parts are still there after a few rounds.
func (b *Bucket) AbortUpload(ctx context.Context, key, uploadID string) error {
	var failed error
	for attempt := range abortAttempts {
		if attempt > 0 {
			if err := b.wait(ctx, "AbortMultipartUpload", key, 100*time.Millisecond<<attempt); err != nil {
				return err
			}
		}
		_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &key, UploadId: &uploadID})
		if err != nil {
			fe := b.classify(ctx, "AbortMultipartUpload", b.subject(key), err)
			if fe.Kind == fault.NotFound {
				return nil
			}
			if failed = fe; fe.Kind == fault.Temporary { // a part in flight got in its way
				continue
			}
			return fe
		}
		switch _, err := b.ListParts(ctx, key, uploadID); fault.KindOf(err) {
		case fault.NotFound, fault.Unauthorized, fault.Rejected: // gone, or we may not look: the abort was accepted
			return nil
		case "":
		default:
			return err
		}
		failed = nil
	}
	if failed != nil {
		return failed
	}
	return local("AbortMultipartUpload", b.subject(key), fault.Temporary, "the upload is still there", "")
}

// wait pauses for d, or until ctx ends.
func (b *Bucket) wait(ctx context.Context, op, key string, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return b.classify(ctx, op, b.subject(key), ctx.Err())
	}
}

// CompleteUpload makes the object of its parts (ascending, each with Number,
// ETag and CRC64NVME), only if nothing is at the key, and asks for what is
// there afterwards: the info is a HEAD's. sums are the whole object's.
// Repeating the call is safe; an object that is there and is ours is success,
// and an upload that it leaves over is aborted.
//
// Errors: fault.Temporary if nothing happened and the upload is still open,
// fault.NotFound if the upload vanished without an object (upload again),
// fault.Exists if something else is at the key (the upload stays open, abort
// it), fault.Corrupt if the store refuses the parts or their checksum.
func (b *Bucket) CompleteUpload(ctx context.Context, spec state.ObjectSpec, uploadID string, parts []state.Part, sums state.Checksums) (state.ObjectInfo, error) {
	want := expected{op: "CompleteMultipartUpload", spec: spec, sums: sums, uploadID: uploadID, parts: len(parts)}
	asked := !b.Capabilities().ConditionalComplete
	if asked {
		if info, done, err := b.already(ctx, want); done {
			if err == nil {
				err = b.AbortUpload(ctx, spec.Key, uploadID)
			}
			return info, err
		}
	}
	in := b.completeInput(spec.Key, uploadID, spec.Size, parts, b.sendsPartCRC())
	in.IfNoneMatch = aws.String("*")
	if b.sendsWholeCRC() {
		in.ChecksumCRC64NVME, in.ChecksumType = encodeCRC(sums.CRC64NVME), types.ChecksumTypeFullObject
	}
	version, fe := b.complete(ctx, in)
	if asked && fe != nil && notImplemented(fe) {
		in.IfNoneMatch = nil
		version, fe = b.complete(ctx, in)
	}
	return b.settle(ctx, want, version, fe)
}

// completeInput is a Complete without condition and whole checksum.
func (b *Bucket) completeInput(key, uploadID string, size int64, parts []state.Part, withCRC bool) *s3.CompleteMultipartUploadInput {
	list := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		list[i] = types.CompletedPart{PartNumber: aws.Int32(p.Number), ETag: aws.String(p.ETag)}
		if withCRC {
			list[i].ChecksumCRC64NVME = encodeCRC(p.CRC64NVME)
		}
	}
	return &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, UploadId: &uploadID, MpuObjectSize: &size,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: list},
	}
}

// complete sends one Complete and returns the version that it made.
func (b *Bucket) complete(ctx context.Context, in *s3.CompleteMultipartUploadInput) (version string, fe *fault.Error) {
	out, err := b.client.CompleteMultipartUpload(ctx, in, b.slowly)
	if err != nil {
		return "", b.classify(ctx, "CompleteMultipartUpload", b.subject(*in.Key), err)
	}
	return aws.ToString(out.VersionId), nil
}
