package bench

import (
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// nodes describes the first n pods of a mesh as their agents do.
func nodes(m *mesh.Mesh, n int) ([]ads.Node, error) {
	out := make([]ads.Node, n)
	for i := range out {
		var err error
		if out[i], err = node(m.Workload(i)); err != nil {
			return nil, err
		}
	}
	return out, nil
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
	envoy := ads.Envoy{
		ID:      "sidecar~" + w.Address.String() + "~" + w.Name + "." + w.Namespace + "~" + w.Namespace + ".svc.cluster.local",
		Cluster: w.ServiceAccount + "." + w.Namespace, Region: w.Region, Zone: w.Zone, Metadata: metadata, UserAgent: "envoy",
	}
	return ads.Node{Namespace: w.Namespace, Envoy: envoy.Marshal()}, err
}

// sideNodes are nodes of the other protocol, or with certificates.
func (r *runner) sideNodes(sotw bool, by *authority) ([]ads.Node, error) {
	list, err := nodes(r.mesh, r.SideClients)
	for i := range list {
		list[i].SotW = sotw
		if by != nil {
			w := r.mesh.Workload(i)
			var issueErr error
			list[i].Certificate, issueErr = by.workload(w.Namespace, w.ServiceAccount)
			err = errors.Join(err, issueErr)
		}
	}
	return list, err
}
