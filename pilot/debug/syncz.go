package debug

import (
	"net/http"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// syncStatus is Istio's flat schema, which Kiali reads.
type syncStatus struct {
	ClusterID            string `json:"cluster_id,omitempty"`
	Proxy                string `json:"proxy,omitempty"`
	ProxyType            string `json:"proxy_type,omitempty"`
	ProxyVersion         string `json:"proxy_version,omitempty"`
	IstioVersion         string `json:"istio_version,omitempty"`
	ClusterSent          string `json:"cluster_sent,omitempty"`
	ClusterAcked         string `json:"cluster_acked,omitempty"`
	ListenerSent         string `json:"listener_sent,omitempty"`
	ListenerAcked        string `json:"listener_acked,omitempty"`
	RouteSent            string `json:"route_sent,omitempty"`
	RouteAcked           string `json:"route_acked,omitempty"`
	EndpointSent         string `json:"endpoint_sent,omitempty"`
	EndpointAcked        string `json:"endpoint_acked,omitempty"`
	ExtensionConfigSent  string `json:"extensionconfig_sent,omitempty"`
	ExtensionConfigAcked string `json:"extensionconfig_acked,omitempty"`
}

func (s *Server) syncz(w http.ResponseWriter, _ *http.Request) {
	out := []syncStatus{}
	for _, c := range s.opts.Connections() {
		t := c.Types
		out = append(out, syncStatus{
			ClusterID: s.clusterOf(c), Proxy: c.Proxy(), ProxyType: string(c.Node.Type),
			ProxyVersion: c.Node.EnvoyVersion, IstioVersion: c.Node.IstioVersion,
			ClusterSent: t[resource.Clusters].Sent, ClusterAcked: t[resource.Clusters].Acked,
			ListenerSent: t[resource.Listeners].Sent, ListenerAcked: t[resource.Listeners].Acked,
			RouteSent: t[resource.Routes].Sent, RouteAcked: t[resource.Routes].Acked,
			EndpointSent: t[resource.Endpoints].Sent, EndpointAcked: t[resource.Endpoints].Acked,
		})
	}
	writeJSON(w, out)
}

func (s *Server) clusterOf(c xds.Connection) string {
	if c.Node.ClusterID != "" {
		return c.Node.ClusterID
	}
	return s.opts.ClusterID
}

// ProxyStatus is one proxy in /debug/pilothouse/syncz.
type ProxyStatus struct {
	Proxy        string                `json:"proxy"` // pod.namespace
	Type         string                `json:"type"`
	Cluster      string                `json:"cluster"`
	Istiod       string                `json:"istiod"`
	Version      string                `json:"version"` // of the agent, as Istio counts
	EnvoyVersion string                `json:"envoyVersion,omitempty"`
	Identity     string                `json:"identity,omitempty"` // proven, NAMESPACE/SERVICEACCOUNT
	Connected    time.Time             `json:"connected"`
	View         string                `json:"view"`  // class of proxies
	Types        map[string]TypeStatus `json:"types"` // by cds, eds, lds, rds, ecds, nds
}

// TypeStatus is what a proxy has of one type.
type TypeStatus struct {
	State      string    `json:"state"` // SYNCED, STALE, NOT SENT, ERROR, IGNORED
	Since      time.Time `json:"since"`
	AgeSeconds float64   `json:"ageSeconds"`
	Resources  int       `json:"resources"`
	Sent       string    `json:"sent,omitempty"`
	Acked      string    `json:"acked,omitempty"`
	Error      string    `json:"error,omitempty"`
	Refused    []Problem `json:"refused,omitempty"` // what is not in force since it was refused, and what is instead
	Kept       []Kept    `json:"kept,omitempty"`    // what the proxy has on purpose though it is no more
}

// Kept is a cluster that a proxy keeps for a while, since connections may still use it.
type Kept struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until,omitzero"` // zero while the proxy has not acknowledged listeners and routes without it
}

func (s *Server) richSyncz(w http.ResponseWriter, _ *http.Request) {
	out := []ProxyStatus{}
	now := time.Now()
	for _, c := range s.opts.Connections() {
		p := ProxyStatus{
			Proxy: c.Proxy(), Type: string(c.Node.Type), Cluster: s.clusterOf(c), Istiod: s.opts.Name,
			Version: c.Node.IstioVersion, EnvoyVersion: c.Node.EnvoyVersion, Identity: c.Identity,
			Connected: c.Connected, View: c.View.Class, Types: map[string]TypeStatus{},
		}
		for t, st := range c.Types {
			one := TypeStatus{
				State: string(st.State), Since: st.Since, AgeSeconds: now.Sub(st.Since).Seconds(),
				Resources: st.Size, Sent: st.Sent, Acked: st.Acked, Error: st.Error,
			}
			for _, refused := range c.Refusals[resource.Type(t)] {
				one.Refused = append(one.Refused, ProblemOf(refused))
			}
			for _, k := range st.Kept {
				one.Kept = append(one.Kept, Kept(k))
			}
			p.Types[resource.Type(t).String()] = one
		}
		out = append(out, p)
	}
	writeJSON(w, out)
}
