package analyze

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// hiddenNamed is how many services are named that a Sidecar leaves out.
const hiddenNamed = 3

// hiddenServices finds Sidecars that leave out services which take mutual TLS only, though their workloads reach them all
// the same: DNS gives their addresses, and what goes to unknown addresses is passed on in the clear.
func hiddenServices(m *mesh) {
	by := m.strictness()
	var strict []*model.Service
	refuses := map[*model.Service]*model.Object{}
	for _, svc := range m.services {
		if pa := by.strict(m, svc); pa != nil && svc.Key.Kind == model.KindService && m.hasSidecar(svc) {
			strict = append(strict, svc)
			refuses[svc] = pa
		}
	}
	if len(strict) == 0 {
		return
	}
	for _, o := range of[*networking.Sidecar](m, model.KindSidecar) {
		plan := m.narrowed(o)
		if plan == nil || !plan.PassesUnknown() {
			continue
		}
		var names []string
		var pa *model.Object
		for _, svc := range strict {
			if m.leavesOut(o, plan, svc) {
				names, pa = append(names, svc.Hostname), refuses[svc]
			}
		}
		if len(names) == 0 {
			continue
		}
		text := strings.Join(names[:min(len(names), hiddenNamed)], ", ")
		if len(names) > hiddenNamed {
			text += " and others"
		}
		m.report(o.Object, "spec.egress", mutualTLSConflict, Info,
			"leaves out %s, which by %s take mutual TLS only: what its workloads send there is passed on in the clear, and refused; add the hosts that they call, or refuse unknown ones with outboundTrafficPolicy REGISTRY_ONLY", text, pa.Key)
	}
}

// hasSidecar tells whether some server of a service has a sidecar.
func (m *mesh) hasSidecar(svc *model.Service) bool {
	for _, e := range m.snapshot.Endpoints(svc.ID()) {
		if e.TLSMode == model.TLSModeIstio {
			return true
		}
	}
	return false
}

// narrowed plans what the workloads of a Sidecar send; nil where it leaves nothing out, or is not in force. That of the
// root namespace sees something else in each namespace, and is not looked at.
func (m *mesh) narrowed(o object[*networking.Sidecar]) *resolve.Plan {
	if len(o.spec.GetEgress()) == 0 || o.Namespace == m.config.GetRootNamespace() {
		return nil
	}
	class := resolve.Classify(m.reader, m.proxy(model.SidecarProxy, o.Namespace, Any, "10.253.0.1", o.spec.GetWorkloadSelector().GetLabels()))
	if class.Sidecar != o.Key {
		return nil
	}
	return resolve.NewPlan(m.reader, &class)
}

// leavesOut tells whether it is a Sidecar that hides a service from its workloads, which without it would see it.
func (m *mesh) leavesOut(o object[*networking.Sidecar], plan *resolve.Plan, svc *model.Service) bool {
	return !plan.HasService(svc.Hostname) && m.reader.Service(o.Namespace, svc.Hostname) != nil
}

// notSeenBy tells which Sidecars hide a Service whose address their workloads find all the same, and what becomes of what
// these send there.
func (m *mesh) notSeenBy(svc *model.Service) []string {
	if svc.Key.Kind != model.KindService {
		return nil
	}
	var out []string
	for _, o := range of[*networking.Sidecar](m, model.KindSidecar) {
		plan := m.narrowed(o)
		switch {
		case plan == nil || !m.leavesOut(o, plan, svc):
		case plan.PassesUnknown():
			out = append(out, o.Key.String()+": what its workloads send there is passed on in the clear")
		default:
			out = append(out, o.Key.String()+": its workloads send nothing there, or by another way (outboundTrafficPolicy)")
		}
	}
	return out
}
