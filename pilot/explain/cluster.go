package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	proxyprotocol "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstream "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// defaultTimeout is Envoy's for a route that says nothing, and defaultConnectTimeout for a cluster.
const defaultTimeout, defaultConnectTimeout = 15 * time.Second, 5 * time.Second

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// forward goes on to the clusters and their servers.
func (w *walk) forward(f *Forward, http bool) {
	for i := range f.Clusters {
		w.cluster(&f.Clusters[i], f, http)
	}
	for i := range f.Clusters {
		if f.Clusters[i].Reason == "" {
			w.arrive(f, &f.Clusters[i], http)
			w.refuseNested(f, &f.Clusters[i])
		}
	}
	w.answer.Outcome.Forward = f
	w.settle(f, http)
}

// cluster fills in what a cluster makes of a request.
func (w *walk) cluster(c *Cluster, f *Forward, http bool) {
	m := w.Clusters[c.Name]
	if m == nil {
		c.Flags, c.Reason = "NC", fmt.Sprintf("the proxy has no cluster %s", c.Name)
		var near []string
		for _, n := range spelling.Nearest(c.Name, slices.Collect(maps.Keys(w.Clusters))) {
			near = append(near, "there is "+n)
		}
		w.step(StageCluster, c.Name, c.Reason, nil, near...)
		return
	}
	c.Subset = m.GetMetadata().GetFilterMetadata()["istio"].GetFields()["subset"].GetStringValue()
	c.Protocol, c.ConnectTimeout = string(TCP), defaultConnectTimeout
	if m.GetConnectTimeout() != nil {
		c.ConnectTimeout = m.GetConnectTimeout().AsDuration()
	}
	if http {
		c.Protocol = spoken(m, w.request.Protocol)
	}
	of, elsewhere := w.clusterPart(c.Name, c.Subset, source(m.GetMetadata()))
	w.stepOf(StageCluster, c.Name, describeCluster(m, f), of, slices.Concat(elsewhere, limits(m, http), w.patched(m, nil))...)
	c.Endpoints = w.endpoints(m)
	if name, why := w.awaitedUpstream(m); name != "" {
		c.Flags, c.Reason = "UF", fmt.Sprintf("TLS to cluster %s needs %s, which the proxy does not have (%s): no connection is made", c.Name, describeSecret(name), why)
		w.step(StageEndpoints, c.Name, c.Reason, nil)
		return
	}
	if len(c.Endpoints) == 1 && m.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		if why := w.nothingThere(c.Endpoints[0].Address); why != "" {
			c.Flags, c.Reason = "UF", why
			w.step(StageEndpoints, c.Name, c.Reason, nil)
			return
		}
	}
	if http && options(m).GetUpstreamHttpProtocolOptions().GetAutoSni() {
		nameServer(c.Endpoints, cmp.Or(c.Host, f.Host))
	}
	usable := slices.ContainsFunc(c.Endpoints, func(e Endpoint) bool { return e.Percent > 0 })
	if !usable {
		var by Part
		c.Flags = "UH"
		c.Reason, by = w.unserved(c)
		w.stepOf(StageEndpoints, c.Name, c.Reason, by)
		return
	}
	var lines []string
	for _, e := range c.Endpoints {
		lines = append(lines, describeEndpoint(e))
	}
	lines = append(lines, w.doubleTLSDetails(c, f)...)
	if slices.ContainsFunc(c.Endpoints, func(e Endpoint) bool { return e.TLS != "none" && !e.meshTLS }) {
		lines = append(lines, w.checks(m))
	}
	w.step(StageEndpoints, c.Name, fmt.Sprintf("%d to choose from", len(c.Endpoints)), nil, lines...)
}

// blackHole is Istio's cluster without endpoints.
const blackHole = "BlackHoleCluster"

// unserved says why a cluster has nobody to ask, and what asked for that.
func (w *walk) unserved(c *Cluster) (string, Part) {
	if names := w.unresolved(c.Name); c.Name != blackHole && len(c.Endpoints) == 0 && len(names) > 0 {
		return fmt.Sprintf("cluster %s has no endpoint: Envoy has resolved %s to no address", c.Name, strings.Join(names, ", ")), Part{}
	}
	if c.Name != blackHole {
		return fmt.Sprintf("cluster %s has no healthy endpoint", c.Name), Part{}
	}
	for _, l := range w.Listeners {
		if port(l.GetAddress()) == w.request.Destination.Port() && (l.GetName() == virtualOutbound || l.GetName() == virtualInbound) {
			return fmt.Sprintf("port %d is the proxy's own", port(l.GetAddress())), Part{}
		}
	}
	return "the destination is not known to the proxy, and outboundTrafficPolicy is REGISTRY_ONLY (BlackHole)", w.unknownPart()
}

