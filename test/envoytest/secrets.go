package envoytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Secrets are one key and its certificate under every name, and the roots that it is of: itself, but for those of As.
type Secrets struct {
	roots, certificate, key []byte
	others                  map[string]*Secrets // by the names that stand for them
	// served are those that the control plane serves by ADS; nil where it serves the same as the agent.
	served map[string]proto.Message
}

// NewSecrets makes a key and its certificate.
func NewSecrets(t testing.TB) *Secrets {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/test"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &Secrets{roots: certificate, certificate: certificate, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})}
}

// As gives the secrets of another workload of the same roots, whose identity is without spiffe://.
func (s *Secrets) As(t testing.TB, identity string) *Secrets {
	t.Helper()
	pair := s.Sign(t, identity, []string{"spiffe://" + identity}) // with a subject, as one like its issuer's is taken for a root
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return &Secrets{
		roots:       s.roots,
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// Each gives secrets under whose names of identities stand those of As.
func (s *Secrets) Each(t testing.TB, identities []string) *Secrets {
	t.Helper()
	out := *s
	out.others = map[string]*Secrets{}
	for _, id := range identities {
		out.others[id] = s.As(t, id)
	}
	return &out
}

// Beside gives the same secrets of the node agent, beside those of a control plane, which may be none but not nil.
func (s *Secrets) Beside(served map[string]proto.Message) *Secrets {
	out := *s
	out.served = served
	return &out
}

// OfControlPlane gives a secret that is served by ADS; nil for none.
func (s *Secrets) OfControlPlane(name string) proto.Message {
	if s.served == nil {
		return s.Named(name)
	}
	return s.served[name]
}

// Named gives what stands under a name, as the node agent does: the roots for the names of roots, with the
// revocation list of the file that the name has after "~", else key and certificate.
func (s *Secrets) Named(name string) *tls.Secret {
	if name == "ROOTCA" || strings.HasPrefix(name, "ROOTCA-with:") || strings.HasPrefix(name, "file-root:") || strings.HasSuffix(name, "-cacert") {
		roots := &tls.CertificateValidationContext{TrustedCa: inline(s.roots)}
		if _, list, ok := strings.Cut(name, "~"); ok {
			roots.Crl = &core.DataSource{Specifier: &core.DataSource_Filename{Filename: list}}
		}
		return &tls.Secret{Name: name, Type: &tls.Secret_ValidationContext{ValidationContext: roots}}
	}
	if other := s.others[name]; other != nil {
		s = other
	}
	return &tls.Secret{Name: name, Type: &tls.Secret_TlsCertificate{
		TlsCertificate: &tls.TlsCertificate{CertificateChain: inline(s.certificate), PrivateKey: inline(s.key)},
	}}
}

// serve answers what is asked for, once.
func (s *Secrets) serve(st secret.SecretDiscoveryService_StreamSecretsServer) error {
	var sent []string
	for {
		r, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if slices.Equal(r.GetResourceNames(), sent) {
			continue // an acknowledgement
		}
		sent = r.GetResourceNames()
		out := &discovery.DiscoveryResponse{TypeUrl: r.GetTypeUrl(), VersionInfo: "1", Nonce: "1"}
		for _, name := range sent {
			packed, err := anypb.New(s.Named(name))
			if err != nil {
				return err
			}
			out.Resources = append(out.Resources, packed)
		}
		if err := st.Send(out); err != nil {
			return err
		}
	}
}

func inline(b []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
}

// Pair gives key and certificate as a client of TLS shows them.
func (s *Secrets) Pair(t testing.TB) cryptotls.Certificate {
	t.Helper()
	pair, err := cryptotls.X509KeyPair(s.certificate, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// Revoke gives a list, in PEM, of the serial numbers that the roots revoke; those of Sign's certificates are
// SignedSerial.
func (s *Secrets) Revoke(t testing.TB, serials ...int64) []byte {
	t.Helper()
	issuer := s.Pair(t)
	parent, err := x509.ParseCertificate(issuer.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	parent.KeyUsage |= x509.KeyUsageCRLSign // which a certificate without key usages may
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: list.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, parent, issuer.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// SignedSerial is the serial number of every certificate of Sign.
const SignedSerial = 2

// Sign gives a certificate of the names, URIs and names of DNS, that whoever trusts the roots trusts.
func (s *Secrets) Sign(t testing.TB, subject string, names []string) cryptotls.Certificate {
	t.Helper()
	issuer := s.Pair(t)
	parent, err := x509.ParseCertificate(issuer.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(SignedSerial), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: subject}}
	for _, name := range names {
		if u, err := url.Parse(name); err == nil && u.Scheme != "" {
			c.URIs = append(c.URIs, u)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, issuer.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return cryptotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
