package discovery

import (
	"bytes"
	"context"
	"encoding/pem"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/signer"
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

// heard tells what this replica knows of roots: those of its CA, and which each proxy has acknowledged and has its
// certificate from. One that does not ask for roots, as Istio's agents do where PROXY_CONFIG_XDS_AGENT is off, has none.
// Who has proved nothing is told apart: anybody could hold up a rotation otherwise.
func (p *plane) heard(keeper *ca.Keeper) ca.Heard {
	own := keeper.Bundle()
	h := ca.Heard{
		Replica: p.cfg.Name, Roots: fingerprints(own), Signer: fingerprints(own[:1])[0],
		MaxTTL: keeper.MaxTTL(), Revision: p.cfg.Revision,
	}
	if w := p.written.Load(); w != nil {
		all := bytes.Equal(*w, keeper.RootPEM())
		h.Written = &all
	}
	has := map[*resource.Resource][]string{} // many have the same
	for _, c := range p.xds.Connections() {
		if c.Identity == "" {
			h.AddUnproven(c.Proxy())
			continue
		}
		r := c.Acknowledged(resource.TrustBundles, resource.TrustBundleName)
		if _, known := has[r]; r != nil && !known {
			has[r] = rootsIn(r)
		}
		h.Add(c.Proxy(), has[r], c.Signer)
	}
	return h
}

// heardAlone tells what is known of roots where this is the only control plane that has the CA. In a cluster it is then
// the only one that can write them, also while it does not lead yet.
func (p *plane) heardAlone(keeper *ca.Keeper, writes bool) ca.Heard {
	h := p.heard(keeper)
	h.Replica = ""
	if writes && h.Written == nil {
		h.Written = new(bool)
	}
	return h
}

// noteWritten notes what the leader has written.
func (p *plane) noteWritten(roots []byte) {
	if roots == nil {
		p.written.Store(nil)
		return
	}
	p.written.Store(&roots)
}

// rootsIn gives the roots of a TrustBundle, sorted.
func rootsIn(r *resource.Resource) []string {
	m, err := r.Message()
	if err != nil {
		return nil
	}
	out := fingerprints(m.(*meshconfig.ProxyConfig).GetCaCertificatesPem())
	slices.Sort(out)
	return out
}

// fingerprints gives those of certificates in PEM.
func fingerprints(pems []string) []string {
	var out []string
	for _, text := range pems {
		for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
			out = append(out, signer.Fingerprint(block.Bytes))
		}
	}
	return out
}
