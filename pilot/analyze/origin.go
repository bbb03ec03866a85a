package analyze

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// ServedBy gives the object that has a host, as a proxy sees it.
func (t *Translation) ServedBy(p Proxy, host string) (model.Key, bool) {
	_, plan := t.planOf(p)
	if svc := serviceNamed(plan.Services(), host); svc != nil {
		return svc.Key, true
	}
	return model.Key{}, false
}

// ClusterBy tells where that stands by which a proxy's cluster of a host goes: the DestinationRule, or its subset, and those
// parts of the traffic policy that stand in other objects. ok is false where no rule is in force.
func (t *Translation) ClusterBy(p Proxy, host string, port uint32, subset string) (rule resolve.Origin, elsewhere []resolve.Origin, ok bool) {
	class, plan := t.planOf(p)
	svc := serviceNamed(plan.Services(), host)
	if svc == nil {
		return resolve.Origin{}, nil, false
	}
	rule, policy, ok := resolve.ClusterOrigins(t.mesh.reader, class, svc, port, subset)
	return rule, slices.DeleteFunc(policy, func(o resolve.Origin) bool { return o.Object == rule.Object }), ok
}

// UnknownBy tells which object decides what becomes of destinations that a proxy does not know.
func (t *Translation) UnknownBy(p Proxy) resolve.Origin {
	_, plan := t.planOf(p)
	return plan.UnknownBy()
}

func (t *Translation) planOf(p Proxy) (*resolve.Class, *resolve.Plan) {
	class := resolve.Classify(t.mesh.reader, p.of)
	return &class, resolve.NewPlan(t.mesh.reader, &class)
}
