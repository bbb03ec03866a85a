package analyze

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"istio.io/api/annotation"
	networkingv1beta1 "istio.io/api/networking/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Host is a host as a client beside a proxy knows it.
type Host struct {
	Name   string    // in full
	Object model.Key // the Service or ServiceEntry that has it
	// Addresses are what DNS answers. A Service has all of its own, whoever sees it.
	Addresses []netip.Addr
	Ports     []uint32
	Headless  bool
	// Hidden tells that the proxy does not see it.
	Hidden bool
	// Undiscovered tells that no DNS of the mesh has the name, but perhaps that of the client.
	Undiscovered bool
}

// Host finds a host under one of the names that a client beside a proxy may use for it, or by its address.
func (t *Translation) Host(p Proxy, name string) (Host, bool) {
	_, plan := t.planOf(p)
	names := plan.Addressed(t.mesh.reader).Names
	if ip, err := netip.ParseAddr(name); err == nil {
		return hostAt(plan.Services(), t.mesh.services, ip)
	}
	name = model.CanonicalHost(name)
	if n, ok := named(names, name, p.Namespace); ok {
		out := Host{Name: n.Host, Addresses: parsed(n.IPs)}
		if svc := serviceNamed(plan.Services(), t.target(p.Namespace, n)); svc != nil {
			out.take(svc)
		}
		out.Undiscovered = !p.of.DNSCapture && out.Object.Kind == model.KindServiceEntry
		return out, true
	}
	for _, set := range t.statefulSets() {
		if out, ok := set.host(name, p.Namespace); ok {
			out.Hidden = serviceNamed(plan.Services(), set.service.Hostname) == nil
			return out, true
		}
	}
	for _, all := range []struct {
		services []*model.Service
		hidden   bool
	}{{plan.Services(), false}, {t.mesh.services, true}} {
		i := slices.IndexFunc(all.services, func(svc *model.Service) bool {
			return (!all.hidden || svc.Key.Kind == model.KindService) && calledSo(svc, name, p.Namespace)
		})
		if i < 0 {
			continue
		}
		svc := all.services[i]
		out := Host{Name: svc.Hostname, Hidden: all.hidden}
		if all.hidden { // Kubernetes answers for all of its Services
			out.Addresses = parsed(svc.Addresses)
		}
		out.take(svc)
		return out, true
	}
	return Host{}, false
}

// take notes what a service has.
func (h *Host) take(svc *model.Service) {
	h.Object, h.Headless, h.Ports = svc.Key, svc.Headless, nil
	for _, port := range svc.Ports {
		h.Ports = append(h.Ports, port.Port)
	}
}

// hostAt gives the host with an address, of those that a proxy sees, else of all.
func hostAt(seen, all []*model.Service, ip netip.Addr) (Host, bool) {
	for i, services := range [][]*model.Service{seen, all} {
		for _, svc := range services {
			if slices.Contains(parsed(svc.Addresses), ip) {
				out := Host{Name: svc.Hostname, Addresses: []netip.Addr{ip}, Hidden: i > 0}
				out.take(svc)
				return out, true
			}
		}
	}
	return Host{}, false
}

// named gives the entry of a table that a name means: its own, one under a short name, or that of a wildcard.
func named(names []ir.Name, name, namespace string) (ir.Name, bool) {
	var best *ir.Name
	for i, n := range names {
		suffix, wild := strings.CutPrefix(n.Host, "*")
		switch {
		case n.Host == name, !n.External && slices.Contains(shortNames(n.ShortName, n.Namespace, namespace), name):
			return n, true
		case wild && strings.HasSuffix(name, suffix) && (best == nil || len(n.Host) > len(best.Host)):
			best = &names[i]
		}
	}
	if best == nil {
		return ir.Name{}, false
	}
	return *best, true
}

// shortNames are those of a Service for clients of a namespace.
func shortNames(name, namespace, client string) []string {
	out := []string{name + "." + namespace, name + "." + namespace + ".svc"}
	if namespace == client {
		out = append(out, name)
	}
	return out
}

