package secret

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
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
	roots, err := caCertificates(value)
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
	next := &Value{Version: version(all), Roots: all}
	m.mu.Lock()
	same := m.trust != nil && m.trust.Version == next.Version
	m.trust = next
	cert := m.cert
	m.mu.Unlock()
	if same {
		return nil
	}
	m.cfg.Logger.Info("roots of trust have changed", "roots", len(roots))
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

// caCertificates reads the one field of a ProxyConfig.
func caCertificates(value []byte) ([]string, error) {
	if len(value) > maxTrust {
		return nil, fmt.Errorf("longer than %d bytes", maxTrust)
	}
	var out []string
	for len(value) > 0 {
		num, typ, n := protowire.ConsumeTag(value)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		value = value[n:]
		if num != caCertificatesPEM || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, value); n < 0 {
				return nil, protowire.ParseError(n)
			}
			value = value[n:]
			continue
		}
		root, n := protowire.ConsumeString(value)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		out = append(out, root)
		value = value[n:]
	}
	return out, nil
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
	return &Value{Version: version(all), Roots: all}
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
