package envoy

import (
	"net/netip"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	dynamiccluster "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	dnscache "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	setfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	dynamichttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	httpfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	dynamicsni "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	cel "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/cel/v3"
	upstreamip "github.com/envoyproxy/go-control-plane/envoy/extensions/rbac/matchers/upstream_ip_port/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const (
	filterDynamicTarget  = "dynamic_target" // a set_filter_state of its own, which routes have settings of
	filterDynamicForward = "envoy.filters.http.dynamic_forward_proxy"
	filterSNIForward     = "envoy.filters.network.sni_dynamic_forward_proxy"
	filterUpstreamGuard  = "upstream_guard"

	// The state by which the filters and clusters find the host and its port (Envoy's documentation,
	// "Dynamic forward proxy").
	stateDynamicHost = "envoy.upstream.dynamic_host"
	stateDynamicPort = "envoy.upstream.dynamic_port"
)

// dnsCache is one for all clusters and filters of a proxy: Envoy takes several of one name only if they are
// equal, and a filter has to fill that of whichever cluster a route chooses.
func dnsCache(d ir.DNSLookup) *dnscache.DnsCacheConfig {
	return &dnscache.DnsCacheConfig{Name: "dynamic_dns", DnsLookupFamily: lookupFamily(d)}
}

// dynamicCluster checks certificates for the host that is connected to, unless other names are to be
// checked, or none.
func dynamicCluster(c *ir.Cluster) *clusterv3.Cluster_ClusterType {
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dynamic_forward_proxy",
		TypedConfig: Any(&dynamiccluster.ClusterConfig{
			ClusterImplementationSpecifier: &dynamiccluster.ClusterConfig_DnsCacheConfig{DnsCacheConfig: dnsCache(c.DNS)},
			AllowInsecureClusterOptions:    !c.HTTP.AutoSNI || !c.HTTP.AutoSAN,
		}),
	}}
}

func dynamicForward(f ir.DynamicForward) *dynamichttp.FilterConfig {
	return &dynamichttp.FilterConfig{
		ImplementationSpecifier:         &dynamichttp.FilterConfig_DnsCacheConfig{DnsCacheConfig: dnsCache(f.DNS)},
		SaveUpstreamAddress:             true, // for the guard
		AllowDynamicHostFromFilterState: true,
	}
}

func sniForward(f ir.SNIForward) *dynamicsni.FilterConfig {
	return &dynamicsni.FilterConfig{
		DnsCacheConfig:      dnsCache(f.DNS),
		PortSpecifier:       &dynamicsni.FilterConfig_PortValue{PortValue: f.Port},
		SaveUpstreamAddress: true,
	}
}

// hostWithoutPort needs an expression: the commands for the Host header give its port as well, and one that
// falls back to it, REQUESTED_SERVER_NAME, can crash an Envoy before 1.38.3 (CVE-2026-47220).
const hostWithoutPort = `%CEL(re.extract(request.host, '^(.*?)(:[0-9]*)?$', '\\1'))%`

// dynamicTarget notes host and port, so that a port in the Host header does not count.
func dynamicTarget(port uint32) *httpfilterstate.Config {
	return &httpfilterstate.Config{OnRequestHeaders: []*setfilterstate.FilterStateValue{
		stateValue(stateDynamicHost, hostWithoutPort, &core.TypedExtensionConfig{
			Name: "cel", TypedConfig: Any(&cel.Cel{CelConfig: &core.CelExpressionConfig{EnableStringFunctions: true}}),
		}),
		stateValue(stateDynamicPort, strconv.FormatUint(uint64(port), 10)),
	}}
}

func stateValue(key, format string, formatters ...*core.TypedExtensionConfig) *setfilterstate.FilterStateValue {
	return &setfilterstate.FilterStateValue{
		Key: &setfilterstate.FilterStateValue_ObjectKey{ObjectKey: key},
		Value: &setfilterstate.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{
			Formatters: formatters,
			Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
				Specifier: &core.DataSource_InlineString{InlineString: format},
			}},
		}},
	}
}

// ownAddresses lead back to the machine itself, also where they are written as IPv6.
var ownAddresses = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("::/128"),
	netip.PrefixFrom(netip.MustParseAddr("::ffff:127.0.0.0"), 104), netip.PrefixFrom(netip.MustParseAddr("::ffff:0.0.0.0"), 104),
}

// upstreamGuard denies by the address that the filter before it has found. A pod's own address is that of
// its workload, which is asked as anyone's; of the proxy's own there the ports are refused.
func upstreamGuard(f ir.UpstreamGuard) *rbac.RBAC {
	var denied []*rbac.Permission
	deny := func(m *upstreamip.UpstreamIpPortMatcher) {
		denied = append(denied, &rbac.Permission{Rule: &rbac.Permission_Matcher{Matcher: &core.TypedExtensionConfig{
			Name: "envoy.rbac.matchers.upstream_ip_port", TypedConfig: Any(m),
		}}})
	}
	for _, p := range ownAddresses {
		deny(&upstreamip.UpstreamIpPortMatcher{UpstreamIp: cidr(p)})
	}
	for _, r := range f.Ports {
		deny(&upstreamip.UpstreamIpPortMatcher{UpstreamPortRange: &typev3.Int64Range{Start: int64(r.First), End: int64(r.Last) + 1}})
	}
	anyone := []*rbac.Principal{{Identifier: &rbac.Principal_Any{Any: true}}}
	return &rbac.RBAC{Action: rbac.RBAC_DENY, Policies: map[string]*rbac.Policy{
		"own_addresses": {Permissions: denied, Principals: anyone},
	}}
}
