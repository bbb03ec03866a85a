package resolve

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// routeBuilder makes the route configuration of one port of a class of sidecars.
type routeBuilder struct {
	view
	port uint32
}

// sniffedHost takes every request on the listener of a service of unknown protocol that names no other there.
func (b *routeBuilder) sniffedHost(sp servicePort) *ir.VirtualHost {
	vh := b.serviceHost(sp)
	vh.Domains, vh.Aliases = []string{"*"}, 0
	return vh
}

// serviceHost gives the virtual host of one service: by the rules of its VirtualService, where one
// has any that apply here, else straight to the service.
func (b *routeBuilder) serviceHost(sp servicePort) *ir.VirtualHost {
	out := &ir.VirtualHost{
		Name:         hostPort(sp.service.Hostname, b.port),
		Domains:      b.domains(sp.service),
		AttemptCount: true,
	}
	others := b.aliasDomains(sp.service)
	out.Domains, out.Aliases = append(out.Domains, others...), len(others)
	if len(others) >= aliasHops { // a chain that is too long has so many at least
		b.report(tooFar(b.r, b.c.Namespace, sp.service.Hostname)...)
	}
	if out.Routes = b.routes(b.virtualServices(sp.service.Hostname)); len(out.Routes) == 0 {
		out.Routes = []*ir.Route{b.defaultRoute(sp)}
	}
	return out
}

// otherHost gives the virtual host of a name that no service has, or nil where no rule applies here. What
// covers the name by a wildcard has a virtual host of its own, unless a Sidecar lets only this name pass.
func (b *routeBuilder) otherHost(other *otherHost) *ir.VirtualHost {
	host := other.name
	routes := b.routes(b.forMesh(slices.DeleteFunc(slices.Clone(b.naming(host)), func(o *model.Object) bool { return !other.by(o.Key) })))
	if len(routes) == 0 {
		return nil
	}
	return &ir.VirtualHost{Name: hostPort(host, b.port), Domains: []string{host}, Routes: routes, AttemptCount: true}
}

// routes gives the routes of the VirtualService in force: of those that count the first that has a rule for the class
// here. One that says nothing hides no other.
func (b *routeBuilder) routes(candidates iter.Seq[*virtualService]) []*ir.Route {
	for vs := range candidates {
		if out := b.ruleSet(vs, b.port).httpRoutes(); len(out) > 0 {
			return out
		}
	}
	return nil
}

// defaultRoute sends every request to the service.
func (b *routeBuilder) defaultRoute(sp servicePort) *ir.Route {
	hash := HashPolicies(b.r, b.c, sp.service, sp.port, "")
	return &ir.Route{
		Name: "default",
		Forward: &ir.Forward{
			Clusters: []ir.WeightedCluster{{Name: model.ClusterName("outbound", b.port, "", sp.service.Hostname), Weight: 1, DynamicPort: dynamicPort(sp.service, sp.port)}},
			Retry:    retry(b.r, nil, len(hash) > 0),
			Hash:     hash,
		},
	}
}

// domains gives all names under which clients of the class know a service: in full, cut short by
// what the client's own domain shares with it, and its addresses. A headless service's pods have
// names below it.
func (b *routeBuilder) domains(svc *model.Service) []string {
	out := append([]string{svc.Hostname}, b.shortNames(svc.Hostname)...)
	if svc.Headless {
		for _, name := range slices.Clone(out) {
			out = append(out, "*."+name)
		}
	}
	for _, ip := range addresses(b.c, svc) {
		if usable(b.c, ip) {
			if strings.Contains(ip, ":") {
				ip = "[" + ip + "]"
			}
			out = append(out, ip)
		}
	}
	return out
}

// shortNames gives the names that a resolver with the search domains of a pod completes to the
// host: in domain ns.svc.SUFFIX, host s.ns.svc.SUFFIX is s and s.ns too, and s.other.svc.SUFFIX
// is s.other; and either with .svc. A name below a service's, as a pod of a StatefulSet has, is no shorter than that.
func (v *view) shortNames(host string) []string {
	_, suffix, inCluster := strings.Cut(v.c.DNSDomain, ".svc.")
	short, ours := strings.CutSuffix(host, ".svc."+suffix)
	name, namespace, whole := strings.Cut(short, ".")
	if !inCluster || !ours || !whole {
		return nil
	}
	out := []string{short, short + ".svc"}
	if v.searches(namespace) {
		out = append([]string{name}, out...)
	}
	return out
}

// fallback takes the requests for hosts that nothing else knows: on to where the client wanted
// to go, or to an error.
func fallback(scope *scope, port uint32) *ir.VirtualHost {
	if !scope.allowAny {
		return &ir.VirtualHost{Name: "block_all", Domains: []string{"*"}, AttemptCount: true, Routes: []*ir.Route{{
			Name: "block_all", Direct: &ir.DirectResponse{Status: 502}, Destination: model.BlackHoleCluster,
		}}}
	}
	to := ir.WeightedCluster{Name: unknownCluster(scope), Weight: 1}
	if scope.byName {
		to.Name, to.DynamicPort = model.DynamicDNSCluster, port
	}
	return &ir.VirtualHost{Name: "allow_any", Domains: []string{"*"}, AttemptCount: true, Routes: []*ir.Route{{
		Name: "allow_any", Forward: &ir.Forward{Clusters: []ir.WeightedCluster{to}},
	}}}
}

func hostPort(host string, port uint32) string {
	return host + ":" + strconv.FormatUint(uint64(port), 10)
}
