package resolve

import (
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

// covers tells whether it is about a host of a namespace.
func (h hostIn) covers(namespace, host string) bool {
	return (h.namespace == "*" || h.namespace == namespace) && model.HostCovers(h.host, host)
}

// egressHosts are the hosts of all egress listeners of one Sidecar.
type egressHosts struct{ allow, exclude []hostIn }

// parseEgress reads ./*, ns/*, */*, ns/host, ~/* (nothing) and ~ns/host (an exclusion). "." is
// the proxy's own namespace, also for the root namespace's Sidecar.
func parseEgress(sc *networking.Sidecar, proxyNamespace string) egressHosts {
	var out egressHosts
	for _, l := range sc.GetEgress() {
		one := parseHosts(proxyNamespace, l.GetHosts())
		out.allow, out.exclude = append(out.allow, one.allow...), append(out.exclude, one.exclude...)
	}
	return out
}

// parseHosts does the same for the hosts of one listener.
func parseHosts(proxyNamespace string, hosts []string) egressHosts {
	var out egressHosts
	for _, h := range hosts {
		ns, host, ok := strings.Cut(h, "/")
		if !ok || ns == "~" {
			continue
		}
		ns, excluded := strings.CutPrefix(ns, "~")
		if ns == "." {
			ns = proxyNamespace
		}
		host = model.CanonicalHost(host)
		if excluded {
			out.exclude = append(out.exclude, hostIn{ns, host})
		} else {
			out.allow = append(out.allow, hostIn{ns, host})
		}
	}
	return out
}

// services gives the services of the namespaces that the hosts name, and perhaps others.
func (e egressHosts) services(r Reader, c *Class) []*model.Service {
	namespaces, all := e.namespaces()
	if all {
		return r.Services(c.Namespace)
	}
	var out []*model.Service
	for _, ns := range namespaces {
		out = append(out, r.ServicesIn(ns, c.Namespace)...)
	}
	for _, h := range e.allow {
		if h.namespace != "*" {
			continue
		}
		if svc := r.Service(c.Namespace, h.host); svc != nil {
			out = append(out, svc)
		}
	}
	return out
}

// virtualServices gives the VirtualServices of the namespaces that the hosts name, model.Older first.
func (e egressHosts) virtualServices(r Reader, c *Class) []*model.Object {
	namespaces, all := e.namespaces()
	var out []*model.Object
	if all || slices.ContainsFunc(e.allow, func(h hostIn) bool { return h.namespace == "*" }) {
		for _, host := range r.VirtualServiceHosts(c.Namespace) {
			if slices.ContainsFunc(e.allow, func(h hostIn) bool { return model.HostCovers(h.host, host) || model.HostCovers(host, h.host) }) {
				out = append(out, r.VirtualServices(c.Namespace, host)...)
			}
		}
	}
	for _, ns := range namespaces {
		out = append(out, r.VirtualServicesIn(ns, c.Namespace)...)
	}
	slices.SortFunc(out, model.Older)
	return slices.Compact(out)
}

// namespaces gives the namespaces that are named, sorted; all tells that hosts of every namespace are
// let pass by a wildcard.
func (e egressHosts) namespaces() (names []string, all bool) {
	for _, h := range e.allow {
		switch {
		case h.namespace != "*":
			names = append(names, h.namespace)
		case strings.HasPrefix(h.host, "*"):
			all = true
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
			return slices.ContainsFunc(e.allow, func(h hostIn) bool { return h.namespace == namespace && model.HostCovers(h.host, host) })
		}
		if names(of.Hostname) {
			return names(alias) && e.allowHost(of.Namespace, alias)
		}
	}
	return true
}

// hostsOf gives the hosts of a VirtualService that the egress hosts let pass. Of a wildcard on either
// side it is the narrower of both: *.example.com is seen as a.example.com where that alone is let pass.
func (e egressHosts) hostsOf(r Reader, o *model.Object) []string {
	var out []string
	for _, host := range o.Spec.(*networking.VirtualService).GetHosts() {
		full := model.ResolveHost(host, o.Namespace, r.Domain())
		for _, h := range e.allow {
			shared := full
			if !model.HostCovers(h.host, full) {
				shared = h.host
			}
			if model.HostCovers(full, shared) && e.allowHost(o.Namespace, shared) {
				out = append(out, shared)
			}
		}
	}
	return distinct(out)
}

// allowHost tells whether a host of a service or VirtualService of a namespace is let pass.
func (e egressHosts) allowHost(namespace, host string) bool {
	hit := func(h hostIn) bool { return h.covers(namespace, host) }
	return slices.ContainsFunc(e.allow, hit) && !slices.ContainsFunc(e.exclude, hit)
}
