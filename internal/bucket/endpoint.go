package bucket

import (
	"context"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
)

// endpointMemory remembers where the SDK's rules lead to: for one bucket that
// is the same for each call, and the SDK asks twice in each.
type endpointMemory struct {
	rules s3.EndpointResolverV2

	mu    sync.Mutex
	known []resolved // a few: some operations bind other parameters; guarded by mu
}

type resolved struct {
	params   s3.EndpointParameters // without what differs between objects
	endpoint smithyendpoints.Endpoint
}

// maxEndpoints bounds what is remembered.
const maxEndpoints = 16

func newEndpointMemory() *endpointMemory {
	return &endpointMemory{rules: s3.NewDefaultEndpointResolverV2()}
}

// ResolveEndpoint implements s3.EndpointResolverV2. The rules for a bucket
// don't look at key and prefix.
func (m *endpointMemory) ResolveEndpoint(ctx context.Context, p s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	p.Key, p.Prefix = nil, nil
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.known {
		if reflect.DeepEqual(k.params, p) {
			return ownCopy(k.endpoint), nil
		}
	}
	endpoint, err := m.rules.ResolveEndpoint(ctx, p)
	if err != nil || len(m.known) == maxEndpoints {
		return endpoint, err
	}
	m.known = append(m.known, resolved{p, endpoint})
	return ownCopy(endpoint), nil
}

// ownCopy returns an endpoint that the SDK may change: it completes the
// authentication options in place.
func ownCopy(e smithyendpoints.Endpoint) smithyendpoints.Endpoint {
	out := smithyendpoints.Endpoint{URI: e.URI, Headers: e.Headers.Clone()}
	out.Properties.SetAll(&e.Properties)
	options, ok := smithyauth.GetAuthOptions(&e.Properties)
	if !ok {
		return out
	}
	own := make([]*smithyauth.Option, len(options))
	for i, o := range options {
		own[i] = &smithyauth.Option{SchemeID: o.SchemeID}
		own[i].IdentityProperties.SetAll(&o.IdentityProperties)
		own[i].SignerProperties.SetAll(&o.SignerProperties)
	}
	smithyauth.SetAuthOptions(&out.Properties, own)
	return out
}
