package debug

import (
	"net/http"
	"slices"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// configDump shows what a proxy has of what it was sent, in the shape of Envoy's own dump, so that
// both can be compared, with the names of fields that Istio gives it (protojson's).
func (s *Server) configDump(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("proxyID")
	if id == "" {
		http.Error(w, "give a proxy with ?proxyID=POD.NAMESPACE", http.StatusBadRequest)
		return
	}
	conn, ok := s.connectionOf(id)
	if !ok {
		http.Error(w, notConnected, http.StatusNotFound)
		return
	}
	dump, err := dumpOf(conn)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b, err := protojson.MarshalOptions{Indent: "  "}.Marshal(dump)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

// notConnected is a sentence that Istio's tools look for.
const notConnected = "Proxy not connected to this Pilot instance. It may be connected to another instance."

// connectionOf finds the stream of POD.NAMESPACE. A proxy that reconnects has two for a moment; the
// newer one counts.
func (s *Server) connectionOf(id string) (xds.Connection, bool) {
	all := s.opts.Connections()
	for i := range slices.Backward(all) {
		if all[i].Proxy() == id {
			return all[i], true
		}
	}
	return xds.Connection{}, false
}

// dumpOf gives Envoy's ConfigDump for a stream. A resource of which the proxy holds a former
// version is left out, since its bytes are not kept.
func dumpOf(c xds.Connection) (*adminv3.ConfigDump, error) {
	clusters := &adminv3.ClustersConfigDump{VersionInfo: c.Types[resource.Clusters].Acked}
	listeners := &adminv3.ListenersConfigDump{VersionInfo: c.Types[resource.Listeners].Acked}
	routes, endpoints := &adminv3.RoutesConfigDump{}, &adminv3.EndpointsConfigDump{}
	for r := range c.Held() {
		a := r.Any()
		switch r.Type {
		case resource.Clusters:
			clusters.DynamicActiveClusters = append(clusters.DynamicActiveClusters,
				&adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: r.Version, Cluster: a})
		case resource.Listeners:
			listeners.DynamicListeners = append(listeners.DynamicListeners, &adminv3.ListenersConfigDump_DynamicListener{
				Name: r.Name, ActiveState: &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: r.Version, Listener: a},
			})
		case resource.Routes:
			routes.DynamicRouteConfigs = append(routes.DynamicRouteConfigs,
				&adminv3.RoutesConfigDump_DynamicRouteConfig{VersionInfo: r.Version, RouteConfig: a})
		case resource.Endpoints:
			endpoints.DynamicEndpointConfigs = append(endpoints.DynamicEndpointConfigs,
				&adminv3.EndpointsConfigDump_DynamicEndpointConfig{VersionInfo: r.Version, EndpointConfig: a})
		}
	}
	out := &adminv3.ConfigDump{}
	for _, part := range []proto.Message{clusters, endpoints, listeners, routes} {
		a, err := anypb.New(part)
		if err != nil {
			return nil, err
		}
		out.Configs = append(out.Configs, a)
	}
	return out, nil
}

// connection is a stream in /debug/connections.
type connection struct {
	ID        string   `json:"connectionId"`
	Proxy     string   `json:"proxy"`
	Node      string   `json:"node"`
	Address   string   `json:"address"`
	Connected string   `json:"connectedAt"`
	Protocol  string   `json:"protocol"`
	Identity  string   `json:"identity,omitempty"`
	Types     []string `json:"types"`
}

func (s *Server) connections(w http.ResponseWriter, _ *http.Request) {
	clients := []connection{}
	for _, c := range s.opts.Connections() {
		protocol := "sotw"
		if c.Delta {
			protocol = "delta"
		}
		types := []string{}
		for t, st := range c.Types {
			if st.State != xds.StateIgnored {
				types = append(types, resource.Type(t).String())
			}
		}
		clients = append(clients, connection{
			ID: c.ID, Proxy: c.Proxy(), Node: c.Node.ID, Address: c.Peer, Protocol: protocol, Identity: c.Identity,
			Connected: c.Connected.UTC().Format("2006-01-02T15:04:05.000Z"), Types: types,
		})
	}
	writeJSON(w, map[string]any{"totalClients": len(clients), "clients": clients})
}
