package analyze

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// portLookup finds where ports of Services lead, without looking at each workload and each Service for each proxy.
type portLookup struct {
	*mesh
	workloads map[[2]string]*workload              // by namespace and name of the pod
	services  map[string][]object[*corev1.Service] // by namespace
}

func (m *mesh) portLookup() *portLookup {
	out := &portLookup{mesh: m, workloads: map[[2]string]*workload{}, services: map[string][]object[*corev1.Service]{}}
	for i, w := range m.workloads {
		out.workloads[[2]string{w.object.Namespace, w.pod(i).Name}] = w
	}
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		out.services[svc.Namespace] = append(out.services[svc.Namespace], svc)
	}
	return out
}

// of gives where the ports of the Services lead that select a proxy's pod, apart from those of UDP; nil where a port has a
// name that nobody knows, as the pod is not known.
func (l *portLookup) of(p *model.Proxy) (tcp, udp map[uint16]uint16) {
	known := l.reader.Pod("", p.Namespace, p.Name) != nil
	labels, target := p.Labels, func(port corev1.ServicePort) uint32 { return l.runningPort(p, port) }
	if w := l.workloads[[2]string{p.Namespace, p.Name}]; w != nil {
		known, labels, target = true, w.meta.Labels, func(port corev1.ServicePort) uint32 { return targetPort(port, w) }
	}
	tcp, udp = map[uint16]uint16{}, map[uint16]uint16{}
	for _, svc := range l.services[p.Namespace] {
		if !model.Selects(svc.spec.Spec.Selector, labels) {
			continue
		}
		for _, port := range svc.spec.Spec.Ports {
			switch number := target(port); {
			case number == 0 && !known:
				return nil, nil
			case number == 0:
			case port.Protocol == corev1.ProtocolUDP:
				udp[uint16(port.Port)] = uint16(number)
			default:
				tcp[uint16(port.Port)] = uint16(number)
			}
		}
	}
	return tcp, udp
}

// runningPort gives where a port of a Service arrives at the pod of a connected proxy; 0 where the port has a name and
// the pod is not known.
func (m *mesh) runningPort(p *model.Proxy, port corev1.ServicePort) uint32 {
	if port.TargetPort.StrVal == "" {
		return targetPort(port, nil)
	}
	if o := m.reader.Pod("", p.Namespace, p.Name); o != nil {
		return o.Spec.(*model.Pod).PortNamed(port.TargetPort.StrVal, port.Protocol == corev1.ProtocolUDP)
	}
	return 0
}
