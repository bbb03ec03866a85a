package random

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Clients of a world: first its sidecars, then its routers, which serve Gateway objects.
const (
	sidecars = 4
	routers  = 3
)

// routerHost is the last part of a router's address, less its number.
const routerHost = 100

func routerName(i int) string { return fmt.Sprintf("gw%d", i) }

// node says who the client of a number is: its pod, which may be known to the mesh or not, and what
// it tells of itself.
func (w *world) node(i int) *corev3.Node {
	e := w.edit
	typ, name, ns, host := "sidecar", fmt.Sprintf("p%d", i), e.namespace(), i+1
	labels := map[string]string{"app": "s0", "version": "v1"}
	if i >= sidecars {
		typ, name, ns, host = "router", routerName(i), e.routerNamespace(), routerHost+i
		labels = e.routerLabels()
	}
	said := map[string]any{}
	for k, v := range labels {
		said[k] = v
	}
	meta := map[string]any{"LABELS": said, "NAMESPACE": ns, "CLUSTER_ID": "Kubernetes"}
	if w.rng.IntN(3) == 0 {
		meta["DNS_CAPTURE"] = "true"
	}
	switch w.rng.IntN(4) {
	case 0:
		meta["NETWORK"] = e.one("n1", "n2")
	case 1:
		meta["NETWORK"], meta["REQUESTED_NETWORK_VIEW"] = "n1", e.one("n1", "n1,n2")
	}
	metadata, err := structpb.NewStruct(meta)
	if err != nil {
		w.t.Fatal(err)
	}
	out := &corev3.Node{
		Id:       fmt.Sprintf("%s~10.0.%d.%d~%s.%s~%s.svc.cluster.local", typ, subnet(ns), host, name, ns, ns),
		Metadata: metadata,
	}
	if w.rng.IntN(3) == 0 {
		out.Locality = &corev3.Locality{Region: "r1", Zone: e.one("z1", "z2")}
	}
	return out
}
