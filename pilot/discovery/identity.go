package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/tokenreview"
)

// authenticator knows callers by certificates of our CA, and by tokens where keys are configured.
func (p *plane) authenticator(authority *ca.Keeper, c *cluster) (*auth.Authenticator, error) {
	domain := p.store.Snapshot().Mesh().GetTrustDomain()
	cfg := auth.Config{TrustDomain: domain, Roots: authority.Roots, Revoked: authority.Revoked, MaxRenewal: p.cfg.MaxRenewal, Cluster: p.cfg.ClusterID}
	if c != nil { // first, so that who is known to this cluster is of this one, whoever else knows the token
		reviews, err := c.reviews()
		if err != nil {
			return nil, err
		}
		verifier := tokenreview.New(reviews, p.cfg.TokenAudiences, domain, nil)
		verifier.Own(c.cfg.Kube.BearerToken)
		cfg.Tokens = append(cfg.Tokens, verifier)
	}
	if p.cfg.TokenJWKS != "" || p.cfg.TokenIssuer != "" {
		tokens, err := auth.NewTokens(auth.TokenConfig{
			JWKSFile: p.cfg.TokenJWKS, Issuer: p.cfg.TokenIssuer, Audiences: p.cfg.TokenAudiences,
			TrustDomain: domain, Foreign: c != nil, Logger: p.cfg.Logger,
		})
		if err != nil {
			return nil, err
		}
		cfg.Tokens = append(cfg.Tokens, tokens)
	}
	if rule := p.cfg.JWTRule; rule != nil {
		tokens, err := auth.NewTokens(auth.TokenConfig{
			Issuer: rule.GetIssuer(), JWKSURI: rule.GetJwksUri(), Audiences: rule.GetAudiences(),
			TrustDomain: domain, Foreign: true, Logger: p.cfg.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("JWT_RULE: %w", err)
		}
		cfg.Tokens = append(cfg.Tokens, tokens)
	}
	return auth.New(cfg), nil
}

// reviews asks the API server about tokens, by a client of its own: client-go would let five questions a
// second through, and what the control plane writes would wait behind them.
func (c *cluster) reviews() (tokenreview.Reviews, error) {
	config := rest.CopyConfig(c.cfg.Kube)
	config.QPS = -1 // tokenreview bounds them
	client, err := kubeclient.New(config)
	if err != nil {
		return nil, err
	}
	return client.AuthenticationV1().TokenReviews(), nil
}

// authenticate tells the discovery server who calls.
func authenticate(a provers) xds.Authenticate {
	return func(ctx context.Context) (xds.Identity, error) {
		c, err := a.Authenticate(ctx)
		return xds.Identity{Namespace: c.Namespace, ServiceAccount: c.ServiceAccount, Pod: c.Pod, Foreign: c.Foreign}, err
	}
}

// callerOf tells the debug pages from which namespace a request comes. It takes the same proofs as
// gRPC, and nothing until gRPC is open.
func (p *plane) callerOf(r *http.Request) (namespace string, err error) {
	a := p.callers.Load()
	if a == nil {
		return "", errors.New("the control plane does not know its trust domain yet")
	}
	ctx := metadata.NewIncomingContext(r.Context(), metadata.MD{"authorization": r.Header.Values("Authorization")})
	if r.TLS != nil {
		ctx = peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: *r.TLS}})
	}
	id, err := a.Authenticate(ctx)
	return id.Namespace, err
}
