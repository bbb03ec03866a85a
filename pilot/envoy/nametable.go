package envoy

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

// How Istio's agent knows names that come from Kubernetes Services, and from ServiceEntries.
const (
	registryKubernetes = "Kubernetes"
	registryExternal   = "External"
)

// NameTable gives the message that node agents read.
func NameTable(t *ir.NameTable) *nds.NameTable {
	out := &nds.NameTable{Table: make(map[string]*nds.NameTable_NameInfo, len(t.Names))}
	for _, n := range t.Names {
		registry := registryKubernetes
		if n.External {
			registry = registryExternal
		}
		out.Table[n.Host] = &nds.NameTable_NameInfo{
			Ips: n.IPs, Registry: registry, Shortname: n.ShortName, Namespace: n.Namespace,
		}
	}
	return out
}
