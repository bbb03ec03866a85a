package analyze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Receiver is what a workload of files receives.
type Receiver struct {
	// Gateway tells that it is one. Then Listeners are those of its servers, else the one of what is redirected.
	Gateway   bool
	Listeners []*ir.Listener
	ports     map[uint16]uint16 // of a gateway, by those of its Services
	mesh      *mesh
	class     resolve.Class
	proxy     *model.Proxy
}

// Proxy is the workload's own, of which nothing was made.
func (r *Receiver) Proxy() Proxy {
	return Proxy{Kind: r.proxy.Type, Name: ownName(r.proxy), Namespace: r.proxy.Namespace, Ports: r.ports, of: r.proxy}
}

// RootNamespace is that whose objects are for all others.
func (r *Receiver) RootNamespace() string { return r.mesh.config.GetRootNamespace() }

// Provider gives the host of an extension provider that decides about calls; "" where the mesh has none of the name.
func (r *Receiver) Provider(name string) string {
	for _, p := range r.mesh.config.GetExtensionProviders() {
		if p.GetName() == name {
			_, host := model.ProviderService(cmp.Or(p.GetEnvoyExtAuthzHttp().GetService(), p.GetEnvoyExtAuthzGrpc().GetService()))
			return host
		}
	}
	return ""
}

// MutualTLS tells how a port takes mutual TLS, and which PeerAuthentication says so, nil for none.
func (r *Receiver) MutualTLS(port uint32) (ir.MTLSMode, *model.Object) {
	m := resolve.InboundMTLS(r.mesh.reader, &r.class, port)
	return m.Mode, m.Object
}

// ArrivesAt gives where a gateway listens for what is sent to a port of its Service, else the port itself.
func (r *Receiver) ArrivesAt(port uint32) uint32 {
	if to, ok := r.ports[uint16(port)]; ok {
		return uint32(to)
	}
	return port
}

// TokensBy gives the RequestAuthentications of the workload.
func (r *Receiver) TokensBy() []model.Key {
	var out []model.Key
	for _, ra := range r.mesh.tokensOf(&r.class) {
		out = append(out, ra.Key)
	}
	return out
}

// Place gives where a field of an object stands.
func (r *Receiver) Place(key model.Key, field string) Place {
	out := Place{Object: key, Field: field}
	r.mesh.stand(&out)
	return out
}

// Caller gives the identity that a workload of the files shows in its certificate; "" where it has no proxy, which shows
// one.
func (r *Receiver) Caller(namespace, name string) (identity string, err error) {
	for _, w := range r.mesh.workloads {
		if w.object.Namespace != namespace || w.object.Name != name {
			continue
		}
		if w.proxy == "" {
			return "", nil
		}
		return r.mesh.identity(namespace, w.spec.ServiceAccountName), nil
	}
	if p := r.mesh.implied(namespace, name); p != nil {
		return r.mesh.identity(p.Namespace, p.ServiceAccount), nil
	}
	return "", fmt.Errorf("there is no workload %s/%s in the files", namespace, name)
}

// identity is that of an account.
func (m *mesh) identity(namespace, account string) string {
	return model.SPIFFE(cmp.Or(m.config.GetTrustDomain(), "cluster.local"), namespace, cmp.Or(account, "default"))
}

// Inbound gives what a workload of the files receives that has a proxy. The workload is a pod or what makes pods, by its
// name. A gateway that the files do not have goes by the name of its Gateway as well.
func Inbound(files []File, namespace, name string) (*Receiver, error) {
	m := load(files)
	var names []string
	for _, p := range m.proxies(nil) {
		if p.Name == Any {
			continue
		}
		own := ownName(p)
		names = append(names, p.Namespace+"/"+own)
		if p.Namespace == namespace && own == name {
			return m.receiver(p), nil
		}
	}
	if why, ok := m.bare(namespace, name); ok {
		return nil, fmt.Errorf("workload %s/%s has no sidecar, so no policy is enforced there: %s", namespace, name, why)
	}
	if p := m.implied(namespace, name); p != nil {
		return m.receiver(p), nil
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no workload %s/%s with a proxy; the files have none", namespace, name)
	}
	return nil, fmt.Errorf("there is no workload %s/%s with a proxy; there are %s", namespace, name, strings.Join(slices.Compact(names), ", "))
}

// ownName is the name of what makes a proxy's pods, without its kind.
func ownName(p *model.Proxy) string { return p.Name[strings.IndexByte(p.Name, '.')+1:] }

func (m *mesh) receiver(p *model.Proxy) *Receiver {
	out := &Receiver{Gateway: p.Type == model.RouterProxy, mesh: m, class: resolve.Classify(m.reader, p), proxy: p}
	if !out.Gateway {
		all, _ := resolve.Inbound(m.reader, &out.class)
		out.Listeners = all[:1] // the first is that of all that is redirected
		return out
	}
	out.ports, _ = m.portLookup().of(p)
	plan := resolve.NewGatewayPlan(m.reader, &out.class)
	for _, name := range plan.Listeners() {
		if l, _ := plan.Listener(m.reader, name); l != nil && !l.QUIC {
			out.Listeners = append(out.Listeners, l)
		}
	}
	return out
}
