package secret

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// requestTimeout bounds one request, the connection included.
const requestTimeout = 10 * time.Second

// createCertificate is the method of Istio's CA.
const createCertificate = "/istio.v1.auth.IstioCertificateService/CreateCertificate"

// client asks the CA. It connects anew for each request: requests are hours apart, and so a new
// root of trust or address counts at once.
type client struct{ cfg Config }

// issue makes a key and has the CA sign it. Where there is no token, the current certificate proves
// who asks.
func (c *client) issue(ctx context.Context, current *Value) (cert, roots *Value, err error) {
	key, keyPEM, csr, err := c.request()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	chain, err := c.call(ctx, csr, current)
	if err != nil {
		return nil, nil, err
	}
	return read(chain, key, keyPEM)
}

// request makes the key, which stays in memory, and the request for it.
func (c *client) request() (key crypto.Signer, keyPEM, csrPEM []byte, err error) {
	if c.cfg.RSAKeyBits > 0 {
		key, err = rsa.GenerateKey(rand.Reader, c.cfg.RSAKeyBits)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("private key: %w", err)
	}
	template := &x509.CertificateRequest{}
	if c.cfg.Identity != "" {
		id, err := url.Parse(c.cfg.Identity)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("identity: %w", err)
		}
		template.URIs = []*url.URL{id}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("certificate request: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("private key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), nil
}

func (c *client) call(ctx context.Context, csr []byte, current *Value) ([]string, error) {
	var token string
	var err error
	if c.cfg.Token != nil {
		if token, err = c.cfg.Token(); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
	}
	creds, err := c.credentials(token, current)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+c.cfg.Address,
		grpc.WithTransportCredentials(creds), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for name, value := range c.cfg.Headers {
		ctx = metadata.AppendToOutgoingContext(ctx, name, value)
	}
	if c.cfg.ClusterID != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "clusterid", c.cfg.ClusterID)
	}
	// A token must not cross the network in the clear.
	if token != "" && c.cfg.TLS != nil {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(token))
	}
	resp := &node.CertificateResponse{}
	err = conn.Invoke(ctx, createCertificate, &node.CertificateRequest{
		Csr: string(csr), ValidityDuration: int64(c.cfg.TTL / time.Second),
	}, resp)
	if err != nil {
		return nil, err
	}
	return resp.GetCertChain(), nil
}

func (c *client) credentials(token string, current *Value) (credentials.TransportCredentials, error) {
	if c.cfg.TLS == nil {
		return insecure.NewCredentials(), nil
	}
	settings := c.cfg.TLS
	if p := c.cfg.ProvisionedDir; p != "" && current == nil {
		settings = WithCertificate(settings, filepath.Join(p, certFile), filepath.Join(p, keyFile))
	}
	cfg, err := settings()
	if err != nil {
		return nil, err
	}
	if token == "" && current != nil {
		pair, err := tls.X509KeyPair(current.CertificateChain, current.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("current certificate: %w", err)
		}
		cfg = cfg.Clone()
		cfg.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(cfg), nil
}

// read checks the CA's answer (one PEM an element, leaf first, root last) before anybody uses it.
func read(chain []string, key crypto.Signer, keyPEM []byte) (cert, roots *Value, err error) {
	if len(chain) < 2 {
		return nil, nil, fmt.Errorf("the CA's answer has %d certificates, want leaf and root", len(chain))
	}
	rootPEM := []byte(chain[len(chain)-1])
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(rootPEM) {
		return nil, nil, errors.New("the CA's answer ends with no root certificate")
	}
	var leaf *x509.Certificate
	intermediates := x509.NewCertPool()
	var chainPEM []byte
	for i, c := range chain[:len(chain)-1] {
		block, _ := pem.Decode([]byte(c))
		if block == nil {
			return nil, nil, fmt.Errorf("element %d of the CA's answer is not PEM", i)
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("element %d of the CA's answer: %w", i, err)
		}
		if i == 0 {
			leaf = parsed
		} else {
			intermediates.AddCert(parsed)
		}
		chainPEM = append(chainPEM, pem.EncodeToMemory(block)...)
	}
	pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(key.Public()) {
		return nil, nil, errors.New("the CA's answer is for another key")
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("the CA's answer does not verify: %w", err)
	}
	return &Value{Version: version(chainPEM), CertificateChain: chainPEM, PrivateKey: keyPEM, NotAfter: leaf.NotAfter},
		&Value{Version: version(rootPEM), Roots: rootPEM}, nil
}
