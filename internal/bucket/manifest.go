package bucket

import (
	"bytes"
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"

	"archiver/internal/fault"
)

// PutManifest writes a small JSON document at key: only if nothing is there
// (ifMatch ""), or only over the version with the ETag ifMatch. It returns the
// new ETag, as received. A manifest gets tags and encryption, but neither a
// lock nor a storage class: it must stay replaceable and readable. A lost
// answer is settled by reading: the same bytes in place are success.
//
// Errors: fault.Exists if something else is there and ifMatch is "",
// fault.Changed if what is there is not ifMatch's (or nothing is),
// fault.Temporary, fault.Unauthorized.
func (b *Bucket) PutManifest(ctx context.Context, key string, body []byte, ifMatch string) (etag string, err error) {
	caps := b.Capabilities()
	asked := ifMatch == "" && !caps.ConditionalPut || ifMatch != "" && !caps.ConditionalReplace
	if asked {
		if etag, done, err := b.manifestAlready(ctx, key, body, ifMatch); done {
			return etag, err
		}
	}
	in := &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, ContentType: aws.String("application/json"),
		ContentLength:        aws.Int64(int64(len(body))),
		ServerSideEncryption: types.ServerSideEncryption(b.opts.SSE),
		SSEKMSKeyId:          optional(b.opts.SSEKMSKeyID),
		Tagging:              b.tagging(),
		IfMatch:              optional(ifMatch),
	}
	if ifMatch == "" {
		in.IfNoneMatch = aws.String("*")
	}
	if b.sendsPutCRC() {
		in.ChecksumAlgorithm, in.ChecksumCRC64NVME = types.ChecksumAlgorithmCrc64nvme, encodeCRC(crc64nvme.Checksum(body))
	} else {
		in.ContentMD5 = md5Of(body) // small, and the bucket may have a default retention that asks for it
	}
	etag, fe := b.putForETag(ctx, in, body)
	if asked && fe != nil && notImplemented(fe) {
		in.IfNoneMatch, in.IfMatch = nil, nil
		etag, fe = b.putForETag(ctx, in, body)
	}
	switch {
	case fe != nil && unsure(fe.Kind):
		return b.settleManifest(ctx, key, body, ifMatch, fe)
	case fe != nil:
		return "", fe
	case etag == "":
		info, err := b.Head(ctx, key, "")
		return info.ETag, err
	}
	return etag, nil
}

// manifestAlready asks before a write whose condition the store may not
// honour; done says that nothing is left to write.
func (b *Bucket) manifestAlready(ctx context.Context, key string, body []byte, ifMatch string) (etag string, done bool, err error) {
	info, err := b.Head(ctx, key, "")
	switch kind := fault.KindOf(err); {
	case kind == fault.NotFound && ifMatch == "":
		return "", false, nil
	case kind == "" && ifMatch != "" && info.ETag == ifMatch:
		return "", false, nil
	case kind != "" && kind != fault.NotFound:
		return "", true, err
	}
	failed := local("PutObject", b.subject(key), fault.Exists, "the condition does not hold", "")
	etag, err = b.settleManifest(ctx, key, body, ifMatch, failed)
	return etag, true, err
}

func (b *Bucket) putForETag(ctx context.Context, in *s3.PutObjectInput, body []byte) (string, *fault.Error) {
	out, fe := b.putObject(ctx, in, body)
	if fe != nil {
		return "", fe
	}
	return aws.ToString(out.ETag), nil
}

// settleManifest finds out what a manifest's write came to that ended in
// cause: the answer was lost, or the condition failed, perhaps because an
// earlier attempt had succeeded.
func (b *Bucket) settleManifest(ctx context.Context, key string, body []byte, ifMatch string, cause *fault.Error) (string, error) {
	refused := *cause
	refused.Kind = fault.Exists
	if ifMatch != "" {
		refused.Kind = fault.Changed
	}
	rc, info, err := b.Get(ctx, key, "", 0, "")
	if err != nil {
		switch {
		case fault.KindOf(err) != fault.NotFound:
			return "", err
		case ifMatch != "":
			return "", &refused
		}
		return "", again(cause)
	}
	got, err := io.ReadAll(io.LimitReader(rc, int64(len(body))+1))
	if err := rc.Close(); err != nil {
		return "", err
	}
	switch {
	case err != nil:
		return "", err
	case bytes.Equal(got, body):
		return info.ETag, nil
	case ifMatch != "" && info.ETag == ifMatch:
		return "", again(cause)
	}
	return "", &refused
}
