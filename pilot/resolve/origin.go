package resolve

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Origin is where something stands that proxies go by.
type Origin struct {
	Object model.Key
	Field  string // path in the object; "" for all of it
}

// ClusterOrigins tells where that stands by which a cluster goes of a subset of a service ("" for all of it): the subset
// itself, else the first rule of the host, and the parts of the traffic policy. There is no rule where ok is false.
func ClusterOrigins(r Reader, c *Class, svc *model.Service, port uint32, subset string) (rule Origin, policy []Origin, ok bool) {
	d := ruleFor(r, c, svc)
	t := policyFor(r, d, subset, port)
	for _, part := range []struct {
		object *model.Object
		field  string
	}{{t.pool.object, t.pool.field}, {t.balance.object, t.balance.field}, {t.outlier.object, t.outlier.field}, {t.tls.object, t.tls.field}} {
		if part.object != nil {
			policy = append(policy, Origin{part.object.Key, part.field})
		}
	}
	if d == nil {
		return Origin{}, policy, false
	}
	if s := d.subset(subset); s != nil {
		return Origin{s.policy.object.Key, strings.TrimSuffix(s.policy.field, ".trafficPolicy")}, policy, true
	}
	return Origin{Object: d.object.Key}, policy, true
}

// UnknownBy tells which object decides what becomes of unknown destinations.
func (p *Plan) UnknownBy() Origin {
	if o := p.scope.sidecar; o != nil && o.Spec.(*networking.Sidecar).GetOutboundTrafficPolicy() != nil {
		return Origin{o.Key, "spec.outboundTrafficPolicy"}
	}
	return Origin{meshObject().Key, "outboundTrafficPolicy"}
}
