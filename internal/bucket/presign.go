package bucket

import (
	"context"
	"mime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"archiver/internal/fault"
)

// maxLink is the longest life of a presigned URL (S3 User Guide, "Download and
// upload objects with presigned URLs").
const maxLink = 7 * 24 * time.Hour

// Presign makes a link that lets whoever has it GET one object, at
// PublicEndpoint if that is set, without asking the store. versionID may be
// empty; filename, if not empty, is the name that browsers save it under. ttl
// is taken to lie between 1 s and 7 days. expiresAt is when the link ends:
// after ttl, or with temporary credentials when those do.
//
// The link is a secret. Errors: fault.Unauthorized if there are no
// credentials.
func (b *Bucket) Presign(ctx context.Context, key, versionID, filename string, ttl time.Duration) (link string, expiresAt time.Time, err error) {
	ttl = min(max(ttl, time.Second), maxLink).Truncate(time.Second)
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key, VersionId: optional(versionID)}
	if filename != "" {
		in.ResponseContentDisposition = optional(mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	}
	expiresAt = b.clock().Add(ttl)
	creds, err := b.creds.Retrieve(ctx)
	if err != nil {
		return "", time.Time{}, b.classify(ctx, "PresignGetObject", b.subject(key), err)
	}
	if creds.CanExpire && creds.Expires.Before(expiresAt) {
		expiresAt = creds.Expires
	}
	out, err := b.presigner.PresignGetObject(ctx, in, s3.WithPresignExpires(ttl), func(o *s3.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(o *s3.Options) { o.Credentials = fixed(creds) })
	})
	if err != nil {
		return "", time.Time{}, local("PresignGetObject", b.subject(key), fault.BadRequest, "the request can't be signed", "")
	}
	return out.URL, expiresAt, nil
}

// fixed hands out the credentials that the expiry was computed for.
func fixed(c aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
}