func describeCluster(m *clusterv3.Cluster, f *Forward) string {
	if m.GetClusterType() != nil {
		return "goes to the host that is asked for, as DNS knows it"
	}
	kind := strings.ToLower(strings.ReplaceAll(m.GetType().String(), "_", " "))
	out := fmt.Sprintf("finds its endpoints by %s and balances by %s", kind, strings.ToLower(strings.ReplaceAll(m.GetLbPolicy().String(), "_", " ")))
	if !hashes(m) {
		return out
	}
	return out + " " + cmp.Or(strings.Join(f.Hash, " and "), "of nothing, so that any server may be chosen")
}

// hashes tells whether a cluster chooses servers by what a request has, or a connection.
func hashes(m *clusterv3.Cluster) bool {
	return m.GetLbPolicy() == clusterv3.Cluster_RING_HASH || m.GetLbPolicy() == clusterv3.Cluster_MAGLEV
}

func describeEndpoint(e Endpoint) string {
	out := e.Address
	if strings.HasPrefix(out, UnknownAddress+":") {
		out += " (which stands for the address that the client finds for the host)"
	}
	if who := cmp.Or(e.workload(), e.Workload); who != "" {
		out += " " + who
	}
	if e.Locality != "" {
		out += " in " + e.Locality
	}
	if e.Weight > 0 {
		out += fmt.Sprintf(", weight %d", e.Weight)
	}
	if e.LocalityWeight > 0 {
		out += fmt.Sprintf(", weight of the locality %d", e.LocalityWeight)
	}
	if e.Priority > 0 {
		out += fmt.Sprintf(", priority %d", e.Priority)
	}
	if e.Health != "" {
		out += ", " + e.Health
	}
	switch e.TLS {
	case "none":
		out += ", in the clear"
	case "mutual":
		out += ", mutual TLS"
	default:
		out += ", TLS"
	}
	if e.SNI != "" {
		out += " to " + e.SNI
	}
	if e.Proxy != "" {
		out += ", after the client's address by PROXY protocol " + e.Proxy
	}
	return out
}

// options gives a cluster's options of HTTP, which are empty where it has none.
func options(m *clusterv3.Cluster) *upstream.HttpProtocolOptions {
	o := &upstream.HttpProtocolOptions{}
	packed := m.GetTypedExtensionProtocolOptions()[httpOptions]
	if !packed.MessageIs(o) || packed.UnmarshalTo(o) != nil {
		return nil
	}
	return o
}

// nameServer asks for the request's host in TLS, as auto_sni does: without its port, and for no address.
func nameServer(endpoints []Endpoint, host string) {
	name, _ := splitPort(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return
	}
	for i := range endpoints {
		if e := &endpoints[i]; e.TLS != "none" {
			e.SNI = name
		}
	}
}

// spoken gives the version of HTTP that a cluster's servers are spoken to in.
func spoken(m *clusterv3.Cluster, client Protocol) string {
	switch o := options(m); {
	case o.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
		return "HTTP/2"
	case o.GetExplicitHttpConfig().GetHttp3ProtocolOptions() != nil:
		return "HTTP/3"
	case o.GetUseDownstreamProtocolConfig() != nil && (client == HTTP2 || client == HTTP3): // Envoy has no HTTP/3 for such
		return "HTTP/2"
	case o.GetAutoConfig() != nil:
		return "HTTP/1.1 or HTTP/2, as the server chooses"
	}
	return "HTTP/1.1"
}

// endpoints lists the servers of a cluster.
func (w *walk) endpoints(m *clusterv3.Cluster) []Endpoint {
	switch m.GetType() {
	case clusterv3.Cluster_ORIGINAL_DST:
		if w.request.Way == Direct {
			return nil // nothing redirected the connection, so that nothing says where it was sent
		}
		to := w.request.Destination
		if p := m.GetOriginalDstLbConfig().GetUpstreamPortOverride(); p != nil {
			to = netip.AddrPortFrom(to.Addr(), uint16(p.GetValue()))
		}
		out := w.behind(to)
		if len(out) == 0 {
			out = []Endpoint{{Address: to.String()}}
		}
		for i := range out {
			out[i].Percent = 100
			secure(m, nil, &out[i])
		}
		return out
	case clusterv3.Cluster_EDS:
		name := m.GetEdsClusterConfig().GetServiceName()
		if name == "" {
			name = m.GetName()
		}
		return assigned(m, w.Endpoints[name])
	}
	if m.GetClusterType() != nil {
		e := Endpoint{Address: w.dynamicHost(), Percent: 100}
		secure(m, nil, &e)
		if e.TLS != "none" && e.SNI == "" {
			e.SNI, _ = splitPort(e.Address) // auto_sni
		}
		return []Endpoint{e}
	}
	return w.behindNames(assigned(m, w.onlyResolved(m)))
}

