package ca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"
)

// serverTTL is the lifetime of the control plane's own certificates.
const serverTTL = day

// ServerCertificate gives a tls.Config.GetCertificate for a server with these DNS names or IP
// addresses. The certificate is made on first use, renewed when half its life is over, and on a
// failed renewal kept as long as it is valid.
func (a *Authority) ServerCertificate(dnsNames []string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	var mu sync.Mutex
	var current *tls.Certificate
	var renewAt time.Time
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		now := a.opts.Clock()
		if current != nil && now.Before(renewAt) {
			return current, nil
		}
		next, err := a.newServerCertificate(dnsNames)
		if err != nil {
			if current != nil && now.Before(current.Leaf.NotAfter) {
				return current, nil
			}
			return nil, fmt.Errorf("server certificate: %w", err)
		}
		current = next
		renewAt = now.Add(next.Leaf.NotAfter.Sub(now) / 2)
		return current, nil
	}
}

func (a *Authority) newServerCertificate(names []string) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := a.template(serverTTL, key.Public())
	if err != nil {
		return nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := a.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	for _, c := range a.chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}
