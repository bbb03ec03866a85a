package resolve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// NameTable gives what the DNS proxy beside a proxy of the class answers; nil for classes that
// do not capture DNS.
func (p *Plan) NameTable(r Reader) *ir.NameTable {
	if !p.class.DNSCapture {
		return nil
	}
	return p.Addressed(r)
}

// Addressed gives the hosts that have addresses for clients beside a proxy of the class, whoever tells them: the agent's
// DNS, or that of Kubernetes, and for ServiceEntries the world's.
func (p *Plan) Addressed(r Reader) *ir.NameTable {
	out := &ir.NameTable{}
	for _, svc := range p.services {
		switch ips := namedAddresses(p.class, svc); {
		case svc.Headless:
			out.Names = append(out.Names, headlessNames(r, p.class, svc)...)
		case len(ips) == 0:
		case svc.Key.Kind == model.KindServiceEntry:
			out.Names = append(out.Names, ir.Name{Host: svc.Hostname, IPs: ips, External: true})
		default:
			out.Names = append(out.Names, serviceName(svc, ips))
		}
	}
	out.Names = append(out.Names, p.aliasNames(r, out.Names)...)
	slices.SortFunc(out.Names, func(a, b ir.Name) int { return strings.Compare(a.Host, b.Host) })
	out.Names = slices.CompactFunc(out.Names, func(a, b ir.Name) bool { return a.Host == b.Host })
	return out
}

// namedAddresses gives the addresses that a service's name stands for. A subnet is none.
func namedAddresses(c *Class, svc *model.Service) []string {
	var out []string
	for _, ip := range addresses(c, svc) {
		if !strings.Contains(ip, "/") {
			out = append(out, ip)
		}
	}
	return out
}

func serviceName(svc *model.Service, ips []string) ir.Name {
	return ir.Name{Host: svc.Hostname, IPs: ips, ShortName: svc.Name, Namespace: svc.Namespace}
}

// headlessNames gives the endpoints' addresses under the service's name, and each of them under
// the name of its pod where that has a hostname in the service's subdomain.
func headlessNames(r Reader, c *Class, svc *model.Service) []ir.Name {
	if r.SeveralNetworks() {
		r.Note(factPlace)
	}
	var all []string
	pods := map[string][]string{}
	for _, ep := range endpointsFor(r, c, svc) {
		if ep.Address == "" || !c.NamesFrom.Reaches(ep.Network) || ep.Health == model.Draining || ep.Health == model.Unhealthy && !svc.PublishNotReady {
			continue
		}
		all = append(all, ep.Address)
		if name := podHostname(r, svc, &ep); name != "" {
			pods[name] = append(pods[name], ep.Address)
		}
	}
	if len(all) == 0 {
		return nil
	}
	out := []ir.Name{serviceName(svc, distinct(all))}
	for name, ips := range pods {
		out = append(out, ir.Name{
			Host: name + "." + svc.Hostname, IPs: distinct(ips), ShortName: name + "." + svc.Name, Namespace: svc.Namespace,
		})
	}
	return out
}

func podHostname(r Reader, svc *model.Service, ep *model.Endpoint) string {
	if o := r.Pod(ep.Cluster, ep.Namespace, ep.Pod); o != nil && o.Spec.(*model.Pod).Subdomain == svc.Name {
		return o.Spec.(*model.Pod).Hostname
	}
	return ""
}

// distinct sorts a list and leaves each item once.
func distinct[T cmp.Ordered](list []T) []T {
	slices.Sort(list)
	return slices.Compact(list)
}

// namespaceOf gives the namespace of the service behind a name.
func (p *Plan) namespaceOf(n ir.Name) string {
	if svc := p.scope.services[n.Host]; svc != nil {
		return svc.Namespace // names of ServiceEntries tell none
	}
	return n.Namespace
}

// aliasNames gives the names of aliases, with the addresses of what they stand for.
func (p *Plan) aliasNames(r Reader, names []ir.Name) []ir.Name {
	aliased := r.AliasedHosts(p.class.Namespace)
	if len(aliased) == 0 {
		return nil
	}
	var out []ir.Name
	for _, n := range names {
		if _, found := slices.BinarySearch(aliased, n.Host); !found {
			continue
		}
		for _, alias := range p.scope.aliases(r, p.class, model.ServiceID{Namespace: p.namespaceOf(n), Hostname: n.Host}) {
			name, rest, _ := strings.Cut(alias, ".")
			namespace, _, _ := strings.Cut(rest, ".")
			out = append(out, ir.Name{Host: alias, IPs: n.IPs, ShortName: name, Namespace: namespace})
		}
	}
	return out
}
