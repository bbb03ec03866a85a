package analyze

import (
	"net/netip"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Servers gives the servers to which Kubernetes leads what is sent to a port of a Service's address, which are not
// told by what a proxy runs that does not see the Service.
func (t *Translation) Servers(service model.Key, port uint32) []model.Endpoint {
	for _, svc := range t.mesh.services {
		at := slices.IndexFunc(svc.Ports, func(p model.ServicePort) bool { return p.Port == port })
		if svc.Key != service || at < 0 {
			continue
		}
		return slices.DeleteFunc(slices.Clone(t.mesh.snapshot.Endpoints(svc.ID())), func(e model.Endpoint) bool {
			return e.ServicePort != svc.Ports[at].Name || e.Health != model.Healthy
		})
	}
	return nil
}

// BareServer tells of a server's address that it is of a pod without a sidecar. Where no pod is known it is false.
func (t *Translation) BareServer(server netip.Addr) bool {
	for _, svc := range t.mesh.services {
		for _, e := range t.mesh.snapshot.Endpoints(svc.ID()) {
			if a, err := netip.ParseAddr(e.Address); err == nil && a.Unmap() == server.Unmap() && e.Pod != "" && !e.Entry {
				return e.TLSMode != model.TLSModeIstio
			}
		}
	}
	return false
}
