package debug

import (
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// snapshot gives the present snapshot, or answers that there is none.
func (s *Server) snapshot(w http.ResponseWriter) (Snapshot, bool) {
	snap := s.opts.Snapshot()
	if snap == nil {
		http.Error(w, "not ready: the first configuration is not committed yet", http.StatusServiceUnavailable)
		return nil, false
	}
	return snap, true
}

// endpointService is a service port in /debug/endpointz, in Istio's schema.
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
		for _, ep := range snap.Endpoints(svc.Key) {
			byPort[ep.ServicePort] = append(byPort[ep.ServicePort], describe(ep))
		}
		for _, port := range svc.Ports {
			out = append(out, endpointService{Service: svc.Hostname + ":" + port.Name, Endpoints: byPort[port.Name]})
		}
	}
	writeJSON(w, out)
}

func describe(ep model.Endpoint) endpointInfo {
	out := endpointInfo{
		Address: fmt.Sprintf("%s:%d", ep.Address, ep.Port), Pod: ep.Pod, Workload: ep.Workload,
		ServiceAccount: ep.ServiceAccount, TLSMode: ep.TLSMode,
		Health: map[model.Health]string{model.Healthy: "healthy", model.Unhealthy: "unhealthy", model.Draining: "draining"}[ep.Health],
	}
	if l := ep.Locality; l != (model.Locality{}) {
		out.Locality = l.Region + "/" + l.Zone + "/" + l.SubZone
	}
	return out
}

// problem is one in /debug/problems.
type problem struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Field     string `json:"field,omitempty"`
	Severity  string `json:"severity"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

func (s *Server) problems(w http.ResponseWriter, _ *http.Request) {
	out := []problem{}
	for _, p := range s.opts.Problems() {
		out = append(out, problem{
			Kind: string(p.Object.Kind), Namespace: p.Object.Namespace, Name: p.Object.Name, Field: p.Field,
			Severity: string(p.Severity), Reason: string(p.Reason), Message: p.Message,
			File: p.Origin.File, Line: p.Origin.Line,
		})
	}
	writeJSON(w, out)
}

func (s *Server) mesh(w http.ResponseWriter, _ *http.Request) {
	snap, ok := s.snapshot(w)
	if !ok {
		return
	}
	b, err := protojson.MarshalOptions{Indent: "  "}.Marshal(snap.Mesh())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}
