package main

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// policed gives what a proxy runs with what only the mesh knows of it: where its rules stand, who it is for others,
// and which objects ask for what its resources do not tell.
func policed(ctx context.Context, t *analyze.Translation, p analyze.Proxy, c *explain.Config) *explain.Config {
	c.Place, c.Patched = placesOf(ctx, t, p), patchesOf(t, p)
	c.Identity, c.IP = t.Identity(p), p.Address()
	c.MutualTLSBy = func(port string) string {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return ""
		}
		return pathOf(t.MutualTLSBy(p, uint32(number)))
	}
	c.TokensBy = func(issuer string) string { return pathOf(t.TokensBy(p, issuer)) }
	c.HTTPSOnlyBy = func(port uint16, domains []string) explain.Part {
		key, field := t.HTTPSOnlyBy(p, port, domains)
		return explain.Part{Object: objectPath(key), Field: field}
	}
	originated(t, p, c)
	return c
}

// originated tells a configuration which objects have the hosts that no rule names, and by which clusters go.
func originated(t *analyze.Translation, p analyze.Proxy, c *explain.Config) {
	part := func(o resolve.Origin) explain.Part { return explain.Part{Object: objectPath(o.Object), Field: o.Field} }
	c.ServedBy = func(host string) string {
		if key, ok := t.ServedBy(p, host); ok {
			return objectPath(key)
		}
		return ""
	}
	c.ClusterBy = func(host string, port uint16, subset string) (out explain.ClusterOrigin) {
		rule, elsewhere, ok := t.ClusterBy(p, host, uint32(port), subset)
		if ok {
			out.Rule = part(rule)
		}
		for _, o := range elsewhere {
			out.Elsewhere = append(out.Elsewhere, part(o))
		}
		return out
	}
	c.UnknownBy = func() explain.Part { return part(t.UnknownBy(p)) }
}

func pathOf(key model.Key, ok bool) string {
	if !ok {
		return ""
	}
	return explain.ObjectPath("security.istio.io/v1", string(key.Kind), key.Namespace, key.Name)
}

// peersOf finds the proxies beside servers in a translation.
func peersOf(ctx context.Context, t *analyze.Translation) func(netip.Addr) *explain.Peer {
	return func(server netip.Addr) *explain.Peer {
		p, ok := t.Peer(server)
		if !ok {
			return nil
		}
		return &explain.Peer{Name: p.Name + "." + p.Namespace, Config: func() (*explain.Config, error) {
			return policed(ctx, t, p, configOf(p)), nil
		}}
	}
}
