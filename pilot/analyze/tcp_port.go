package analyze

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// tcpPort is a port of a workload that its Service declares to be of another protocol than HTTP.
type tcpPort struct {
	workload *workload
	resolve.InboundPort
}

func (p tcpPort) String() string {
	return fmt.Sprintf("port %d of %s (port %q of Service %s/%s)", p.TargetPort, p.workload, p.Name, p.Service.Namespace, p.Service.Name)
}

// targetPorts gives the ports of the workloads that a policy is for: those of TCP, and whether there are others.
func (m *mesh) targetPorts(o *model.Object) (tcp []tcpPort, others bool) {
	target, namespace := model.PolicyTargetOf(o.Spec), o.Namespace
	if namespace == m.config.GetRootNamespace() {
		namespace = "" // it is for all of them
	}
	for _, w := range m.selected(namespace, target.Labels) {
		router := w.proxy == model.RouterProxy
		switch {
		case w.proxy == "" || !target.Includes(w.meta.Labels, router, o.Namespace == w.object.Namespace):
		case router:
			others = true // whose Gateways say what it speaks
		default:
			ports := m.inboundPorts(w)
			tcp, others = append(tcp, ports.tcp...), others || ports.others
		}
	}
	return tcp, others
}

// inboundPorts are the ports of a workload: those of TCP, and whether there are others.
type inboundPorts struct {
	tcp    []tcpPort
	others bool
}

// inboundPorts finds them once for each workload.
func (m *mesh) inboundPorts(w *workload) inboundPorts {
	out, known := m.index.inbound[w]
	if known {
		return out
	}
	pod := w.object
	if !w.running {
		pod = w.pod(0)
	}
	class := resolve.Classify(m.reader, m.proxy(w.proxy, pod.Namespace, pod.Name, "10.255.0.1", pod.Labels))
	for _, in := range class.Inbound {
		if in.Protocol.IsHTTP() || in.Protocol == model.ProtocolAuto {
			out.others = true
		} else {
			out.tcp = append(out.tcp, tcpPort{w, in})
		}
	}
	m.index.inbound[w] = out
	return out
}

// requestRulesOfTCP finds rules of AuthorizationPolicies that ask about requests where connections are no HTTP.
func requestRulesOfTCP(m *mesh) {
	letIn := m.tcpLetIn()
	for _, p := range of[*security.AuthorizationPolicy](m, model.KindAuthorizationPolicy) {
		tcp, _ := m.targetPorts(p.Object)
		if p.spec.GetAction() == security.AuthorizationPolicy_ALLOW { // what another rule is for needs none of this one
			tcp = slices.DeleteFunc(slices.Clone(tcp), func(t tcpPort) bool { return letIn[t.at()] })
		}
		effect := "so the rule denies every connection to it, whatever the request"
		switch p.spec.GetAction() {
		case security.AuthorizationPolicy_ALLOW:
			effect = "so the rule lets nobody in there"
		case security.AuthorizationPolicy_AUDIT, security.AuthorizationPolicy_CUSTOM:
			effect = "so the rule is for every connection to it, whatever the request"
		}
		for i, rule := range p.spec.GetRules() {
			field, meant := askedOfTCP(rule, tcp)
			if field == "" {
				continue
			}
			more := " takes"
			if n := len(meant) - 1; n > 0 {
				more = fmt.Sprintf(" and %d more take", n)
			}
			m.report(p.Object, fmt.Sprintf("spec.rules[%d].%s", i, field), "", Warning,
				"asks about requests of HTTP, and %s%s no HTTP by the name in the Service, %s; name the ports that the rule is for, or the protocol in the Service", meant[0], more, effect)
		}
	}
}

// portAt is a port of a workload.
type portAt struct {
	workload *workload
	port     uint32
}

func (p tcpPort) at() portAt { return portAt{p.workload, p.TargetPort} }

