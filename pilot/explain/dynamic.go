package explain

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	filterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	rbacnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	dynamicsni "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	upstreamip "github.com/envoyproxy/go-control-plane/envoy/extensions/rbac/matchers/upstream_ip_port/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// stateDynamicPort is the state by which clusters know the port of a host that is resolved as it is asked
// for (Envoy's documentation, "Dynamic forward proxy").
const stateDynamicPort = "envoy.upstream.dynamic_port"

// guardName is the filter that keeps such hosts from being the proxy itself.
const guardName = "upstream_guard"

// dynamicPort gives the port that settings of a set_filter_state filter note; "" for none.
func dynamicPort(packed *anypb.Any) string {
	c := &filterstate.Config{}
	if !packed.MessageIs(c) || packed.UnmarshalTo(c) != nil {
		return ""
	}
	for _, v := range c.GetOnRequestHeaders() {
		if v.GetObjectKey() == stateDynamicPort {
			return v.GetFormatString().GetTextFormatSource().GetInlineString()
		}
	}
	return ""
}

// findsHost notes the port for the host that the request names.
func (x *exchange) findsHost(name string) {
	if p := dynamicPort(x.route.GetTypedPerFilterConfig()[name]); p != "" {
		x.dynamicPort = p
	}
	for _, c := range x.route.GetRoute().GetWeightedClusters().GetClusters() {
		if p := dynamicPort(c.GetTypedPerFilterConfig()[name]); p != "" {
			x.dynamicPort = p
		}
	}
}

// sniForward notes the port for the host that the handshake names.
func (w *walk) sniForward(name string, packed *anypb.Any) {
	m := &dynamicsni.FilterConfig{}
	if packed.UnmarshalTo(m) == nil {
		w.dynamicPort = strconv.FormatUint(uint64(m.GetPortValue()), 10)
		w.step(StageFilter, name, "finds the host that the handshake names: "+w.dynamicHost(), nil)
	}
}

// dynamicHost is where a host leads that is resolved as it is asked for.
func (w *walk) dynamicHost() string {
	host := w.request.Host
	if host == "" && w.request.TLS != nil {
		host = w.request.TLS.SNI
	}
	if w.dynamicPort == "" {
		return host
	}
	host, _ = splitPort(host)
	return strings.TrimSuffix(host, ".") + ":" + w.dynamicPort
}

// guard refuses what would lead to the proxy itself. Of a name that is only known when it is resolved.
func (w *walk) guard(name string, packed *anypb.Any) (on bool) {
	if w.dynamicPort == "" {
		return true
	}
	h, n := &rbachttp.RBAC{}, &rbacnet.RBAC{}
	var rules *rbac.RBAC
	switch {
	case packed.MessageIs(h) && packed.UnmarshalTo(h) == nil:
		rules = h.GetRules()
	case packed.MessageIs(n) && packed.UnmarshalTo(n) == nil:
		rules = n.GetRules()
	}
	for _, p := range rules.GetPolicies() {
		for _, denied := range p.GetPermissions() {
			if w.leadsTo(denied) {
				reason := w.dynamicHost() + " is the proxy itself, or a port of its own, which no host may lead to"
				if w.request.Protocol == TCP {
					w.closed("", reason)
				} else {
					w.refused(403, "", reason)
				}
				w.step(StageFilter, name, w.answer.Outcome.Reason, nil)
				return false
			}
		}
	}
	w.step(StageFilter, name, w.dynamicHost()+" is resolved by DNS; an address of the proxy itself is refused", nil)
	return true
}

// leadsTo tells whether the host has an address, or the port, that a permission names.
func (w *walk) leadsTo(p *rbac.Permission) bool {
	m := &upstreamip.UpstreamIpPortMatcher{}
	packed := p.GetMatcher().GetTypedConfig()
	if !packed.MessageIs(m) || packed.UnmarshalTo(m) != nil {
		return false
	}
	port, _ := strconv.ParseInt(w.dynamicPort, 10, 64)
	if r := m.GetUpstreamPortRange(); r != nil {
		return port >= r.GetStart() && port < r.GetEnd()
	}
	to, err := netip.ParseAddrPort(w.dynamicHost())
	in, err2 := netip.ParsePrefix(fmt.Sprintf("%s/%d", m.GetUpstreamIp().GetAddressPrefix(), m.GetUpstreamIp().GetPrefixLen().GetValue()))
	return err == nil && err2 == nil && in.Contains(to.Addr())
}
