package traffic

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// certificates are those that placeholders of a case stand for, each made when it is named first. A name is one of DNS,
// with " of AUTHORITY" where it is not the authority "clients" that signs it.
type certificates struct {
	t           testing.TB
	authorities map[string]*envoytest.Authority
	pairs       map[string]envoytest.Pair
}

func newCertificates(t testing.TB) *certificates {
	return &certificates{t, map[string]*envoytest.Authority{}, map[string]envoytest.Pair{}}
}

func (c *certificates) authority(name string) *envoytest.Authority {
	if c.authorities[name] == nil {
		c.authorities[name] = envoytest.NewAuthority(c.t, name)
	}
	return c.authorities[name]
}

func (c *certificates) pair(name string) envoytest.Pair {
	p, ok := c.pairs[name]
	if !ok {
		host, signer, found := strings.Cut(name, " of ")
		if !found {
			signer = "clients"
		}
		p = c.authority(signer).Issue(int64(2+len(c.pairs)), host)
		c.pairs[name] = p
	}
	return p
}

// placeholder is CERT(NAME), KEY(NAME), CA(AUTHORITY), or CRL(NAME), which revokes NAME's certificate.
var placeholder = regexp.MustCompile(`\b(CERT|KEY|CA|CRL)\(([^)]*)\)`)

// fill puts what placeholders stand for in their place, as Secrets have it.
func (c *certificates) fill(input string) string {
	return placeholder.ReplaceAllStringFunc(input, func(text string) string {
		parts := placeholder.FindStringSubmatch(text)
		out, name := "", parts[2]
		switch parts[1] {
		case "CERT":
			out = c.pair(name).Cert
		case "KEY":
			out = c.pair(name).Key
		case "CA":
			out = c.authority(name).PEM
		case "CRL":
			out = c.authority("clients").Revoke(c.pair(name).Leaf.SerialNumber.Int64())
		}
		return base64.StdEncoding.EncodeToString([]byte(out))
	})
}

// keyed puts the keys back that resources do not show.
func (c *certificates) keyed(secrets map[string]proto.Message) map[string]proto.Message {
	out := map[string]proto.Message{}
	for name, m := range secrets {
		s := proto.Clone(m).(*tlsv3.Secret)
		if pair := s.GetTlsCertificate(); pair != nil {
			for _, p := range c.pairs {
				if chain := pair.GetCertificateChain(); chain.GetInlineString()+string(chain.GetInlineBytes()) == p.Cert {
					pair.PrivateKey = &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: p.Key}}
				}
			}
		}
		out[name] = s
	}
	return out
}