// tcpLetIn gives the ports of TCP to which some rule lets connections, as it asks for nothing there that only requests
// have.
func (m *mesh) tcpLetIn() map[portAt]bool {
	out := map[portAt]bool{}
	for _, p := range of[*security.AuthorizationPolicy](m, model.KindAuthorizationPolicy) {
		if p.spec.GetAction() != security.AuthorizationPolicy_ALLOW {
			continue
		}
		tcp, _ := m.targetPorts(p.Object)
		for _, rule := range p.spec.GetRules() {
			fields := requestFields(rule)
			for _, t := range tcp {
				asks := slices.ContainsFunc(fields, func(f requestField) bool { return f.isFor(rule, t.TargetPort) })
				if !asks && (requestField{}).isFor(rule, t.TargetPort) {
					out[t.at()] = true
				}
			}
		}
	}
	return out
}

// requestField is a field of a rule that only requests have.
type requestField struct {
	path string
	// of is the operation for whose ports it is; nil for those of all operations of the rule.
	of *security.Operation
}

// askedOfTCP gives the first field that only requests have and that is for ports of TCP, with these; "" for none.
func askedOfTCP(rule *security.Rule, tcp []tcpPort) (field string, meant []tcpPort) {
	for _, f := range requestFields(rule) {
		meant := slices.DeleteFunc(slices.Clone(tcp), func(t tcpPort) bool { return !f.isFor(rule, t.TargetPort) })
		if len(meant) > 0 {
			return f.path, meant
		}
	}
	return "", nil
}

// requestFields lists the fields of a rule that only requests have.
func requestFields(rule *security.Rule) (out []requestField) {
	for i, to := range rule.GetTo() {
		o := to.GetOperation()
		for _, f := range []struct {
			name   string
			values []string
		}{{"hosts", o.GetHosts()}, {"notHosts", o.GetNotHosts()}, {"methods", o.GetMethods()}, {"notMethods", o.GetNotMethods()}, {"paths", o.GetPaths()}, {"notPaths", o.GetNotPaths()}} {
			if len(f.values) > 0 {
				out = append(out, requestField{fmt.Sprintf("to[%d].operation.%s", i, f.name), o})
			}
		}
	}
	for i, from := range rule.GetFrom() {
		s := from.GetSource()
		switch {
		case len(s.GetRequestPrincipals()) > 0:
			out = append(out, requestField{path: fmt.Sprintf("from[%d].source.requestPrincipals", i)})
		case len(s.GetNotRequestPrincipals()) > 0:
			out = append(out, requestField{path: fmt.Sprintf("from[%d].source.notRequestPrincipals", i)})
		}
	}
	for i, c := range rule.GetWhen() {
		if strings.HasPrefix(c.GetKey(), "request.") {
			out = append(out, requestField{path: fmt.Sprintf("when[%d].key", i)})
		}
	}
	return out
}

// isFor tells whether a field of a rule is for a port.
func (f requestField) isFor(rule *security.Rule, port uint32) bool {
	for _, c := range rule.GetWhen() {
		if c.GetKey() == "destination.port" && !includesPort(c.GetValues(), c.GetNotValues(), port) {
			return false
		}
	}
	covers := func(o *security.Operation) bool { return includesPort(o.GetPorts(), o.GetNotPorts(), port) }
	if f.of != nil {
		return covers(f.of)
	}
	return len(rule.GetTo()) == 0 || slices.ContainsFunc(rule.GetTo(), func(to *security.Rule_To) bool { return covers(to.GetOperation()) })
}

// includesPort tells whether a port is among those that are meant, none for all, and not among those that are not.
func includesPort(ports, not []string, port uint32) bool {
	number := strconv.FormatUint(uint64(port), 10)
	return (len(ports) == 0 || slices.Contains(ports, number)) && !slices.Contains(not, number)
}

// tokensOfTCP finds RequestAuthentications whose workloads take no HTTP at all, so that nobody looks at tokens.
func tokensOfTCP(m *mesh) {
	for _, ra := range of[*security.RequestAuthentication](m, model.KindRequestAuthentication) {
		if tcp, others := m.targetPorts(ra.Object); len(tcp) > 0 && !others {
			m.report(ra.Object, "spec.jwtRules", ineffectivePolicy, Warning,
				"%s takes no HTTP by the name in the Service, and no other workload of the policy does, so nobody looks at tokens; name the protocol in the Service", tcp[0])
		}
	}
}
