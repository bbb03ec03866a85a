package validate

import (
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) sidecar(s *networking.Sidecar) {
	if w := s.GetWorkloadSelector(); w != nil {
		c.labels("spec.workloadSelector.labels", w.GetLabels())
		if c.object.Namespace == model.RootNamespace && len(w.GetLabels()) > 0 {
			c.warn("spec.workloadSelector", "selects workloads of the root namespace only, so that this is no default of other namespaces; remove it if it should be")
		}
	}
	if len(s.GetIngress())+len(s.GetEgress()) == 0 && s.GetOutboundTrafficPolicy() == nil && s.GetInboundConnectionPool() == nil {
		c.fail("spec", "says nothing; set ingress, egress, outboundTrafficPolicy or inboundConnectionPool")
	}
	seen := map[string]int{}
	for i, in := range s.GetIngress() {
		item := at("spec.ingress", i)
		c.ingress(item, in)
		c.once(item, fmt.Sprint(model.CanonicalIP(in.GetBind()), " ", in.GetPort().GetNumber()), i, seen)
	}
	seen = map[string]int{}
	for i, out := range s.GetEgress() {
		item := at("spec.egress", i)
		c.egress(item, out)
		if out.GetPort() == nil && i != len(s.GetEgress())-1 {
			c.fail(item, "has no port, so it takes what the others leave; put it last")
		}
		c.once(item, fmt.Sprint(model.CanonicalIP(out.GetBind()), " ", out.GetPort().GetNumber()), i, seen)
	}
	c.connectionPool("spec.inboundConnectionPool", s.GetInboundConnectionPool())
	if p := s.GetOutboundTrafficPolicy().GetEgressProxy(); p != nil && p.GetPort() == nil {
		c.missing("spec.outboundTrafficPolicy.egressProxy.port")
	}
}

// once reports a second listener at one address.
func (c *checker) once(item, address string, i int, seen map[string]int) {
	if first, ok := seen[address]; ok {
		c.fail(item, "has the same bind and port as item %d; put them together", first)
		return
	}
	seen[address] = i
}

func (c *checker) ingress(item string, in *networking.IstioIngressListener) {
	if in.GetPort() == nil {
		c.missing(item + ".port")
	} else {
		c.port(item+".port.number", in.GetPort().GetNumber())
		c.protocol(item+".port.protocol", in.GetPort().GetProtocol())
	}
	c.ingressTLS(item+".tls", in)
	if in.GetBind() != "" && !isIP(in.GetBind()) {
		c.fail(item+".bind", "%q is no IP address", in.GetBind())
	}
	if e := in.GetDefaultEndpoint(); e != "" && !localEndpoint(e) {
		c.fail(item+".defaultEndpoint", "%q is not of this workload; use 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH", e)
	}
	c.connectionPool(item+".connectionPool", in.GetConnectionPool())
}