// calledSo tells whether a name is one of a service's.
func calledSo(svc *model.Service, name, namespace string) bool {
	return model.HostCovers(svc.Hostname, name) ||
		svc.Key.Kind == model.KindService && slices.Contains(shortNames(svc.Name, svc.Namespace, namespace), name)
}

// target gives the host of the service behind a name: that which an alias stands for, and that of a headless Service's pod.
func (t *Translation) target(client string, n ir.Name) string {
	host := n.Host
	for range len(t.mesh.services) { // aliases may go round in circles
		next := t.mesh.reader.AliasTarget(client, host)
		if next == "" {
			break
		}
		host = next
	}
	if _, of, ok := strings.Cut(n.ShortName, "."); ok { // POD.SERVICE
		return strings.TrimPrefix(host, strings.TrimSuffix(n.ShortName, of))
	}
	return host
}

// serviceNamed gives the one with a hostname; nil for none.
func serviceNamed(services []*model.Service, host string) *model.Service {
	i := slices.IndexFunc(services, func(svc *model.Service) bool { return svc.Hostname == host })
	if i < 0 {
		return nil
	}
	return services[i]
}

// parsed leaves out what is no address, as subnets are. Those of IPv4 come first, as clients take them.
func parsed(all []string) []netip.Addr {
	var out []netip.Addr
	for _, text := range all {
		if ip, err := netip.ParseAddr(text); err == nil {
			out = append(out, ip)
		}
	}
	slices.SortStableFunc(out, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	return out
}

// Names gives all names that a client beside a proxy may use for the hosts that it sees.
func (t *Translation) Names(p Proxy) []string {
	class := resolve.Classify(t.mesh.reader, p.of)
	var out []string
	for _, svc := range resolve.NewPlan(t.mesh.reader, &class).Services() {
		if out = append(out, svc.Hostname); svc.Key.Kind == model.KindService {
			out = append(out, shortNames(svc.Name, svc.Namespace, p.Namespace)...)
		}
	}
	for _, set := range t.statefulSets() {
		out = append(out, set.names(p.Namespace)...)
	}
	return out
}

// ServiceNames gives how a user may call the services of the mesh, of those of a namespace without it.
func (t *Translation) ServiceNames(namespace string) []string {
	var out []string
	for _, svc := range t.mesh.services {
		switch {
		case svc.Key.Kind != model.KindService:
			out = append(out, svc.Hostname)
		case svc.Namespace == namespace:
			out = append(out, svc.Name)
		default:
			out = append(out, svc.Name+"."+svc.Namespace)
		}
	}
	return out
}

// Labels are those of a proxy's workload.
func (p Proxy) Labels() map[string]string { return p.of.Labels }

// RootNamespace is that whose objects are for all others.
func (t *Translation) RootNamespace() string { return t.mesh.config.GetRootNamespace() }

// asksForBootstrap tells whether agents ask what EnvoyFilters put over the bootstrap. Where a ProxyConfig or a pod says
// so for some, all count as such: nobody is told of what they did for others on purpose.
func (m *mesh) asksForBootstrap() bool {
	const name = "BOOTSTRAP_XDS_AGENT"
	asks, _ := strconv.ParseBool(m.config.GetDefaultConfig().GetProxyMetadata()[name])
	return asks || slices.ContainsFunc(of[*networkingv1beta1.ProxyConfig](m, model.KindProxyConfig), func(o object[*networkingv1beta1.ProxyConfig]) bool {
		return o.spec.GetEnvironmentVariables()[name] != ""
	}) || slices.ContainsFunc(m.workloads, func(w *workload) bool { return strings.Contains(w.meta.Annotations[annotation.ProxyConfig.Name], name) })
}

// capturesDNS tells whether agents answer DNS, as the mesh's settings for all proxies say.
func (m *mesh) capturesDNS() bool {
	return strings.EqualFold(m.config.GetDefaultConfig().GetProxyMetadata()["ISTIO_META_DNS_CAPTURE"], "true")
}
