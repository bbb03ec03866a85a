package analyze

import (
	"net/netip"
	"slices"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Peer gives the proxy whose workload has an address. Those that stand for workloads which the files do not have are
// nobody's peers.
func (t *Translation) Peer(server netip.Addr) (Proxy, bool) {
	i := slices.IndexFunc(t.Proxies, func(p Proxy) bool {
		return p.Name != Any && slices.ContainsFunc(p.of.IPs, func(ip string) bool {
			a, err := netip.ParseAddr(ip)
			return err == nil && a.Unmap() == server.Unmap()
		})
	})
	if i < 0 {
		return Proxy{}, false
	}
	return t.Proxies[i], true
}

// Beside gives a proxy that runs, of which nothing was made.
func (t *Translation) Beside(p *model.Proxy) Proxy {
	return Proxy{Kind: p.Type, Name: p.Name, Namespace: p.Namespace, of: p}
}

// Address gives the first address of a proxy; invalid where it has none.
func (p Proxy) Address() netip.Addr {
	for _, ip := range p.of.IPs {
		if a, err := netip.ParseAddr(ip); err == nil {
			return a
		}
	}
	return netip.Addr{}
}

// Identity gives what a proxy's certificate says: the account that it proved, else that of its pod.
func (t *Translation) Identity(p Proxy) string {
	account := p.of.ServiceAccount
	if p.of.Proof != nil {
		account = p.of.Proof.ServiceAccount
	}
	if account == "" {
		if at := resolve.WorkloadOf(t.mesh.reader, p.of); at.Pod != nil {
			account = at.Pod.Spec.(*model.Pod).ServiceAccount
		}
	}
	return t.mesh.identity(p.Namespace, account)
}

// MutualTLSBy gives the PeerAuthentication by which a port of a proxy's workload takes mutual TLS only.
func (t *Translation) MutualTLSBy(p Proxy, port uint32) (model.Key, bool) {
	class := resolve.Classify(t.mesh.reader, p.of)
	if by := resolve.InboundMTLS(t.mesh.reader, &class, port).Object; by != nil {
		return by.Key, true
	}
	return model.Key{}, false
}

// TokensBy gives the RequestAuthentication of a proxy's workload that takes tokens of an issuer, else its first.
func (t *Translation) TokensBy(p Proxy, issuer string) (model.Key, bool) {
	class := resolve.Classify(t.mesh.reader, p.of)
	all := t.mesh.tokensOf(&class)
	if len(all) == 0 {
		return model.Key{}, false
	}
	for _, ra := range all {
		if slices.ContainsFunc(ra.spec.GetJwtRules(), func(r *security.JWTRule) bool { return r.GetIssuer() == issuer }) {
			return ra.Key, true
		}
	}
	return all[0].Key, true
}

// tokensOf gives the RequestAuthentications of a class.
func (m *mesh) tokensOf(class *resolve.Class) []object[*security.RequestAuthentication] {
	return slices.DeleteFunc(of[*security.RequestAuthentication](m, model.KindRequestAuthentication), func(ra object[*security.RequestAuthentication]) bool {
		near := ra.Namespace == class.Namespace || ra.Namespace == m.config.GetRootNamespace()
		return !(near && !model.PolicyTargetOf(ra.spec).Some()) && !slices.Contains(class.RequestAuthentications, ra.Key)
	})
}

// Place gives where a field of an object stands.
func (t *Translation) Place(key model.Key, field string) Place {
	out := Place{Object: key, Field: field}
	t.mesh.stand(&out)
	return out
}
