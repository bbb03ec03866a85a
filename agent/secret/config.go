// Package secret holds a workload's certificates on the node: it makes the key in memory, has the
// CA sign it, renews it in good time, and tells the SDS server (and whoever else asks) when a
// secret has changed. Mounted certificate files are served in the same way.
//
// Its back-off is three lines around a timer that also waits for files and roots, where a library would need
// more to be told when to begin again.
package secret

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says whom to ask for certificates, and how.
type Config struct {
	// Address of the CA, host:port.
	Address string
	// TLS gives the client's TLS settings for a new connection to the CA: root of trust and server
	// name; it is called for each connection. See ServerTLS. Nil means plaintext (tests).
	TLS func() (*tls.Config, error)
	// Token gives the bearer token, reread for each request; nil or an empty token sends none.
	Token func() (string, error)
	// Identity is the SPIFFE URI asked for. The CA signs what the token proves, whatever this says.
	Identity string
	// ClusterID goes into the request's metadata.
	ClusterID string
	// Headers are further metadata of the request (CA_HEADER_*).
	Headers map[string]string
	// TTL asked for; 24 h when zero.
	TTL time.Duration
	// GracePeriodRatio is the share of the lifetime that is left when a certificate is renewed, 0.5
	// when zero; GracePeriodJitter is added or taken away at random, 0.01 when zero (negative: none).
	GracePeriodRatio, GracePeriodJitter float64
	// RenewalSpread is the time within which a certificate is renewed when the CA has come to sign by another
	// key, at random so that agents do not come together; 30 s when zero.
	RenewalSpread time.Duration
	// RSAKeyBits asks for an RSA key of so many bits; zero means ECDSA P-256.
	RSAKeyBits int
	// Mounted are files that hold the workload's certificate, so that no CA is asked; nil for none.
	Mounted *Mounted
	// Socket is a Unix socket whose SDS gives the workload's certificate and roots, such as a SPIRE agent's, in the
	// place of the CA; empty for none.
	Socket string
	// CRLFile holds what the mesh's CA has revoked, in PEM; it need not be there. Empty for none.
	CRLFile string
	// ProvisionedDir is a directory with cert-chain.pem and key.pem, by which the workload proves itself
	// where there is no token, such as on a virtual machine; empty for none.
	ProvisionedDir string
	// OutputDir is a directory that is given the workload's certificate, key and roots whenever they
	// change, for programs that cannot ask by SDS; empty for none. Only there does a key get onto a disk.
	OutputDir string
	// Logger must not be nil. No key and no token is ever logged.
	Logger *slog.Logger
	// Registry takes the metrics istio_agent_*; nil for none.
	Registry prometheus.Registerer
}

// Mounted are PEM files with the workload's certificate chain, its key, and the roots of its peers.
type Mounted struct{ Cert, Key, Root string }

// The names of such files in a directory, which are Istio's.
const (
	certFile = "cert-chain.pem"
	keyFile  = "key.pem"
	rootFile = "root-cert.pem"
)

// MountedIn gives the files of a directory under their usual names.
func MountedIn(dir string) *Mounted {
	return &Mounted{Cert: filepath.Join(dir, certFile), Key: filepath.Join(dir, keyFile), Root: filepath.Join(dir, rootFile)}
}

// WithCertificate adds to a client's settings the certificate in two files, which are read anew for each
// connection. While they cannot be read there is none, and a token has to prove who is calling.
func WithCertificate(settings func() (*tls.Config, error), certFile, keyFile string) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		cfg, err := settings()
		if err != nil {
			return nil, err
		}
		if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
			cfg.Certificates = []tls.Certificate{pair}
		}
		return cfg, nil
	}
}

// ServerTLS gives settings for a client that verifies the control plane named serverName against
// the file roots, which is read anew on every call; the name "SYSTEM" stands for the
// machine's own roots.
func ServerTLS(roots, serverName string) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
		if roots == "SYSTEM" {
			return cfg, nil
		}
		pem, err := os.ReadFile(roots)
		if err != nil {
			return nil, fmt.Errorf("root certificate of the control plane: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("root certificate of the control plane: %s holds no PEM certificate", roots)
		}
		return cfg, nil
	}
}
