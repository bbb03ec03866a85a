package resolve

import (
	"cmp"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// virtualService is an object with its hosts completed.
type virtualService struct {
	*model.Object
	spec  *networking.VirtualService
	hosts []string // as in spec.hosts, short names resolved
	// http are its HTTP rules with those of delegates in their place, and problems what is wrong with
	// delegates.
	http     []httpRule
	problems []model.Problem
}

func newVirtualService(r Reader, o *model.Object) *virtualService {
	vs := &virtualService{Object: o, spec: o.Spec.(*networking.VirtualService)}
	for _, host := range vs.spec.GetHosts() {
		vs.hosts = append(vs.hosts, model.ResolveHost(host, o.Namespace, r.Domain()))
	}
	vs.problems = o.Faults()
	vs.expand(r)
	return vs
}

// hostFor gives the host by which a VirtualService is about a name: the name, or the most specific
// wildcard that covers it.
func (vs *virtualService) hostFor(name string) string {
	best := ""
	for _, h := range vs.hosts {
		if model.HostCovers(h, name) && len(h) > len(best) {
			best = h
		}
		if h == name {
			return h
		}
	}
	return best
}

// precedence orders VirtualServices for a client: those that only its namespace sees come first, then those exported
// to it by name, then those of everyone, each by age.
func precedence(r Reader, client string) func(a, b *model.Object) int {
	rank := func(o *model.Object) int {
		return model.VirtualServiceAudience(r.Mesh(), o.Spec.(*networking.VirtualService), o.Namespace).Rank(o.Namespace, client)
	}
	return func(a, b *model.Object) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), model.Older(a, b)) }
}

// inForce finds, among the VirtualServices for a name, the first of which routes gives anything: one
// that says nothing to this class hides no other. Those after it that name the same host are reported,
// since sidecars do not merge them, and what leads nowhere.
func (v *view) inForce(name string, says func(*virtualService) bool) {
	candidates := v.virtualServices(name)
	for i, vs := range candidates {
		if says(vs) {
			v.report(shadowed(vs, candidates[i+1:], name)...)
			return
		}
	}
}

// shadowed reports the VirtualServices that another of the same host hides.
func shadowed(by *virtualService, others []*virtualService, name string) []model.Problem {
	var out []model.Problem
	host := by.hostFor(name)
	for _, vs := range others {
		if vs.Key == by.Key || len(vs.spec.GetHttp()) == 0 || len(by.spec.GetHttp()) == 0 || !slices.Contains(vs.hosts, host) {
			continue
		}
		out = append(out, vs.WarningAt("spec.hosts", model.ReasonConflict,
			"sidecars route "+host+" by "+by.Key.String()+", since rules of several VirtualServices for one host are not merged; put all rules into one object"))
	}
	return out
}

// configPath names an object of Istio's networking group in resources that come from it; kind is in kebab case.
func configPath(o *model.Object, kind string) string {
	return "/apis/networking.istio.io/v1/namespaces/" + o.Namespace + "/" + kind + "/" + o.Name
}
