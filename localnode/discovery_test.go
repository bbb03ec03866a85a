package localnode

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// TestPlaintextDiscoveryIsForTheAsking looks at what the control plane is told to serve, and at the
// ports that its Service has.
func TestPlaintextDiscoveryIsForTheAsking(t *testing.T) {
	for addr, want := range map[string]bool{"": false, ":15010": true} {
		args := discovery{cfg: Config{PlaintextAddr: addr}, dir: state.Dir{Root: "/run", Name: "x"}}.args()
		if i := slices.Index(args, "--grpcAddr"); i < 0 || args[i+1] != addr {
			t.Errorf("with %q the control plane gets %q", addr, args)
		}
		d := defaultsFor(newWorld(state.Dir{}, nil), network.NewPlan(70), addr)
		has := slices.ContainsFunc(d.services[0].Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 15010 })
		if has != want {
			t.Errorf("with %q the Service has the port: %t", addr, has)
		}
	}
}
