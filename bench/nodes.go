package bench

import (
	"crypto/tls"
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// workload gives the pod of client i: in a mesh with gateways, one of theirs.
func (r *runner) workload(i int) mesh.Workload {
	if r.gateways() {
		return r.mesh.GatewayPod(i)
	}
	return r.mesh.Workload(i)
}

// nodes describes the first n clients as their agents do.
func (r *runner) nodes(n int) ([]ads.Node, error) {
	list := make([]mesh.Workload, n)
	for i := range list {
		list[i] = r.workload(i)
	}
	return r.describe(list)
}

// describe describes workloads, with a certificate for each identity where the series is over TLS.
func (r *runner) describe(list []mesh.Workload) ([]ads.Node, error) {
	out := make([]ads.Node, len(list))
	for i, w := range list {
		var err error
		if out[i], err = node(w); err != nil {
			return nil, err
		}
		if !r.Secure {
			continue
		}
		if out[i].Certificate, err = r.certificate(w); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// certificate gives that of a workload's identity, which its pods share.
func (r *runner) certificate(w mesh.Workload) (*tls.Certificate, error) {
	id := identity{w.Namespace, w.ServiceAccount}
	if known := r.identities[id]; known != nil {
		return known, nil
	}
	by, err := openAuthority(r.server.caDir)
	if err != nil {
		return nil, err
	}
	cert, err := by.workload(id.namespace, id.account)
	if err == nil {
		r.identities[id] = cert
	}
	return cert, err
}

// identity is what a certificate proves.
type identity struct{ namespace, account string }

// fleetOf makes a fleet of workloads.
func (r *runner) fleetOf(list []mesh.Workload) (*ads.Fleet, error) {
	nodes, err := r.describe(list)
	if err != nil {
		return nil, err
	}
	return r.fleetOfNodes(nodes)
}

func (r *runner) fleetOfNodes(list []ads.Node) (*ads.Fleet, error) {
	o := ads.Options{Nodes: list, Logger: r.Log}
	if r.Secure {
		by, err := openAuthority(r.server.caDir)
		if err != nil {
			return nil, err
		}
		o.TLS = by.client()
	}
	return ads.New(o), nil
}

func node(w mesh.Workload) (ads.Node, error) {
	labels := map[string]*structpb.Value{}
	for k, v := range w.Labels {
		labels[k] = structpb.NewStringValue(v)
	}
	fields := map[string]*structpb.Value{"LABELS": structpb.NewStructValue(&structpb.Struct{Fields: labels})}
	for k, v := range map[string]string{
		"NAME": w.Name, "NAMESPACE": w.Namespace, "SERVICE_ACCOUNT": w.ServiceAccount, "INSTANCE_IPS": w.Address.String(),
		"CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0", "INTERCEPTION_MODE": "REDIRECT", "MESH_ID": "cluster.local",
	} {
		fields[k] = structpb.NewStringValue(v)
	}
	metadata, err := proto.Marshal(&structpb.Struct{Fields: fields})
	role := "sidecar"
	if w.Router {
		role = "router"
	}
	envoy := ads.Envoy{
		ID:      role + "~" + w.Address.String() + "~" + w.Name + "." + w.Namespace + "~" + w.Namespace + ".svc.cluster.local",
		Cluster: w.ServiceAccount + "." + w.Namespace, Region: w.Region, Zone: w.Zone, Metadata: metadata, UserAgent: "envoy",
	}
	return ads.Node{Namespace: w.Namespace, Account: w.ServiceAccount, Envoy: envoy.Marshal()}, err
}

// sideNodes are nodes of the other protocol, or with certificates.
func (r *runner) sideNodes(sotw bool, by *authority) ([]ads.Node, error) {
	list, err := r.nodes(r.SideClients)
	for i := range list {
		list[i].SotW = sotw
		if by != nil {
			w := r.workload(i)
			var issueErr error
			list[i].Certificate, issueErr = by.workload(w.Namespace, w.ServiceAccount)
			err = errors.Join(err, issueErr)
		}
	}
	return list, err
}
