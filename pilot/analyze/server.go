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
func (t *Translation) BareServer(server netip.Addr) bool { return t.bare()[server.Unmap()] }

// bareServers tells it of the addresses of all pods. Of one that several services have the first counts.
func (m *mesh) bareServers() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, svc := range m.services {
		for _, e := range m.snapshot.Endpoints(svc.ID()) {
			a, err := netip.ParseAddr(e.Address)
			if err != nil || e.Pod == "" || e.Entry {
				continue
			}
			if _, known := out[a.Unmap()]; !known {
				out[a.Unmap()] = e.TLSMode != model.TLSModeIstio
			}
		}
	}
	return out
}
