package discovery

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// dns answers every question with one address.
type dns func(host string) netip.Addr

func (d dns) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return []netip.Addr{d(host)}, nil
}

const farGateway = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {meshNetworks: "networks: {far: {endpoints: [{fromCidr: 10.9.0.0/16}], gateways: [{address: edge.example.com, port: 443}]}}"}
`

// The name of a gateway is resolved before anything is served, so that a proxy that knows its address from before
// does not lose it.
func TestGatewaysByNameAreResolvedFirst(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", farGateway)
	cfg := testConfig(t, dir)
	var p *plane
	var early, other atomic.Bool
	cfg.Resolver = dns(func(host string) netip.Addr {
		select {
		case <-p.committed:
			early.Store(true)
		default:
		}
		other.Store(host != "edge.example.com.")
		return netip.MustParseAddr("203.0.113.7")
	})
	p = newPlane(cfg)
	serve(t, p.run)
	envoytest.Eventually(t, "it serves", p.ready)
	if early.Load() || other.Load() {
		t.Errorf("served before the name was asked for: %v; another name was: %v", early.Load(), other.Load())
	}
	got := p.store.Snapshot().Reader(nil).NetworkGateways()
	if len(got) != 1 || got[0].Address != "203.0.113.7" || got[0].Port != 443 || got[0].Network != "far" {
		t.Errorf("gateways %+v", got)
	}
}
