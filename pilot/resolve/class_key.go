package resolve

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hash covers every field but Key, so that two outcomes never share a key. Every connection costs
// one, so the fields are written down by hand.
func (c *Class) hash() string {
	b := make(classBytes, 0, 512)
	b.texts(string(c.Type), c.Namespace, c.DNSDomain, c.ClusterID, c.Interception)
	b.texts(c.Network.Name, c.Network.View)
	b.flags(c.DNSCapture, c.HTTP10, c.LogService, c.LongPeer, c.IPv4, c.IPv6, c.Secrets, c.PassesMesh, c.Unprivileged, c.Topology.ProxyProtocol, c.Settings.QUIC, c.Settings.NameDenials, c.Settings.HTTP10)
	b.number(uint64(c.HTTPProxyPort))
	b.number(uint64(c.Topology.TrustedProxies))
	b.number(uint64(c.Settings.Underscores))
	b.texts(c.Topology.ClientCert)
	b.texts(c.Locality.Region, c.Locality.Zone, c.Locality.SubZone, c.Node)
	b.texts(c.NamesFrom.Region, c.NamesFrom.Zone, c.NamesFrom.SubZone, c.NamesFrom.Name, c.NamesFrom.View)
	b.number(uint64(len(c.FailoverLabels)))
	for _, l := range c.FailoverLabels {
		b.texts(l.Name, l.Value)
	}
	b.number(uint64(len(c.Inbound)))
	for i := range c.Inbound {
		in := &c.Inbound[i]
		b.keys(in.Service)
		b.texts(in.Host, in.Name, string(in.Protocol))
		b.number(uint64(in.Port))
		b.number(uint64(in.TargetPort))
		b.flags(in.Untranslated)
	}
	b.keys(c.Sidecar)
	b.keys(c.PeerAuthentications...)
	b.keys(c.Telemetry)
	b.keys(c.AuthorizationPolicies...)
	b.keys(c.RequestAuthentications...)
	b.keys(c.OutboundTokens...)
	b.keys(c.DestinationRules...)
	b.keys(c.Gateways...)
	b.number(uint64(len(c.UDPPorts)))
	for _, port := range c.UDPPorts {
		b.number(uint64(port.Port))
		b.number(uint64(port.TargetPort))
	}
	b.texts(c.SourceLabels...)
	b.number(uint64(len(c.Patches)))
	for _, p := range c.Patches {
		b.keys(p.Filter)
		b.texts(p.Held)
	}
	if c.Connections != (model.Connections{}) || c.Headers != (model.ProxyHeaders{}) { // few say anything
		b.texts(fmt.Sprintf("%+v", c.Connections), fmt.Sprintf("%+q", fmt.Sprint(c.Headers)))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// classBytes writes values so that different ones never give the same bytes: lists and texts
// stand after their length.
type classBytes []byte

func (b *classBytes) number(n uint64) { *b = binary.AppendUvarint(*b, n) }

func (b *classBytes) texts(texts ...string) {
	b.number(uint64(len(texts)))
	for _, t := range texts {
		b.number(uint64(len(t)))
		*b = append(*b, t...)
	}
}

func (b *classBytes) flags(flags ...bool) {
	for _, f := range flags {
		if f {
			b.number(1)
		} else {
			b.number(0)
		}
	}
}

func (b *classBytes) keys(keys ...model.Key) {
	b.number(uint64(len(keys)))
	for _, k := range keys {
		b.texts(string(k.Kind), k.Namespace, k.Name, k.Cluster)
	}
}
