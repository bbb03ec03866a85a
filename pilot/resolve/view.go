package resolve

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// view is what a unit may look at: the snapshot, the class, and the scope of the class's plan. Every
// look leaves its trace with the Reader.
type view struct {
	r     Reader
	c     *Class
	scope *scope
}

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
func (v *view) virtualServices(host string) ([]*virtualService, []model.Problem) {
	var out []*virtualService
	var problems []model.Problem
	if v.scope.egress != nil {
		v.r.Note(factEgress)
	}
	for _, o := range v.r.VirtualServices(v.c.Namespace, host) {
		if v.scope.egress != nil && !v.scope.egress.allowHost(o.Namespace, host) {
			continue
		}
		vs := newVirtualService(v.r, o)
		if slices.Contains(vs.hosts, host) {
			problems = slices.Concat(problems, vs.problems, references(v.r, v.c.Namespace, vs))
		}
		if model.BoundToMesh(vs.spec.GetGateways()) {
			out = append(out, vs)
		}
	}
	return out, problems
}
