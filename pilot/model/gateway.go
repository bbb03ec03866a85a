package model

import (
	"slices"
	"strings"
)

// MeshGateway is the reserved name of "all sidecars" among the gateways of a VirtualService.
const MeshGateway = "mesh"

// BoundToMesh tells whether sidecars follow what is bound to gateways, a VirtualService or one of its matches: it
// names none, or all sidecars among them.
func BoundToMesh(gateways []string) bool {
	return len(gateways) == 0 || slices.Contains(gateways, MeshGateway)
}

// GatewayName gives namespace/name for a gateway that a VirtualService of a namespace names: "mesh"
// as it is, else name, ./name, namespace/name, or, as Istio still takes it, name.namespace with
// whatever follows (name.namespace.svc.cluster.local).
func GatewayName(name, namespace string) string {
	if name == MeshGateway {
		return name
	}
	if ns, own, ok := strings.Cut(name, "/"); ok {
		if ns == "." {
			ns = namespace
		}
		return ns + "/" + own
	}
	own, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		return namespace + "/" + name
	}
	ns, _, _ := strings.Cut(rest, ".")
	return ns + "/" + own
}
