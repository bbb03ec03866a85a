package debug

import (
	"fmt"
	"net/http"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// shard is one service of one namespace in /debug/endpointz. Tools for Istio read its fields by
// their names in Go, of which these are the ones that have a meaning here.
type shard struct {
	// Shards are the endpoints by the registry and cluster that they came from.
	Shards          map[string][]shardEndpoint
	ServiceAccounts map[string]struct{} // SPIFFE identities
}

type shardEndpoint struct {
	Addresses       []string
	EndpointPort    uint32
	ServicePortName string
	Labels          map[string]string
	ServiceAccount  string
	Network         string
	Locality        shardLocality
	LbWeight        uint32
	TLSMode         string
	Namespace       string
	WorkloadName    string
	HealthStatus    core.HealthStatus // a number
}

type shardLocality struct{ Label, ClusterID string }

func (s *Server) shards(w http.ResponseWriter, _ *http.Request) {
	snap, ok := s.snapshot(w)
	if !ok {
		return
	}
	out := map[string]map[string]shard{}
	for _, svc := range snap.AllServices() {
		one := shard{Shards: map[string][]shardEndpoint{}, ServiceAccounts: map[string]struct{}{}}
		for _, ep := range snap.Endpoints(svc.ID()) {
			registry := "Kubernetes/" + s.opts.ClusterID
			one.Shards[registry] = append(one.Shards[registry], s.shardEndpoint(ep))
		}
		for _, id := range svc.ServiceAccounts {
			one.ServiceAccounts[id] = struct{}{}
		}
		if out[svc.Hostname] == nil {
			out[svc.Hostname] = map[string]shard{}
		}
		out[svc.Hostname][svc.Namespace] = one
	}
	writeJSON(w, out)
}

func (s *Server) shardEndpoint(ep model.Endpoint) shardEndpoint {
	return shardEndpoint{
		Addresses: []string{ep.Address}, EndpointPort: ep.Port, ServicePortName: ep.ServicePort, Labels: ep.Labels,
		ServiceAccount: ep.ServiceAccount, Network: ep.Network, LbWeight: ep.Weight, TLSMode: ep.TLSMode,
		Namespace: ep.Namespace, WorkloadName: ep.Workload,
		Locality: shardLocality{Label: label(ep.Locality), ClusterID: s.opts.ClusterID},
		HealthStatus: map[model.Health]core.HealthStatus{
			model.Healthy: core.HealthStatus_HEALTHY, model.Unhealthy: core.HealthStatus_UNHEALTHY, model.Draining: core.HealthStatus_DRAINING,
		}[ep.Health],
	}
}

// label writes a locality as region/zone/subzone; "" for none.
func label(l model.Locality) string {
	if l == (model.Locality{}) {
		return ""
	}
	return l.Region + "/" + l.Zone + "/" + l.SubZone
}

// endpointService is a service port in /debug/pilothouse/endpointz.
type endpointService struct {
	Service   string         `json:"svc"` // hostname:port name
	Endpoints []endpointInfo `json:"ep"`
}

type endpointInfo struct {
	Address        string `json:"address"`
	Health         string `json:"health"`
	Pod            string `json:"pod,omitempty"`
	Workload       string `json:"workload,omitempty"`
	ServiceAccount string `json:"serviceAccount,omitempty"`
	TLSMode        string `json:"tlsMode"`
	Locality       string `json:"locality,omitempty"`
}

func (s *Server) endpointz(w http.ResponseWriter, r *http.Request) {
	snap, ok := s.snapshot(w)
	if !ok {
		return
	}
	namespace := r.URL.Query().Get("namespace")
	if namespace == "" {
		namespace = snap.Mesh().GetRootNamespace()
	}
	out := []endpointService{}
	for _, svc := range snap.Services(namespace) {
		byPort := map[string][]endpointInfo{}
		for _, ep := range snap.Endpoints(svc.ID()) {
			byPort[ep.ServicePort] = append(byPort[ep.ServicePort], describe(ep))
		}
		for _, port := range svc.Ports {
			out = append(out, endpointService{Service: svc.Hostname + ":" + port.Name, Endpoints: byPort[port.Name]})
		}
	}
	writeJSON(w, out)
}

func describe(ep model.Endpoint) endpointInfo {
	return endpointInfo{
		Address: fmt.Sprintf("%s:%d", ep.Address, ep.Port), Pod: ep.Pod, Workload: ep.Workload,
		ServiceAccount: ep.ServiceAccount, TLSMode: ep.TLSMode,
		Health:   map[model.Health]string{model.Healthy: "healthy", model.Unhealthy: "unhealthy", model.Draining: "draining"}[ep.Health],
		Locality: label(ep.Locality),
	}
}