func localEndpoint(endpoint string) bool {
	if socket, ok := strings.CutPrefix(endpoint, "unix://"); ok {
		return path.IsAbs(socket) || strings.HasPrefix(socket, "@") && len(socket) > 1
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || !isPortText(port) {
		return false
	}
	switch host {
	case "127.0.0.1", "0.0.0.0", "::1", "::":
		return true
	}
	return false
}

func (c *checker) egress(item string, out *networking.IstioEgressListener) {
	if p := out.GetPort(); p != nil {
		if !strings.EqualFold(p.GetProtocol(), "HTTP_PROXY") {
			c.protocol(item+".port.protocol", p.GetProtocol())
		}
		if !strings.HasPrefix(out.GetBind(), model.UnixScheme) {
			c.port(item+".port.number", p.GetNumber())
		} else if p.GetNumber() != 0 {
			c.fail(item+".port.number", "is %d, but a Unix socket has no port; use 0", p.GetNumber())
		}
	}
	switch bind := out.GetBind(); {
	case bind == "":
	case out.GetPort() == nil:
		c.fail(item+".bind", "needs a port; set port")
	case strings.HasPrefix(bind, model.UnixScheme):
		c.egressSocket(item, strings.TrimPrefix(bind, model.UnixScheme), out)
	case !isIP(bind):
		c.fail(item+".bind", "%q is neither an IP address nor unix:///PATH", bind)
	}
	if len(out.GetHosts()) == 0 {
		c.fail(item+".hosts", `is empty; name hosts as namespace/name, or "*/*" for all`)
	}
	for i, host := range out.GetHosts() {
		c.egressHost(at(item+".hosts", i), host)
	}
	c.egressLeft(item+".hosts", out.GetHosts())
}

// egressLeft warns of hosts of which exclusions leave none. "~/*" by itself is how to import nothing.
func (c *checker) egressLeft(field string, hosts []string) {
	var named, excluded []string
	for _, host := range hosts {
		if without, ok := strings.CutPrefix(host, "~"); ok {
			excluded = append(excluded, without)
		} else {
			named = append(named, host)
		}
	}
	taken := func(host string) bool {
		ns, name, _ := strings.Cut(host, "/")
		return slices.ContainsFunc(excluded, func(e string) bool {
			from, pattern, _ := strings.Cut(e, "/")
			return (from == "" || from == "*" || from == ns) && model.HostCovers(model.CanonicalHost(pattern), model.CanonicalHost(name))
		})
	}
	left := slices.ContainsFunc(named, func(host string) bool { return !taken(host) })
	if len(excluded) == 0 || left || len(named) == 0 && slices.Contains(hosts, "~/*") {
		return
	}
	c.warn(field, "nothing is imported, as what begins with ~ takes out all that is named beside it; name what is to be reached")
}

// egressSocket checks the Unix socket that a listener binds to.
func (c *checker) egressSocket(item, socket string, out *networking.IstioEgressListener) {
	switch {
	case !socketPath(socket) || strings.HasSuffix(socket, "/"):
		c.fail(item+".bind", "%q is no socket; use unix:///PATH or unix://@NAME", out.GetBind())
	case len(socket) > maxSocketPath:
		c.fail(item+".bind", "has a path of %d bytes, the limit of the system is %d", len(socket), maxSocketPath)
	case out.GetCaptureMode() == networking.CaptureMode_IPTABLES:
		c.fail(item+".captureMode", "is IPTABLES, but nothing captures connections to a Unix socket; use NONE")
	}
}

// egressHost checks namespace/dnsName, where the namespace may be "*", ".", "~" or an exclusion.
func (c *checker) egressHost(field, host string) {
	ns, name, qualified := strings.Cut(host, "/")
	if !qualified {
		c.fail(field, `%q has no namespace; use namespace/name, "./name" for the own one, "*/name" for any`, host)
		return
	}
	excluded := strings.TrimPrefix(ns, "~")
	namespace := ns == "*" || ns == "." || ns == "~" || excluded == "." || excluded == "*" || len(validation.IsDNS1123Label(excluded)) == 0
	switch {
	case namespace && isWildcardHost(name) && shortName(name):
		c.fail(field, "%q has a short name; write the whole one", host)
	case !namespace || !isWildcardHost(name):
		c.fail(field, "%q is no namespace/name; the name may be a wildcard such as *.example.com", host)
	}
}

func (c *checker) peerAuthentication(p *security.PeerAuthentication) {
	selector := p.GetSelector().GetMatchLabels()
	c.labels("spec.selector.matchLabels", selector)
	if len(selector) > 0 && c.object.Namespace == model.RootNamespace {
		c.warn("spec.selector", "is ignored in the root namespace; put the object into the workload's namespace")
	}
	if p.GetPortLevelMtls() == nil {
		return
	}
	if len(selector) == 0 {
		c.fail("spec.portLevelMtls", "needs a selector, as ports are those of a workload; set spec.selector.matchLabels")
	}
}
