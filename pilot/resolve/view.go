package resolve

import (
	"iter"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// view is what a unit may look at: the snapshot, the class, and the scope of the class's plan. Every
// look leaves its trace with the Reader. It gathers the problems that are found on the way.
type view struct {
	r        Reader
	c        *Class
	scope    *scope
	problems []model.Problem
}

func (v *view) report(p ...model.Problem) { v.problems = append(v.problems, p...) }

// found gives the problems so far, each once.
func (v *view) found() []model.Problem { return sortProblems(v.problems) }

// service gives the service that the class sees under a hostname, or nil.
func (v *view) service(host string) *model.Service {
	if v.scope.services == nil {
		return v.r.Service(v.c.Namespace, host)
	}
	v.r.Note(factScope + host)
	return v.scope.services[host]
}

// inNamespace tells whether the class lives in a namespace.
func (v *view) inNamespace(namespace string) bool {
	v.r.Note(factNamespace + namespace)
	return v.c.Namespace == namespace
}

// carries tells whether the class's workload carries all the labels of a match; none asked is true.
func (v *view) carries(labels map[string]string) bool {
	if len(labels) == 0 {
		return true
	}
	set := model.LabelSet(labels)
	v.r.Note(factLabels + set)
	return v.c.hasSourceLabels(set)
}

// searches tells whether the class's pods know the services of a namespace by their names alone.
func (v *view) searches(namespace string) bool {
	v.r.Note(factSearched + namespace)
	own, _, _ := strings.Cut(v.c.DNSDomain, ".")
	return own == namespace
}

// virtualServices gives the VirtualServices of the sidecars' own gateway for a host name, as Reader does, within the
// scope. Each is made as it is asked for: mostly the first counts, and a wildcard may have hundreds.
func (v *view) virtualServices(host string) iter.Seq[*virtualService] {
	objects := v.r.VirtualServices(v.c.Namespace, host)
	if v.scope.egress != nil {
		v.r.Note(factEgress)
		objects = slices.DeleteFunc(slices.Clone(objects), func(o *model.Object) bool { return !v.scope.egress.allowHost(o.Namespace, host) })
	}
	return v.forMesh(objects)
}

// forMesh gives those of VirtualServices that are for the sidecars' own gateway.
func (v *view) forMesh(objects []*model.Object) iter.Seq[*virtualService] {
	return func(yield func(*virtualService) bool) {
		for _, o := range objects {
			if model.BoundToMesh(o.Spec.(*networking.VirtualService).GetGateways()) && !yield(newVirtualService(v.r, o)) {
				return
			}
		}
	}
}

// naming gives the VirtualServices of which a host is the very name of one, as the scope lets their hosts pass, in the
// order in which they count.
func (v *view) naming(host string) []*model.Object {
	named := v.r.VirtualServicesNaming(v.c.Namespace, host)
	egress := v.scope.egress
	if egress == nil {
		return named
	}
	v.r.Note(factEgress)
	var out []*model.Object
	for i, o := range v.r.VirtualServices(v.c.Namespace, host) { // first those of the name, then wildcards that cover it
		if egress.allowHost(o.Namespace, host) && (i < len(named) || egress.writes(o.Namespace, host)) {
			out = append(out, o)
		}
	}
	return out
}
