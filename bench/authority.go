package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// serverName is what a control plane is called in its certificate.
const serverName = "istiod.istio-system.svc"

// authority signs with the key of the measured server's CA: the proxies' certificates, and the
// floor's own.
type authority struct {
	key  crypto.Signer
	root *x509.Certificate
	pool *x509.CertPool
}

// openAuthority reads the CA that the server has made in a directory.
func openAuthority(dir string) (*authority, error) {
	keyDER, err := readPEM(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		return nil, err
	}
	rootDER, err := readPEM(filepath.Join(dir, "root-cert.pem"))
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, fmt.Errorf("the server's CA: %w", err)
	}
	a := &authority{pool: x509.NewCertPool()}
	if a.root, err = x509.ParseCertificate(rootDER); err != nil {
		return nil, fmt.Errorf("the server's CA: %w", err)
	}
	a.pool.AddCert(a.root)
	var ok bool
	if a.key, ok = key.(crypto.Signer); !ok {
		return nil, fmt.Errorf("the server's CA has a key that cannot sign")
	}
	return a, nil
}

func readPEM(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block.Bytes, nil
}

// workload issues a proxy's certificate, with its SPIFFE identity.
func (a *authority) workload(namespace, account string) (*tls.Certificate, error) {
	id := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/" + namespace + "/sa/" + account}
	return a.issue(&x509.Certificate{URIs: []*url.URL{id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a *authority) issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Minute), now.Add(time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// client is the configuration of clients that trust the CA; each adds its certificate.
func (a *authority) client() *tls.Config {
	return &tls.Config{RootCAs: a.pool, ServerName: serverName, MinVersion: tls.VersionTLS13}
}

// The files with which the floor serves TLS.
const floorCert, floorKey, floorRoot = "floor-cert.pem", "floor-key.pem", "floor-root.pem"

// equipFloor writes a serving certificate for the floor into a directory.
func (a *authority) equipFloor(dir string) error {
	c, err := a.issue(&x509.Certificate{DNSNames: []string{serverName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write(floorCert, "CERTIFICATE", c.Certificate[0]), write(floorKey, "PRIVATE KEY", key),
		write(floorRoot, "CERTIFICATE", a.root.Raw))
}

// floorTLS is how the floor serves TLS: as the control plane does, it wants to know its clients.
func floorTLS(dir string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, floorCert), filepath.Join(dir, floorKey))
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(dir, floorRoot))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		return nil, fmt.Errorf("%s holds no certificate", floorRoot)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}, nil
}
