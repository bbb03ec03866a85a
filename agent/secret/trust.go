package secret

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/proto/signer"
)

const (
	// caCertificatesPEM is the number of ProxyConfig.ca_certificates_pem in istio.mesh.v1alpha1, whose types
	// would make the agent larger.
	caCertificatesPEM protowire.Number = 34
	// maxTrust bounds a bundle of roots in bytes.
	maxTrust = 1 << 20
	// renewalSpread is the time within which agents renew certificates when the CA signs by another key, so
	// that they do not all come at once.
	renewalSpread = 30 * time.Second
)

// TakeTrust takes the roots that the control plane says peers are to be verified against, in a marshalled
// ProxyConfig of Istio's; nil says nothing, and leaves the former. From then on these count, and not those that
// came with the certificate. The first is the root of what the CA signs now: a certificate that leads to another
// one is renewed soon.
func (m *Manager) TakeTrust(value []byte) error {
	roots, domains, err := readTrust(value)
	if err != nil {
		return fmt.Errorf("trust bundle: %w", err)
	}
	if len(roots) == 0 {
		return nil
	}
	var all []byte
	for i, r := range roots {
		certs, err := normalized(r)
		if err != nil {
			return fmt.Errorf("trust bundle: root %d: %w", i, err)
		}
		all = append(all, certs...)
	}
	next := &Value{Version: versionOf(all, domains), Roots: all, Domains: domains}
	m.mu.Lock()
	same := m.trust != nil && m.trust.Version == next.Version
	m.trust = next
	cert := m.cert
	m.mu.Unlock()
	if same {
		return nil
	}
	m.cfg.Logger.Info("roots of trust have changed", "roots", len(roots), "domains", max(1, len(domains)))
	if cert != nil && m.cfg.Mounted == nil && !leadsTo(cert, roots[0]) {
		select {
		case m.due <- struct{}{}:
		default:
		}
	}
	m.notify()
	return nil
}

// untilDue is when a certificate is renewed that the CA would sign by another key now.
func (m *Manager) untilDue() time.Duration { return rand.N(m.cfg.RenewalSpread) }

// Trusting adds to a client's settings the roots that the control plane told of, beside those of the settings.
// Settings without roots, for which the machine's count, stay as they are.
func (m *Manager) Trusting(settings func() (*tls.Config, error)) func() (*tls.Config, error) {
	if settings == nil {
		return nil
	}
	return func() (*tls.Config, error) {
		cfg, err := settings()
		if err != nil || cfg.RootCAs == nil {
			return cfg, err
		}
		m.mu.Lock()
		trust := m.trust
		m.mu.Unlock()
		if trust != nil {
			cfg = cfg.Clone()
			cfg.RootCAs = cfg.RootCAs.Clone()
			cfg.RootCAs.AppendCertsFromPEM(trust.Roots)
		}
		return cfg, nil
	}
}

// readTrust reads the roots and the trust domains of a ProxyConfig.
func readTrust(value []byte) (roots []string, _ []Domain, err error) {
	if len(value) > maxTrust {
		return nil, nil, fmt.Errorf("longer than %d bytes", maxTrust)
	}
	domains := map[string]Domain{}
	for len(value) > 0 {
		num, typ, n := protowire.ConsumeTag(value)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		value = value[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, value); n < 0 {
				return nil, nil, protowire.ParseError(n)
			}
			value = value[n:]
			continue
		}
		field, n := protowire.ConsumeBytes(value)
		if n < 0 {
			return nil, nil, protowire.ParseError(n)
		}
		value = value[n:]
		switch num {
		case caCertificatesPEM:
			roots = append(roots, string(field))
		case proxyMetadata:
			d, err := readDomain(field)
			if err != nil {
				return nil, nil, err
			}
			if d != nil {
				domains[d.Name] = *d
			}
		}
	}
	return roots, domainsOf(domains), nil
}

// normalized gives certificates in PEM without anything around them.
func normalized(text string) ([]byte, error) {
	var out []byte
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})...)
	}
	if out == nil {
		return nil, errors.New("no certificate in PEM")
	}
	return out, nil
}

// union gives the roots of a, and those of b that a lacks.
func union(a, b *Value) *Value {
	all := slices.Clone(a.Roots)
	for block, rest := pem.Decode(b.Roots); block != nil; block, rest = pem.Decode(rest) {
		if root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); !bytes.Contains(all, root) {
			all = append(all, root...)
		}
	}
	if len(all) == len(a.Roots) {
		return a
	}
	return &Value{Version: versionOf(all, a.Domains), Roots: all, Domains: a.Domains}
}

// Signer gives the fingerprint of the first of the mesh's roots by which the workload's certificate verifies, "" for
// none.
func (m *Manager) Signer() string {
	cert, roots := m.WorkloadCertificate(), m.Roots()
	if cert == nil || roots == nil {
		return ""
	}
	for block, rest := pem.Decode(roots.Roots); block != nil; block, rest = pem.Decode(rest) {
		if leadsTo(cert, string(pem.EncodeToMemory(block))) {
			return signer.Fingerprint(block.Bytes)
		}
	}
	return ""
}

// TellSigner tells Signer whenever it is another one, until ctx ends.
func (m *Manager) TellSigner(ctx context.Context, tell func(root string)) error {
	for {
		changed := m.Changed()
		tell(m.Signer())
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// leadsTo tells whether a certificate verifies against a root.
func leadsTo(cert *Value, root string) bool {
	pool, intermediates := x509.NewCertPool(), x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(root))
	var leaf *x509.Certificate
	for block, rest := pem.Decode(cert.CertificateChain); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return false
		case leaf == nil:
			leaf = c
		default:
			intermediates.AddCert(c)
		}
	}
	if leaf == nil {
		return false
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}
