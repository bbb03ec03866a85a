package resolve

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hostIn is one "namespace/host" of a Sidecar's egress hosts, or of a server's of a Gateway.
type hostIn struct {
	namespace string // a name, "*" for any
	host      string // may be a wildcard
}

// newHostIn reads host or ns/host as an object of a namespace writes it. That is ".", and any is "*" or nothing.
func newHostIn(own, entry string) hostIn {
	namespace, host, ok := strings.Cut(entry, "/")
	switch {
	case !ok:
		namespace, host = "*", entry
	case namespace == ".":
		namespace = own
	}
	return hostIn{cmp.Or(namespace, "*"), model.CanonicalHost(host)}
}

// covers tells whether it is about a host of a namespace.
func (h hostIn) covers(namespace, host string) bool {
	return (h.namespace == "*" || h.namespace == namespace) && model.HostCovers(h.host, host)
}

// hostsIn are hosts of namespaces, in which those that cover another one are found without looking at all.
type hostsIn struct {
	list    []hostIn // each once
	has     map[hostIn]struct{}
	lengths []int // of what follows the star in its wildcards, sorted
}

func newHostsIn(list []hostIn) *hostsIn {
	out := &hostsIn{has: make(map[hostIn]struct{}, len(list))}
	for _, h := range list {
		if _, known := out.has[h]; known {
			continue
		}
		out.has[h] = struct{}{}
		out.list = append(out.list, h)
		if suffix, wild := strings.CutPrefix(h.host, "*"); wild {
			out.lengths = append(out.lengths, len(suffix))
		}
	}
	out.lengths = distinct(out.lengths)
	return out
}

// covers tells whether one of them is about a host of a namespace.
func (s *hostsIn) covers(namespace, host string) bool {
	return s.names(namespace, host) || s.names("*", host)
}

// names tells whether one of them that is written with a namespace, or with "*", is about a host.
func (s *hostsIn) names(namespace, host string) bool {
	if _, whole := s.has[hostIn{namespace, host}]; whole {
		return true
	}
	rest := strings.TrimPrefix(host, "*")
	return slices.ContainsFunc(s.lengths, func(n int) bool {
		if n > len(rest) {
			return false
		}
		_, wild := s.has[hostIn{namespace, "*" + rest[len(rest)-n:]}]
		return wild
	})
}

// listenerHosts are the hosts of one egress listener of a Sidecar.
type listenerHosts struct {
	allow, except *hostsIn
	anywhere      *hostsIn // what it allows, with "*" for every namespace
}

// covers tells whether it lets a host of a namespace pass.
func (l listenerHosts) covers(namespace, host string) bool {
	return l.allow.covers(namespace, host) && !l.except.covers(namespace, host)
}

// egressHosts are the hosts of one egress listener of a Sidecar, or of all.
type egressHosts struct{ listeners []listenerHosts }

// same tells whether two listeners have the same hosts; nil is of none.
func (e *egressHosts) same(o *egressHosts) bool {
	return e == o || e != nil && o != nil && slices.EqualFunc(e.listeners, o.listeners, func(a, b listenerHosts) bool {
		return slices.Equal(a.allow.list, b.allow.list) && slices.Equal(a.except.list, b.except.list)
	})
}

// parseEgress reads ./*, ns/*, */*, ns/host, and the exclusions ~ns/host and ~/host, which is for every namespace. "." is
// the proxy's own namespace, also for the root namespace's Sidecar.
func parseEgress(sc *networking.Sidecar, proxyNamespace string) egressHosts {
	var out egressHosts
	for _, l := range sc.GetEgress() {
		out.listeners = append(out.listeners, parseHosts(proxyNamespace, l.GetHosts()).listeners...)
	}
	return out
}

// parseHosts does the same for the hosts of one listener.
func parseHosts(proxyNamespace string, hosts []string) egressHosts {
	var allow, except, anywhere []hostIn
	for _, entry := range hosts {
		entry, excluded := strings.CutPrefix(entry, "~")
		h := newHostIn(proxyNamespace, entry)
		if excluded {
			except = append(except, h)
		} else {
			allow, anywhere = append(allow, h), append(anywhere, hostIn{"*", h.host})
		}
	}
	return egressHosts{[]listenerHosts{{newHostsIn(allow), newHostsIn(except), newHostsIn(anywhere)}}}
}

// services gives the services that the hosts let pass, one a hostname. Of several that is the first of those which pass, so
// that a host with its namespace leads to the service there, whichever one counts for the class otherwise.
func (e egressHosts) services(r Reader, c *Class) []*model.Service {
	var out []*model.Service
	for _, first := range e.named(r, c) {
		if e.allowService(first) {
			out = append(out, first)
			continue
		}
		all := r.ServicesNamed(c.Namespace, first.Hostname)
		if at := slices.IndexFunc(all, e.allowService); at >= 0 {
			out = append(out, all[at])
		}
	}
	return out
}

