package resolve

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// virtualService is an object with its hosts completed.
type virtualService struct {
	*model.Object
	spec  *networking.VirtualService
	hosts []string // as in spec.hosts, short names resolved
	rank  int      // where several name one host, the lowest wins
}

// virtualServices finds the one in force for a host among those of the sidecars' own gateway.
// They are not merged: the most specific host wins, then the one that is private to the client's
// namespace, then one exported to it by name, then the oldest.
type virtualServices struct {
	ordered   []*virtualService
	exact     map[string]*virtualService
	wildcards []wildcardHost // the most specific first
}

type wildcardHost struct {
	host string
	vs   *virtualService
}

// indexVirtualServices prepares the lookup by host for a scope's VirtualServices.
func indexVirtualServices(r Reader, c *Class, scope *EgressScope) *virtualServices {
	out := &virtualServices{exact: map[string]*virtualService{}}
	for _, o := range scope.VirtualServices {
		out.ordered = append(out.ordered, newVirtualService(r, c, o))
	}
	slices.SortStableFunc(out.ordered, func(a, b *virtualService) int { return cmp.Compare(a.rank, b.rank) })
	for _, vs := range out.ordered {
		for _, host := range vs.hosts {
			if strings.HasPrefix(host, "*") {
				out.wildcards = append(out.wildcards, wildcardHost{host, vs})
			} else if _, taken := out.exact[host]; !taken {
				out.exact[host] = vs
			}
		}
	}
	slices.SortStableFunc(out.wildcards, func(a, b wildcardHost) int { return cmp.Compare(len(b.host), len(a.host)) })
	return out
}

func newVirtualService(r Reader, c *Class, o *model.Object) *virtualService {
	spec := o.Spec.(*networking.VirtualService) // Scope takes no other
	vs := &virtualService{Object: o, spec: spec, rank: exportRank(r, c, o, spec)}
	for _, host := range spec.GetHosts() {
		vs.hosts = append(vs.hosts, ResolveHost(host, o.Namespace, r.Domain()))
	}
	return vs
}

// exportRank puts what only this namespace sees before what is exported to it by name, and that
// before what everyone sees.
func exportRank(r Reader, c *Class, o *model.Object, spec *networking.VirtualService) int {
	to := spec.GetExportTo()
	if len(to) == 0 {
		to = r.Mesh().GetDefaultVirtualServiceExportTo()
	}
	switch {
	case len(to) == 0 || slices.Contains(to, "*"):
		return 2
	case o.Namespace == c.Namespace && !slices.ContainsFunc(to, func(ns string) bool { return ns != "." && ns != c.Namespace }):
		return 0
	}
	return 1
}

// forHost gives the VirtualService in force for a host name, or nil.
func (v *virtualServices) forHost(host string) *virtualService {
	if vs := v.exact[host]; vs != nil {
		return vs
	}
	for _, w := range v.wildcards {
		if hostCovers(w.host, host) {
			return w.vs
		}
	}
	return nil
}

// conflicts reports hosts for which another VirtualService is in force.
func (v *virtualServices) conflicts() []model.Problem {
	first := map[string]*virtualService{}
	var out []model.Problem
	for _, vs := range v.ordered {
		for _, host := range vs.hosts {
			other := first[host]
			if other == nil {
				first[host] = vs
				continue
			}
			if other == vs || len(vs.spec.GetHttp()) == 0 || len(other.spec.GetHttp()) == 0 {
				continue
			}
			out = append(out, model.Problem{
				Object: vs.Key, Field: "spec.hosts", Severity: model.SeverityWarning, Reason: model.ReasonConflict,
				Message: "sidecars route " + host + " by " + other.Key.String() + ", since rules of several VirtualServices for one host are not merged; put all rules into one object",
				Origin:  vs.Origin,
			})
		}
	}
	return out
}

// configPath names an object of Istio's networking group in resources that come from it.
func configPath(o *model.Object, kind string) string {
	return "/apis/networking.istio.io/v1/namespaces/" + o.Namespace + "/" + kind + "/" + o.Name
}
