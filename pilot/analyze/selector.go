package analyze

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// selecting is an object that is for workloads of its namespace; selector is nil where it is for all of them.
type selecting struct {
	*model.Object
	field    string // in which the labels stand
	selector map[string]string
}

// sidecars gives the Sidecars, the oldest first.
func (m *mesh) sidecars() []selecting {
	var out []selecting
	for _, o := range of[*networking.Sidecar](m, model.KindSidecar) {
		out = append(out, selecting{o.Object, "spec.workloadSelector", o.spec.GetWorkloadSelector().GetLabels()})
	}
	return oldestFirst(out)
}

// telemetries gives the Telemetry objects, the oldest first.
func (m *mesh) telemetries() []selecting {
	var out []selecting
	for _, o := range of[*telemetryapi.Telemetry](m, model.KindTelemetry) {
		out = append(out, selecting{o.Object, "spec.selector", o.spec.GetSelector().GetMatchLabels()})
	}
	return oldestFirst(out)
}

func oldestFirst(all []selecting) []selecting {
	slices.SortStableFunc(all, func(a, b selecting) int { return model.Older(a.Object, b.Object) })
	return all
}

// rivals finds, of objects of which the oldest alone counts, those that are for the same workloads as an
// older one.
func rivals(m *mesh) {
	m.severalDefaults(m.sidecars(), severalSidecars)
	m.overlapping(m.sidecars(), conflictingSidecars)
	m.severalDefaults(m.telemetries(), severalTelemetries)
	m.overlapping(m.telemetries(), conflictingTelemetries)
}

// severalDefaults finds namespaces with more than one object without a selector.
func (m *mesh) severalDefaults(all []selecting, code string) {
	first := map[string]selecting{}
	for _, o := range all {
		if len(o.selector) > 0 {
			continue
		}
		if other, ok := first[o.Namespace]; ok {
			m.report(o.Object, o.field, code, Error, "%s has no selector either, and the older one counts for the whole namespace; keep one of them, or give this one a selector", other.Key)
			continue
		}
		first[o.Namespace] = o
	}
}

// overlapping finds objects that select a workload which an older one has.
func (m *mesh) overlapping(all []selecting, code string) {
	var selectors []selector
	for _, o := range all {
		selectors = append(selectors, selector{o.Namespace, o.selector})
	}
	selections, older := m.selectionsOf(selectors), crowd[int, selecting]{}
	for i, b := range all {
		id := selections.of(selectors[i])
		selected := selections.workloads[id]
		if len(b.selector) == 0 || len(selected) == 0 {
			continue
		}
		if before := older.before(i, selections.meet(id)...); len(before) > 0 {
			var others []*model.Object
			for _, a := range before {
				others = append(others, a.Object)
			}
			both := slices.IndexFunc(selected, func(w *workload) bool { return model.HasLabels(w.meta.Labels, before[0].selector) })
			m.reportPairs(b.Object, others, b.field, code, Error, "selects %s as well, and the older one counts; make the selectors exclude each other", selected[both])
		}
		older.join(i, b, id)
	}
}

