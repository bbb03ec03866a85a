package discovery

import (
	"bytes"
	"context"
	"encoding/pem"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// trustSource is what the certificate authority calls itself as a source of the store.
const trustSource = "ca"

// tellTrust brings the CA's roots into the store, from where proxies get them as all else, until ctx ends.
func (p *plane) tellTrust(ctx context.Context, keeper *ca.Keeper) error {
	key := model.Key{Kind: model.KindTrustBundle, Name: "default"}
	var former *model.Object
	for {
		changed := keeper.Changed()
		next := &model.Object{Key: key, Spec: &model.TrustBundle{Roots: keeper.Bundle()}}
		p.store.Apply(trustSource, []model.Event{{Key: key, Old: former, New: next}}, nil)
		former = next
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// withoutRoots names the proxies that have not acknowledged all of the roots (PEM), sorted. One that does not ask
// for roots, as Istio's agents do where PROXY_CONFIG_XDS_AGENT is off, is among them.
func (p *plane) withoutRoots(bundle []byte) []string {
	wanted := certificates(bundle)
	has := map[*resource.Resource]bool{} // many have the same
	var out []string
	for _, c := range p.xds.Connections() {
		r := c.Acknowledged(resource.TrustBundles, resource.TrustBundleName)
		if r != nil {
			if _, known := has[r]; !known {
				has[r] = holdsAll(r, wanted)
			}
		}
		if r == nil || !has[r] {
			out = append(out, c.Proxy())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func holdsAll(r *resource.Resource, wanted [][]byte) bool {
	m, err := r.Message()
	if err != nil {
		return false
	}
	have := certificates([]byte(strings.Join(m.(*meshconfig.ProxyConfig).GetCaCertificatesPem(), "\n")))
	return !slices.ContainsFunc(wanted, func(w []byte) bool {
		return !slices.ContainsFunc(have, func(h []byte) bool { return bytes.Equal(h, w) })
	})
}

// certificates gives what PEM blocks hold.
func certificates(text []byte) [][]byte {
	var out [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, block.Bytes)
	}
	return out
}
