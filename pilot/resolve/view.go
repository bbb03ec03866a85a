package resolve

import (
	"slices"
	"strings"

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

// virtualServices gives the VirtualServices of the sidecars' own gateway for a host name, as Reader
// does, within the scope, and reports what leads nowhere in those that have the very name. Others cover
// it by a wildcard, which is looked up for itself.
func (v *view) virtualServices(host string) []*virtualService {
	var out []*virtualService
	if v.scope.egress != nil {
		v.r.Note(factEgress)
	}
	for _, o := range v.r.VirtualServices(v.c.Namespace, host) {
		if v.scope.egress != nil && !v.scope.egress.allowHost(o.Namespace, host) {
			continue
		}
		vs := newVirtualService(v.r, o)
		if slices.Contains(vs.hosts, host) {
			v.reportObject(vs)
		}
		if model.BoundToMesh(vs.spec.GetGateways()) {
			out = append(out, vs)
		}
	}
	return out
}

// reportObject reports what is wrong with a VirtualService, whichever of its rules are in force.
func (v *view) reportObject(vs *virtualService) {
	v.report(slices.Concat(vs.problems, references(v.r, v.c.Namespace, vs))...)
}
