package bucket

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signer is the SDK's SigV4 signer without its memory: that keeps the derived
// key by access key id and day alone, so a secret that is rotated under the
// same id would be wrong until midnight. Deriving it takes four small HMACs.
type signer struct{}

func (signer) fresh() *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // S3's paths are escaped once
}

// SignHTTP signs a request by header.
func (s signer) SignHTTP(
	ctx context.Context, c aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, opts ...func(*v4.SignerOptions),
) error {
	return s.fresh().SignHTTP(ctx, c, r, payloadHash, service, region, at, opts...)
}

// PresignHTTP signs a request by query.
func (s signer) PresignHTTP(
	ctx context.Context, c aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, opts ...func(*v4.SignerOptions),
) (string, http.Header, error) {
	return s.fresh().PresignHTTP(ctx, c, r, payloadHash, service, region, at, opts...)
}
