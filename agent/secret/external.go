package secret

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

const (
	secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	// validatorType is that of the settings of Envoy's validator of SPIFFE identities.
	validatorType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
	streamSecrets = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
	// served is how long the socket of another may take to accept a connection.
	served = 5 * time.Second
)

// Served tells whether somebody serves a Unix socket. A stale one, whose server has gone, is not served.
func Served(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, served)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was said on it
	return true
}

// follow takes the workload's certificate and roots from another's SDS, such as SPIRE's, which renews them, until
// ctx ends. While it is away the last ones serve.
func (m *Manager) follow(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		got, err := m.followOnce(ctx)
		if got {
			retry = firstRetry
		}
		wait := retry - rand.N(retry/2)
		retry = min(2*retry, lastRetry)
		if ctx.Err() != nil {
			return
		}
		m.metrics.failures.Inc()
		m.cfg.Logger.Warn("no workload certificate from the socket", "socket", m.cfg.Socket, "error", err, "retryIn", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// followOnce takes what one stream brings, and tells whether that was anything.
func (m *Manager) followOnce(ctx context.Context) (got bool, err error) {
	conn, err := grpc.NewClient("unix:"+m.cfg.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, streamSecrets)
	if err != nil {
		return false, err
	}
	req := &node.DiscoveryRequest{TypeUrl: secretType, ResourceNames: []string{Workload, Root}}
	for {
		if err := stream.SendMsg(req); err != nil {
			return got, errors.Join(err, stream.RecvMsg(&node.DiscoveryResponse{}))
		}
		resp := &node.DiscoveryResponse{}
		if err := stream.RecvMsg(resp); err != nil {
			return got, err
		}
		req.ResponseNonce, req.ErrorDetail = resp.GetNonce(), nil
		if err := m.take(resp); err != nil {
			m.cfg.Logger.Warn("a secret of the socket is refused", "socket", m.cfg.Socket, "error", err)
			req.ErrorDetail = &node.Status{Code: int32(codes.InvalidArgument), Message: err.Error()}
			continue
		}
		got, req.VersionInfo = true, resp.GetVersionInfo()
	}
}

// take takes all secrets of a response, or none.
func (m *Manager) take(resp *node.DiscoveryResponse) error {
	var cert, roots *Value
	var trust *node.CertificateValidationContext
	for _, r := range resp.GetResources() {
		s := &node.Secret{}
		if err := proto.Unmarshal(r.GetValue(), s); err != nil {
			return err
		}
		var err error
		switch s.GetName() {
		case Workload:
			cert, err = certificateOf(s.GetTlsCertificate())
		case Root:
			trust = s.GetValidationContext()
		}
		if err != nil {
			return fmt.Errorf("secret %q: %w", s.GetName(), err)
		}
	}
	m.mu.Lock()
	known := cmp.Or(cert, m.cert)
	m.mu.Unlock()
	if trust != nil {
		var err error
		if roots, err = rootsOf(trust, domainOf(known)); err != nil {
			return fmt.Errorf("secret %q: %w", Root, err)
		}
	}
	m.mu.Lock()
	if cert != nil {
		m.cert = cert
		m.metrics.expiry.Set(float64(cert.NotAfter.Unix()))
		m.cfg.Logger.Info("workload certificate from the socket", "notAfter", cert.NotAfter)
	}
	if roots != nil {
		m.roots = roots
	}
	m.mu.Unlock()
	m.notify()
	return nil
}

func certificateOf(c *node.TlsCertificate) (*Value, error) {
	chain, key := c.GetCertificateChain().GetInlineBytes(), c.GetPrivateKey().GetInlineBytes()
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	return &Value{Version: version(chain), CertificateChain: chain, PrivateKey: key, NotAfter: pair.Leaf.NotAfter}, nil
}

// domainOf gives the trust domain of a certificate; "" where there is none yet.
func domainOf(cert *Value) string {
	if cert == nil {
		return ""
	}
	block, _ := pem.Decode(cert.CertificateChain)
	if block == nil {
		return ""
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(leaf.URIs) != 1 {
		return ""
	}
	return leaf.URIs[0].Host
}

// rootsOf gives the roots of a domain by a validation context, or, where the domain is not known yet, of the only one
// that the context has. SPIRE puts those of its trust domain, and of those that it is federated with, into the
// settings of Envoy's validator of SPIFFE identities, unless it is told not to.
func rootsOf(c *node.CertificateValidationContext, domain string) (*Value, error) {
	roots := c.GetTrustedCa().GetInlineBytes()
	if v := c.GetCustomValidatorConfig().GetTypedConfig(); v.GetTypeUrl() == validatorType {
		config := &node.SPIFFECertValidatorConfig{}
		if err := proto.Unmarshal(v.GetValue(), config); err != nil {
			return nil, err
		}
		domains := config.GetTrustDomains()
		at := 0
		if domain != "" {
			at = slices.IndexFunc(domains, func(d *node.SPIFFECertValidatorConfig_TrustDomain) bool { return d.GetName() == domain })
		} else if len(domains) != 1 {
			at = -1
		}
		if at < 0 {
			return nil, fmt.Errorf("of %d trust domains none is known to be that of the certificate (%q)", len(domains), domain)
		}
		roots = domains[at].GetTrustBundle().GetInlineBytes()
	}
	if !x509.NewCertPool().AppendCertsFromPEM(roots) {
		return nil, errors.New("no certificate")
	}
	return &Value{Version: version(roots), Roots: roots}, nil
}
