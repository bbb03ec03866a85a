package explain

import (
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// isInbound tells of what is for calls that come in to a workload, and of what gateways have no other of; isOutbound
// of all else. A gateway's listeners are both: what comes in there is routed, and policies decide about it.
func isInbound(m proto.Message) bool {
	switch m := m.(type) {
	case *listenerv3.Listener:
		return m.GetName() == virtualInbound
	case *clusterv3.Cluster:
		return strings.HasPrefix(m.GetName(), "inbound|")
	}
	return false
}

func isOutbound(m proto.Message) bool { return !isInbound(m) }

func isSecret(m proto.Message) bool {
	_, ok := m.(*tlsv3.Secret)
	return ok
}

// resourceName gives type and name; "" for what is no resource.
func resourceName(m proto.Message) string {
	switch m := m.(type) {
	case *listenerv3.Listener:
		return "listener " + m.GetName()
	case *routev3.RouteConfiguration:
		return "routes " + m.GetName()
	case *clusterv3.Cluster:
		return "cluster " + m.GetName()
	case *endpointv3.ClusterLoadAssignment:
		return "endpoints of " + m.GetClusterName()
	case *tlsv3.Secret:
		return "secret " + m.GetName()
	}
	return ""
}

// add notes a resource that differs, and what has to do with it. Either message may be nil.
func (f *focus) add(name string, a, b proto.Message, differences ...Difference) {
	f.resources = append(f.resources, Change{Resource: name, Differences: differences})
	some := a
	if some == nil {
		some = b
	}
	switch m := some.(type) {
	case *listenerv3.Listener:
		f.listeners[m.GetName()] = true
	case *routev3.RouteConfiguration:
		x, _ := a.(*routev3.RouteConfiguration)
		y, _ := b.(*routev3.RouteConfiguration)
		f.hosts[m.GetName()] = changedHosts(x, y)
	case *clusterv3.Cluster:
		f.clusters[m.GetName()] = true
	case *endpointv3.ClusterLoadAssignment:
		f.clusters[m.GetClusterName()] = true
		f.using(func(c *clusterv3.Cluster) bool { return c.GetEdsClusterConfig().GetServiceName() == m.GetClusterName() })
	case *tlsv3.Secret:
		f.using(func(c *clusterv3.Cluster) bool { return needsUpstream(c, m.GetName()) })
		for _, config := range []*Config{f.before, f.after} {
			for _, l := range config.Listeners {
				if needs(l, m.GetName()) {
					f.listeners[l.GetName()] = true
				}
			}
		}
	}
}

// using notes the clusters of either side that have to do with what differs.
func (f *focus) using(is func(*clusterv3.Cluster) bool) {
	for _, config := range []*Config{f.before, f.after} {
		for name, c := range config.Clusters {
			if is(c) {
				f.clusters[name] = true
			}
		}
	}
}

// needs tells whether TLS of a listener is set up by a secret.
func needs(l *listenerv3.Listener, secret string) bool {
	for _, chain := range append(l.GetFilterChains()[:len(l.GetFilterChains()):len(l.GetFilterChains())], l.GetDefaultFilterChain()) {
		ctx := &tlsv3.DownstreamTlsContext{}
		socket := chain.GetTransportSocket().GetTypedConfig()
		if socket.MessageIs(ctx) && socket.UnmarshalTo(ctx) == nil && setUpBy(ctx.GetCommonTlsContext(), secret) {
			return true
		}
	}
	return false
}

func needsUpstream(m *clusterv3.Cluster, secret string) bool {
	sockets := []*core.TransportSocket{m.GetTransportSocket()}
	for _, match := range m.GetTransportSocketMatches() {
		sockets = append(sockets, match.GetTransportSocket())
	}
	for _, socket := range sockets {
		socket, _ = unwrapped(socket)
		ctx := &tlsv3.UpstreamTlsContext{}
		if socket.GetTypedConfig().MessageIs(ctx) && socket.GetTypedConfig().UnmarshalTo(ctx) == nil && setUpBy(ctx.GetCommonTlsContext(), secret) {
			return true
		}
	}
	return false
}

// setUpBy tells whether TLS settings name a secret.
func setUpBy(t *tlsv3.CommonTlsContext, secret string) bool {
	for _, s := range t.GetTlsCertificateSdsSecretConfigs() {
		if s.GetName() == secret {
			return true
		}
	}
	return t.GetValidationContextSdsSecretConfig().GetName() == secret ||
		t.GetCombinedValidationContext().GetValidationContextSdsSecretConfig().GetName() == secret
}

// changedHosts gives the names of virtual hosts that two route configurations do not have alike; "" where they differ
// in what is for all.
func changedHosts(a, b *routev3.RouteConfiguration) map[string]bool {
	out := map[string]bool{}
	x, y := map[string]*routev3.VirtualHost{}, map[string]*routev3.VirtualHost{}
	for _, vh := range a.GetVirtualHosts() {
		x[vh.GetName()] = vh
	}
	for _, vh := range b.GetVirtualHosts() {
		y[vh.GetName()] = vh
		if !proto.Equal(x[vh.GetName()], vh) {
			out[vh.GetName()] = true
		}
	}
	for name := range x {
		if y[name] == nil {
			out[name] = true
		}
	}
	if a != nil && b != nil && !proto.Equal(bare(a), bare(b)) {
		out[""] = true
	}
	return out
}

// bare gives a route configuration without its virtual hosts.
func bare(m *routev3.RouteConfiguration) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{}
	out.ProtoReflect().SetUnknown(m.ProtoReflect().GetUnknown())
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Name() != "virtual_hosts" && m.ProtoReflect().Has(f) {
			out.ProtoReflect().Set(f, m.ProtoReflect().Get(f))
		}
	}
	return out
}
