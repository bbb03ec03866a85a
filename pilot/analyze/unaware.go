package analyze

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Unaware is a client whose sidecar does not see a Service, though DNS gives the client its address.
type Unaware struct {
	Service model.Key // the zero key where none leads there
	// Sidecar leaves the Service out; the zero key where the Service's exportTo does.
	Sidecar model.Key
	// Passes tells that what goes there is passed on as it came, rather than not at all.
	Passes bool
}

// UnawareOf tells of a workload of the files whose sidecar sees none of the Services that lead to a port of this one; nil
// where it sees one, where a ServiceEntry leads there, for a workload without a sidecar, and of a gateway without a Service,
// which the files may leave out.
func (r *Receiver) UnawareOf(namespace, name string, port uint32) *Unaware {
	i := slices.IndexFunc(r.mesh.workloads, func(w *workload) bool { return w.object.Namespace == namespace && w.object.Name == name })
	if i < 0 || r.mesh.workloads[i].proxy != model.SidecarProxy {
		return nil
	}
	pod := r.mesh.workloads[i].pod(i)
	class := resolve.Classify(r.mesh.reader, r.mesh.proxy(model.SidecarProxy, namespace, pod.Name, "10.255.0.1", pod.Labels))
	plan := resolve.NewPlan(r.mesh.reader, &class)
	if r.class.Type == model.SidecarProxy && !slices.ContainsFunc(r.class.Inbound, func(in resolve.InboundPort) bool { return in.TargetPort == port }) {
		return &Unaware{Passes: plan.PassesUnknown()}
	}
	var out *Unaware
	for _, in := range r.class.Inbound {
		if in.TargetPort != port || in.Service.Kind != model.KindService {
			continue
		}
		if slices.ContainsFunc(plan.Services(), func(svc *model.Service) bool { return svc.Key == in.Service }) {
			return nil
		}
		if out == nil {
			out = &Unaware{Service: in.Service, Passes: plan.PassesUnknown()}
			exported := func(svc *model.Service) bool { return svc.Key == in.Service }
			if slices.ContainsFunc(r.mesh.reader.Services(namespace), exported) {
				out.Sidecar = class.Sidecar
			}
		}
	}
	return out
}

// Unresolved gives the names of gateways between networks whose addresses are not among the objects.
func (r *Receiver) Unresolved() []string { return r.mesh.unresolved() }
