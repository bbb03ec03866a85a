package store

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Particular gives the hosts about which a namespace may see other rows than one that has nothing
// of its own does: its own services, those that are exported to it by name, and the hosts of
// VirtualServices and DestinationRules that are, and of all DestinationRules that it has. wild tells
// that some follow from a wildcard, so that a new service may be one of them.
func (s *Snapshot) Particular(namespace string) (hosts map[string]struct{}, wild bool) {
	out := map[string]struct{}{}
	add := func(pattern string) {
		suffix, found := strings.CutPrefix(pattern, "*")
		if !found {
			out[pattern] = struct{}{}
			return
		}
		wild = true
		s.byHost.all(func(host string, _ *model.Service) {
			if strings.HasSuffix(host, suffix) {
				out[host] = struct{}{}
			}
		})
	}
	for _, services := range [][]*model.Service{s.nsServices.row(namespace), s.services.private[namespace]} {
		for _, svc := range services {
			out[svc.Hostname] = struct{}{}
		}
	}
	for _, o := range s.virtualServices.private[namespace] {
		for _, host := range o.Spec.(*networking.VirtualService).GetHosts() {
			add(fullHost(host, o.Namespace, s.domain))
		}
	}
	for _, rules := range [][]*model.Object{s.exported.row(namespace), s.byKind.row(nsKind{model.KindDestinationRule, namespace})} {
		for _, o := range rules {
			add(fullHost(o.Spec.(*networking.DestinationRule).GetHost(), o.Namespace, s.domain))
		}
	}
	return out, wild
}