// selectorsWithoutWorkload finds objects that are for workloads of which there is none. What is of the root
// namespace is for all, but for Sidecars, DestinationRules and PeerAuthentications.
func selectorsWithoutWorkload(m *mesh) {
	const matchLabels = "spec.selector.matchLabels"
	check := func(o *model.Object, everywhere bool, field string, labels map[string]string) {
		namespace, where := o.Namespace, "of namespace "+o.Namespace
		if everywhere && namespace == m.config.GetRootNamespace() {
			namespace, where = "", "of any namespace"
		}
		if len(labels) == 0 || len(m.selected(namespace, labels)) > 0 {
			return
		}
		if m.seldomAmongFiles(namespace, labels) {
			m.report(o, field, notFound, Info, usualIngressOnly)
		} else {
			m.report(o, field, noWorkloads, Warning, "no workload %s has the labels %s, so it has no effect; correct them, or deploy such pods", where, model.LabelSet(labels))
		}
	}
	for _, o := range of[*networking.Sidecar](m, model.KindSidecar) {
		check(o.Object, false, "spec.workloadSelector.labels", o.spec.GetWorkloadSelector().GetLabels())
	}
	for _, o := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		check(o.Object, false, "spec.workloadSelector.matchLabels", o.spec.GetWorkloadSelector().GetMatchLabels())
	}
	for _, o := range of[*security.PeerAuthentication](m, model.KindPeerAuthentication) {
		check(o.Object, false, matchLabels, o.spec.GetSelector().GetMatchLabels())
	}
	for _, o := range of[*security.AuthorizationPolicy](m, model.KindAuthorizationPolicy) {
		check(o.Object, true, matchLabels, o.spec.GetSelector().GetMatchLabels())
	}
	for _, o := range of[*security.RequestAuthentication](m, model.KindRequestAuthentication) {
		check(o.Object, true, matchLabels, o.spec.GetSelector().GetMatchLabels())
	}
	for _, o := range of[*telemetryapi.Telemetry](m, model.KindTelemetry) {
		check(o.Object, true, matchLabels, o.spec.GetSelector().GetMatchLabels())
	}
	for _, o := range of[*networking.EnvoyFilter](m, model.KindEnvoyFilter) {
		check(o.Object, true, "spec.workloadSelector.labels", o.spec.GetWorkloadSelector().GetLabels())
	}
}

// portsWithoutWorkload finds mutual TLS of ports that no workload of the policy has.
func portsWithoutWorkload(m *mesh) {
	for _, pa := range of[*security.PeerAuthentication](m, model.KindPeerAuthentication) {
		labels := pa.spec.GetSelector().GetMatchLabels()
		if len(labels) == 0 {
			continue
		}
		workloads := m.selected(pa.Namespace, labels)
		for _, port := range sortedPorts(pa.spec.GetPortLevelMtls()) {
			if m.nobodyListens(workloads, port) {
				m.report(pa.Object, fmt.Sprintf("spec.portLevelMtls.%d", port), "", Warning,
					"no workload that it selects has port %d, so it has no effect; use a port of the container, not of the Service", port)
			}
		}
	}
}

// policyPortsWithoutWorkload finds ports of AuthorizationPolicies that no workload of the policy has, as those of a Service
// in front of another port of the container. Only ports that some Service has are looked at, since a container need not
// say which it listens on.
func policyPortsWithoutWorkload(m *mesh) {
	for _, ap := range of[*security.AuthorizationPolicy](m, model.KindAuthorizationPolicy) {
		labels, namespace := ap.spec.GetSelector().GetMatchLabels(), ap.Namespace
		if namespace == m.config.GetRootNamespace() {
			namespace = ""
		}
		workloads := m.selected(namespace, labels)
		for i, rule := range ap.spec.GetRules() {
			for j, to := range rule.GetTo() {
				m.policyPorts(ap.Object, fmt.Sprintf("spec.rules[%d].to[%d].operation.ports", i, j), to.GetOperation().GetPorts(), workloads)
				m.policyPorts(ap.Object, fmt.Sprintf("spec.rules[%d].to[%d].operation.notPorts", i, j), to.GetOperation().GetNotPorts(), workloads)
			}
		}
	}
}

func (m *mesh) policyPorts(ap *model.Object, field string, ports []string, workloads []*workload) {
	for i, text := range ports {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || !m.nobodyListens(workloads, uint32(n)) {
			continue
		}
		for _, w := range workloads {
			if target := m.behind(w, uint32(n)); target != 0 {
				m.report(ap, fmt.Sprintf("%s[%d]", field, i), "", Warning,
					"no workload that it selects has port %d, which is a Service's, so no request has it; use port %d of the container", n, target)
				break
			}
		}
	}
}

