// Package network gives a mesh its own network on one machine: an address plan, a network namespace with
// one veth link to the host, and the CNI configuration for its pods. A nat table inside the namespace
// leads the addresses of Services to ready pods. The host gets one link and two routes, and no rule and
// no sysctl.
package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// Plan is every address that a mesh uses. All of them are in one /16 block, so that meshes on
// one machine keep apart by their blocks.
type Plan struct {
	Block    netip.Prefix `json:"block"`    // 10.B.0.0/16
	Pods     netip.Prefix `json:"pods"`     // 10.B.0.0/17
	Services netip.Prefix `json:"services"` // 10.B.128.0/18
	Gateway  netip.Addr   `json:"gateway"`  // the pods' default gateway, the first of Pods
	Host     netip.Addr   `json:"host"`     // the host's end of the link
	Mesh     netip.Addr   `json:"mesh"`     // the namespace's end of the link; the node's address
	DNS      netip.Addr   `json:"dns"`      // nameserver of the pods, local to the namespace
	Istiod   netip.Addr   `json:"istiod"`   // the control plane, local to the namespace
}

const (
	firstBlock = 64
	lastBlock  = 127
	// linkBits makes room for the two ends of the link and nothing else.
	linkBits = 30
	// reservedServices is how many of the first service addresses are kept for the mesh itself.
	reservedServices = 16
)

// NewPlan lays out the block 10.b.0.0/16.
func NewPlan(b byte) Plan {
	at := func(c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{10, b, c, d}) }
	return Plan{
		Block:    netip.PrefixFrom(at(0, 0), 16),
		Pods:     netip.PrefixFrom(at(0, 0), 17),
		Services: netip.PrefixFrom(at(128, 0), 18),
		Gateway:  at(0, 1),
		Host:     at(255, 1),
		Mesh:     at(255, 2),
		DNS:      at(128, 10),
		Istiod:   at(128, 11),
	}
}

// ChoosePlan gives the first plan whose block overlaps none of the prefixes in use.
func ChoosePlan(used []netip.Prefix) (Plan, error) {
	for b := firstBlock; b <= lastBlock; b++ {
		p := NewPlan(byte(b))
		if !overlapsAny(p.Block, used) {
			return p, nil
		}
	}
	return Plan{}, fmt.Errorf("no free network: each of 10.%d.0.0/16 to 10.%d.0.0/16 overlaps an address or a route of this machine; take a mesh down to free one", firstBlock, lastBlock)
}

func overlapsAny(block netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		// A default route overlaps everything and reserves nothing.
		if u.Bits() > 0 && block.Overlaps(u) {
			return true
		}
	}
	return false
}

// CNIConfig gives the list of plugins for the pods' network: a point-to-point link for each pod,
// with the namespace as its router, and addresses handed out from files in dataDir.
func (p Plan) CNIConfig(network, dataDir string) ([]byte, error) {
	conf := map[string]any{
		"cniVersion": "0.4.0",
		"name":       network,
		"plugins": []any{map[string]any{
			"type":   "ptp",
			"ipMasq": false,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": dataDir,
				"ranges":  []any{[]any{map[string]any{"subnet": p.Pods.String(), "gateway": p.Gateway.String()}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	}
	return json.MarshalIndent(conf, "", "  ")
}
