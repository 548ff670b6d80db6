package bucket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// credentialSource hands out the credentials for each request, and knows the
// last ones so that they can be kept out of errors.
type credentialSource struct {
	ask   func() (id, secret string, err error) // nil: chain
	chain aws.CredentialsProvider               // nil: ask

	mu   sync.Mutex
	last aws.Credentials // guarded by mu
}

func newCredentialSource(ctx context.Context, ask func() (string, string, error), region string) (*credentialSource, error) {
	if ask != nil {
		id, _, err := ask()
		if err != nil {
			return nil, fmt.Errorf("bucket: credentials: %w", err)
		}
		if id != "" {
			return &credentialSource{ask: ask}, nil
		}
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("bucket: the AWS SDK's configuration: %w", err)
	}
	return &credentialSource{chain: cfg.Credentials}, nil
}

// errCredentials marks that the credentials, not the store, are the trouble.
var errCredentials = errors.New("no credentials")

// Retrieve returns the credentials as they are now.
func (s *credentialSource) Retrieve(ctx context.Context) (aws.Credentials, error) {
	var c aws.Credentials
	var err error
	if s.ask != nil {
		c.AccessKeyID, c.SecretAccessKey, err = s.ask()
		c.Source = "archiver"
		if err == nil && (c.AccessKeyID == "" || c.SecretAccessKey == "") {
			err = errors.New("access_key_id or secret_access_key is empty")
		}
	} else {
		c, err = s.chain.Retrieve(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		return c, fmt.Errorf("%w: %w", errCredentials, err)
	}
	s.mu.Lock()
	s.last = c
	s.mu.Unlock()
	return c, nil
}

// redact removes the last credentials from a text of foreign origin.
func (s *credentialSource) redact(text string) string {
	s.mu.Lock()
	c := s.last
	s.mu.Unlock()
	for _, secret := range []string{c.SecretAccessKey, c.SessionToken, c.AccessKeyID} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "<secret>")
		}
	}
	return text
}