// behind gives the port of a workload that a Service of it leads to from a port; 0 for none that is known.
func (m *mesh) behind(w *workload, port uint32) uint32 {
	for _, svc := range m.reader.ServicesSelecting("", w.object.Namespace, w.meta.Labels) {
		if p := svc.PortByNumber(port); p != nil {
			return p.TargetPort
		}
	}
	return 0
}

// nobodyListens tells that none of some workloads has a port.
func (m *mesh) nobodyListens(workloads []*workload, port uint32) bool {
	return len(workloads) > 0 && !slices.ContainsFunc(workloads, func(w *workload) bool { return m.listens(w, port) })
}

func sortedPorts[V any](ports map[uint32]V) []uint32 {
	var out []uint32
	for port := range ports {
		out = append(out, port)
	}
	slices.Sort(out)
	return out
}

// listens tells whether a container of a workload says that it has a port, or a Service leads to it; that of a pod that
// runs may always.
func (m *mesh) listens(w *workload, port uint32) bool {
	if w.running {
		return true
	}
	for _, c := range slices.Concat(w.spec.Containers, w.spec.InitContainers) {
		for _, p := range c.Ports {
			if uint32(p.ContainerPort) == port {
				return true
			}
		}
	}
	for _, svc := range m.reader.ServicesSelecting("", w.object.Namespace, w.meta.Labels) {
		for _, p := range svc.Ports {
			if p.TargetPort == port {
				return true
			}
		}
	}
	return false
}

// conflictingMutualTLS finds DestinationRules that turn TLS off, or send another one, to workloads that
// take mutual TLS only.
func conflictingMutualTLS(m *mesh) {
	by := m.strictness()
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		tls := dr.spec.GetTrafficPolicy().GetTls()
		if tls == nil || tls.GetMode() == networking.ClientTLSSettings_ISTIO_MUTUAL || tls.GetMode() == networking.ClientTLSSettings_MUTUAL {
			continue
		}
		for _, svc := range m.ruleServices(dr) {
			if pa := by.strict(m, svc); pa != nil {
				m.report(dr.Object, "spec.trafficPolicy.tls.mode", mutualTLSConflict, Error,
					"mode %s is refused by %s, for which %s wants mutual TLS; leave out tls, or use ISTIO_MUTUAL", strings.ToUpper(tls.GetMode().String()), svc.Hostname, pa.Key)
			}
		}
	}
}

// strictness is what PeerAuthentications say: the one for all of a namespace, and the workloads that others are for.
type strictness struct {
	wide     map[string]object[*security.PeerAuthentication]
	excepted map[*workload]bool
}

func (m *mesh) strictness() strictness {
	out := strictness{map[string]object[*security.PeerAuthentication]{}, map[*workload]bool{}}
	done := map[string]bool{}
	for _, pa := range of[*security.PeerAuthentication](m, model.KindPeerAuthentication) {
		if labels := pa.spec.GetSelector().GetMatchLabels(); len(labels) > 0 {
			if s := (selector{pa.Namespace, labels}).String(); !done[s] {
				done[s] = true
				for _, w := range m.selected(pa.Namespace, labels) {
					out.excepted[w] = true
				}
			}
		}
		_, known := out.wide[pa.Namespace]
		if !known && pa.spec.GetSelector() == nil && pa.spec.GetMtls().GetMode() != security.PeerAuthentication_MutualTLS_UNSET {
			out.wide[pa.Namespace] = pa
		}
	}
	return out
}

// strict gives the policy of a service's namespace, or else of the mesh, if it wants mutual TLS of every
// workload and port.
func (s strictness) strict(m *mesh, svc *model.Service) *model.Object {
	pa, ok := s.wide[svc.Namespace]
	if !ok {
		pa, ok = s.wide[m.config.GetRootNamespace()]
	}
	if !ok || pa.spec.GetMtls().GetMode() != security.PeerAuthentication_MutualTLS_STRICT ||
		slices.ContainsFunc(m.selected(svc.Namespace, svc.Selector), func(w *workload) bool { return s.excepted[w] }) {
		return nil
	}
	return pa.Object
}