// assigned lists the endpoints of a load assignment, with the shares of their priorities. Of several endpoints that have
// one address, Envoy keeps the first where the assignment is a resource of its own.
func assigned(m *clusterv3.Cluster, a *endpointv3.ClusterLoadAssignment) []Endpoint {
	var out []Endpoint
	healthy, all := map[uint32]int{}, map[uint32]int{}
	once, seen := m.GetType() == clusterv3.Cluster_EDS, map[string]bool{}
	for _, l := range a.GetEndpoints() {
		for _, lb := range l.GetLbEndpoints() {
			e := Endpoint{
				Address: address(lb.GetEndpoint().GetAddress()), Priority: l.GetPriority(), Locality: locality(l.GetLocality()),
				Workload: lb.GetMetadata().GetFilterMetadata()["istio"].GetFields()["workload"].GetStringValue(),
				Weight:   max(1, lb.GetLoadBalancingWeight().GetValue()), // of 1 where none is set
			}
			if once && seen[e.Address] {
				continue
			}
			seen[e.Address] = true
			if m.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil {
				e.LocalityWeight = l.GetLoadBalancingWeight().GetValue()
			}
			all[e.Priority]++
			switch s := lb.GetHealthStatus(); s {
			case core.HealthStatus_UNKNOWN, core.HealthStatus_HEALTHY:
				if !unweighted(m, l) {
					healthy[e.Priority]++
				}
			default:
				e.Health = strings.ToLower(s.String())
			}
			secure(m, lb, &e)
			out = append(out, e)
		}
	}
	if !slices.ContainsFunc(out, func(e Endpoint) bool { return e.Weight != out[0].Weight }) {
		for i := range out {
			out[i].Weight = 0 // all alike
		}
	}
	shares := loads(healthy, all, a.GetPolicy())
	for i := range out {
		if out[i].Health == "" {
			out[i].Percent = shares[out[i].Priority]
		}
	}
	return out
}

// unweighted tells whether a locality gets nothing, since the cluster goes by weights and it has none.
func unweighted(m *clusterv3.Cluster, l *endpointv3.LocalityLbEndpoints) bool {
	return m.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil && l.GetLoadBalancingWeight().GetValue() == 0
}

// defaultOverprovisioning is Envoy's factor, in percent: a priority keeps all until fewer than 1/1.4 of it are healthy.
const defaultOverprovisioning = 140

// loads gives each priority's share (Envoy's documentation, "Priority levels").
func loads(healthy, all map[uint32]int, p *endpointv3.ClusterLoadAssignment_Policy) map[uint32]float64 {
	factor := float64(defaultOverprovisioning)
	if o := p.GetOverprovisioningFactor(); o != nil {
		factor = float64(o.GetValue())
	}
	var order []uint32
	for n := range all {
		order = append(order, n)
	}
	slices.Sort(order)
	out, left := map[uint32]float64{}, 100.0
	for _, n := range order {
		out[n] = min(left, factor*float64(healthy[n])/float64(all[n]))
		left -= out[n]
	}
	return out
}

func locality(l *core.Locality) string {
	if l == nil {
		return ""
	}
	return strings.TrimRight(l.GetRegion()+"/"+l.GetZone()+"/"+l.GetSubZone(), "/")
}

// secure fills in how the connection to an endpoint is secured.
func secure(m *clusterv3.Cluster, lb *endpointv3.LbEndpoint, e *Endpoint) {
	socket := m.GetTransportSocket()
	marks := lb.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"].GetFields()
	for _, match := range m.GetTransportSocketMatches() {
		if covers(match.GetMatch().GetFields(), marks) {
			socket = match.GetTransportSocket()
			break
		}
	}
	e.TLS = "none"
	socket, e.Proxy = unwrapped(socket)
	ctx := &tlsv3.UpstreamTlsContext{}
	if !socket.GetTypedConfig().MessageIs(ctx) || socket.GetTypedConfig().UnmarshalTo(ctx) != nil {
		return
	}
	common := ctx.GetCommonTlsContext()
	e.TLS, e.SNI, e.ALPN = "simple", ctx.GetSni(), strings.Join(common.GetAlpnProtocols(), ",")
	if len(common.GetTlsCertificateSdsSecretConfigs())+len(common.GetTlsCertificates()) > 0 {
		e.TLS = "mutual"
	}
	e.meshTLS = slices.ContainsFunc(common.GetTlsCertificateSdsSecretConfigs(), func(s *tlsv3.SdsSecretConfig) bool { return s.GetName() == ir.SecretWorkload })
}

// covers tells whether an endpoint's marks hold all that a match asks for.
func covers(match, marks map[string]*structpb.Value) bool {
	for name, want := range match {
		if got := marks[name]; got == nil || got.GetStringValue() != want.GetStringValue() {
			return false
		}
	}
	return true
}

// unwrapped gives what a transport with the PROXY protocol has inside, and the version of that.
func unwrapped(socket *core.TransportSocket) (inner *core.TransportSocket, version string) {
	wrapper := &proxyprotocol.ProxyProtocolUpstreamTransport{}
	if !socket.GetTypedConfig().MessageIs(wrapper) || socket.GetTypedConfig().UnmarshalTo(wrapper) != nil {
		return socket, ""
	}
	return wrapper.GetTransportSocket(), strings.ToLower(wrapper.GetConfig().GetVersion().String())
}
