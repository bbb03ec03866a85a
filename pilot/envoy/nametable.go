package envoy

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

// registryKubernetes is how Istio's agent knows names that come from Kubernetes services.
const registryKubernetes = "Kubernetes"

// NameTable gives the message that node agents read.
func NameTable(t *ir.NameTable) *nds.NameTable {
	out := &nds.NameTable{Table: make(map[string]*nds.NameTable_NameInfo, len(t.Names))}
	for _, n := range t.Names {
		out.Table[n.Host] = &nds.NameTable_NameInfo{
			Ips: n.IPs, Registry: registryKubernetes, Shortname: n.ShortName, Namespace: n.Namespace,
		}
	}
	return out
}
