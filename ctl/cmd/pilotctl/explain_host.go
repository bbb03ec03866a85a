package main

import (
	"context"
	"fmt"
	"net"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hostsOf finds hosts as a client beside a proxy does. later, nil for none, has the endpoints that t has not, which the
// names of headless Services stand for.
func hostsOf(t *analyze.Translation, p analyze.Proxy, later func() *analyze.Translation) func(string) *explain.Host {
	return func(name string) *explain.Host {
		if out := hostKnown(t, p, name, later); out != nil {
			return out
		}
		out := explain.Unknown(name, t.Names(p))
		out.Absent = t.Absent(p, name)
		return out
	}
}

// hostKnown finds a host of the mesh as hostsOf does; nil for none.
func hostKnown(t *analyze.Translation, p analyze.Proxy, name string, later func() *analyze.Translation) *explain.Host {
	h, ok := t.Host(p, name)
	if !ok {
		return nil
	}
	whole := func() *analyze.Translation {
		if later != nil {
			if out := later(); out != nil {
				return out
			}
		}
		return t
	}
	if h.Headless && len(h.Addresses) == 0 {
		h, _ = whole().Host(p, name)
	}
	out := &explain.Host{Name: h.Name, Object: objectPath(h.Object), Addresses: h.Addresses, Headless: h.Headless, Hidden: h.Hidden, Undiscovered: h.Undiscovered}
	out.Servers = func(port uint16) (all []explain.Endpoint) {
		for _, s := range whole().Servers(h.Object, uint32(port)) {
			all = append(all, explain.Endpoint{Address: net.JoinHostPort(s.Address, fmt.Sprint(s.Port)), Workload: s.Workload + ";" + s.Namespace})
		}
		return all
	}
	for _, port := range h.Ports {
		out.Ports = append(out.Ports, uint16(port))
	}
	return out
}

// objectPath names an object as resources name those that they come from.
func objectPath(key model.Key) string {
	group := "core/v1"
	if key.Kind != model.KindService {
		group = "networking.istio.io/v1"
	}
	return explain.ObjectPath(group, string(key.Kind), key.Namespace, key.Name)
}

// endpoints asks the mesh for what headless Services' names stand for; nil where it does not answer.
func (r *remade) endpoints(ctx context.Context) *analyze.Translation {
	mesh, err := readRunning(ctx, r.revision, append(routedBy(), string(model.KindPod), string(model.KindEndpointSlice))...)
	if err != nil {
		return nil
	}
	mesh.Proxies = nil
	t, err := mesh.Translate(ctx)
	if err != nil {
		return nil
	}
	return t
}
