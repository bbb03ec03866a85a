package resolve

import (
	"cmp"
	"iter"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// virtualService is an object with the rules of its delegates.
type virtualService struct {
	*model.Object
	spec *networking.VirtualService
	// http are its HTTP rules with those of delegates in their place, and problems what is wrong with
	// delegates.
	http     []httpRule
	problems []model.Problem
}

func newVirtualService(r Reader, o *model.Object) *virtualService {
	vs := &virtualService{Object: o, spec: o.Spec.(*networking.VirtualService)}
	vs.problems = o.Faults()
	vs.expand(r)
	return vs
}

// hostsOf yields the hosts of a VirtualService as in its spec, short names resolved.
func hostsOf(r Reader, o *model.Object) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, host := range o.Spec.(*networking.VirtualService).GetHosts() {
			if !yield(model.ResolveHost(host, o.Namespace, r.Domain())) {
				return
			}
		}
	}
}

// precedence orders VirtualServices for a client: those that only its namespace sees come first, then those exported
// to it by name, then those of everyone, each by age.
func precedence(r Reader, client string) func(a, b *model.Object) int {
	rank := func(o *model.Object) int {
		return model.VirtualServiceAudience(r.Mesh(), o.Spec.(*networking.VirtualService), o.Namespace).Rank(o.Namespace, client)
	}
	return func(a, b *model.Object) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), model.Older(a, b)) }
}

// configPath names an object of Istio's networking group in resources that come from it; kind is in kebab case.
func configPath(o *model.Object, kind string) string {
	return "/apis/networking.istio.io/v1/namespaces/" + o.Namespace + "/" + kind + "/" + o.Name
}
