package resource

import (
	"crypto/sha256"
	"encoding/binary"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// redactedText stands in the place of a key, as in Envoy's own dumps.
const redactedText = "[redacted]"

// digest is the hash of a private resource, of which the bytes cannot be guessed as from a quick one.
func digest(value []byte) uint64 {
	sum := sha256.Sum256(value)
	return binary.BigEndian.Uint64(sum[:])
}

// redacted gives the envelope without the private key. What does not decode gives none of its bytes.
func (r *Resource) redacted() *anypb.Any {
	out := &anypb.Any{TypeUrl: r.Type.URL()}
	s := &tlsv3.Secret{}
	if proto.Unmarshal(r.envelope().GetValue(), s) != nil {
		return out
	}
	if pair := s.GetTlsCertificate(); pair != nil {
		pair.PrivateKey = &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: redactedText}}
	}
	if value, err := proto.Marshal(s); err == nil { // our own message
		out.Value = value
	}
	return out
}