// named gives the services of the hostnames that the hosts name, as the class sees them otherwise.
func (e egressHosts) named(r Reader, c *Class) []*model.Service {
	namespaces, all := e.namespaces()
	if all {
		elsewhere := func(svc *model.Service) bool { return !e.namesAnywhere(svc.Hostname) }
		return slices.DeleteFunc(slices.Clone(r.Services(c.Namespace)), elsewhere)
	}
	var hosts []string
	for _, ns := range namespaces {
		hosts = append(hosts, r.ServiceHostsIn(ns)...)
	}
	for _, l := range e.listeners {
		for _, h := range l.allow.list {
			if h.namespace == "*" {
				hosts = append(hosts, h.host)
			}
		}
	}
	var out []*model.Service
	for _, host := range distinct(hosts) {
		if !e.namesAnywhere(host) {
			continue
		}
		if svc := r.Service(c.Namespace, host); svc != nil {
			out = append(out, svc)
		}
	}
	return out
}

// namesAnywhere tells whether a host would be let pass if it were of the right namespace.
func (e egressHosts) namesAnywhere(host string) bool {
	return slices.ContainsFunc(e.listeners, func(l listenerHosts) bool { return l.anywhere.names("*", host) })
}

// some tells whether something is true of one of the hosts that the listeners allow.
func (e egressHosts) some(is func(hostIn) bool) bool {
	return slices.ContainsFunc(e.listeners, func(l listenerHosts) bool { return slices.ContainsFunc(l.allow.list, is) })
}

// isWildcard tells whether a host stands for several.
func isWildcard(host string) bool { return strings.HasPrefix(host, "*") }

// virtualServices gives the VirtualServices for sidecars of the namespaces that the hosts name, model.Older first.
func (e egressHosts) virtualServices(r Reader, c *Class) []*model.Object {
	namespaces, _ := e.namespaces()
	var out []*model.Object
	if e.some(func(h hostIn) bool { return h.namespace == "*" }) {
		for _, host := range r.VirtualServiceHosts(c.Namespace) {
			if e.namesAnywhere(host) || isWildcard(host) && e.some(func(h hostIn) bool { return model.HostCovers(host, h.host) }) {
				out = append(out, r.VirtualServices(c.Namespace, host)...)
			}
		}
	}
	for _, ns := range namespaces {
		out = append(out, r.VirtualServicesIn(ns, c.Namespace)...)
	}
	slices.SortFunc(out, model.Older)
	elsewhere := func(o *model.Object) bool {
		return !model.BoundToMesh(o.Spec.(*networking.VirtualService).GetGateways())
	}
	return slices.DeleteFunc(slices.Compact(out), elsewhere)
}

// namespaces gives the namespaces that are named, sorted; all tells that hosts of every namespace are
// let pass by a wildcard.
func (e egressHosts) namespaces() (names []string, all bool) {
	for _, l := range e.listeners {
		for _, h := range l.allow.list {
			if h.namespace != "*" {
				names = append(names, h.namespace)
			}
			all = all || h.namespace == "*" && isWildcard(h.host)
		}
	}
	return distinct(names), all
}

func (e egressHosts) allowService(svc *model.Service) bool {
	return e.allowHost(svc.Namespace, svc.Hostname)
}

// allowAlias tells whether an alias of a service is let pass. It has to be named where the service is: by hosts of the
// service's namespace, or else by those of all (Istio's matchingAliasService). A service that only a VirtualService
// leads to has all of its aliases.
func (e egressHosts) allowAlias(of model.ServiceID, alias string) bool {
	for _, namespace := range []string{of.Namespace, "*"} {
		names := func(host string) bool {
			return slices.ContainsFunc(e.listeners, func(l listenerHosts) bool { return l.allow.names(namespace, host) })
		}
		if names(of.Hostname) {
			return names(alias) && e.allowHost(of.Namespace, alias)
		}
	}
	return true
}

// passing gives those of the hosts of a namespace's VirtualService that the egress hosts let pass. Of a wildcard on either
// side it is the narrower of both: *.example.com is seen as a.example.com where that alone is let pass.
func (e egressHosts) passing(namespace string, hosts []string) []string {
	var out []string
	for _, host := range hosts {
		if e.allowHost(namespace, host) {
			out = append(out, host)
		}
		if !isWildcard(host) {
			continue
		}
		for _, l := range e.listeners {
			for _, h := range l.allow.list {
				if model.HostCovers(host, h.host) && h.covers(namespace, h.host) && !l.except.covers(namespace, h.host) {
					out = append(out, h.host)
				}
			}
		}
	}
	return distinct(out)
}

// allowHost tells whether a host of a service or VirtualService of a namespace is let pass.
func (e egressHosts) allowHost(namespace, host string) bool {
	return slices.ContainsFunc(e.listeners, func(l listenerHosts) bool { return l.covers(namespace, host) })
}

// writes tells whether the hosts let one of a namespace pass by its very name.
func (e egressHosts) writes(namespace, host string) bool {
	return slices.ContainsFunc(e.listeners, func(l listenerHosts) bool {
		_, own := l.allow.has[hostIn{namespace, host}]
		_, any := l.allow.has[hostIn{"*", host}]
		return (own || any) && !l.except.covers(namespace, host)
	})
}
