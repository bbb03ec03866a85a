package proxyconfig

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

// EndpointFilter chooses endpoints; zero fields choose all. Status is healthy or unhealthy.
type EndpointFilter struct {
	Address, Cluster, Status string
	Port                     int
}

type socketAddress struct {
	Address   string `json:"address"`
	PortValue int    `json:"portValue"`
}

type address struct {
	Socket *socketAddress `json:"socketAddress"`
	Pipe   *struct {
		Path string `json:"path"`
	} `json:"pipe"`
	Internal *struct {
		Listener string `json:"serverListenerName"`
	} `json:"envoyInternalAddress"`
}

func (a address) String() string {
	switch {
	case a.Socket != nil && strings.Contains(a.Socket.Address, ":"):
		return "[" + a.Socket.Address + "]:" + strconv.Itoa(a.Socket.PortValue)
	case a.Socket != nil:
		return a.Socket.Address + ":" + strconv.Itoa(a.Socket.PortValue)
	case a.Pipe != nil:
		return "unix://" + a.Pipe.Path
	case a.Internal != nil:
		return "envoy://" + a.Internal.Listener
	}
	return ""
}

type hostStatus struct {
	Address address `json:"address"`
	Health  struct {
		Failed        bool   `json:"failedActiveHealthCheck"`
		FailedOutlier bool   `json:"failedOutlierCheck"`
		EDS           string `json:"edsHealthStatus"`
	} `json:"healthStatus"`
}

func (h *hostStatus) status() string {
	if h.Health.Failed || (h.Health.EDS != "" && h.Health.EDS != "HEALTHY") {
		return "UNHEALTHY"
	}
	return "HEALTHY"
}

func (f EndpointFilter) matches(cluster string, h *hostStatus) bool {
	if f.Address != "" && (h.Address.Socket == nil || h.Address.Socket.Address != f.Address) {
		return false
	}
	if f.Port != 0 && (h.Address.Socket == nil || h.Address.Socket.PortValue != f.Port) {
		return false
	}
	return (f.Cluster == "" || cluster == f.Cluster) && (f.Status == "" || strings.EqualFold(f.Status, h.status()))
}

// clusterStatus is one entry of Envoy's /clusters.
type clusterStatus struct {
	Name            string            `json:"name"`
	AddedViaAPI     bool              `json:"addedViaApi,omitempty"`
	Observability   string            `json:"observabilityName,omitempty"`
	EDSServiceName  string            `json:"edsServiceName,omitempty"`
	Threshold       json.RawMessage   `json:"successRateEjectionThreshold,omitempty"`
	LocalThreshold  json.RawMessage   `json:"localOriginSuccessRateEjectionThreshold,omitempty"`
	CircuitBreakers json.RawMessage   `json:"circuitBreakers,omitempty"`
	Hosts           []json.RawMessage `json:"hostStatuses"`
}

func parseClusters(data []byte) ([]clusterStatus, error) {
	var all struct {
		Clusters *[]clusterStatus `json:"clusterStatuses"`
	}
	data, err := protoJSON(data, &adminv3.Clusters{})
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("not the clusters of Envoy's admin interface: %w", err)
	}
	if all.Clusters == nil {
		return nil, errors.New(`not the clusters of Envoy's admin interface (clusters?format=json): it has no "cluster_statuses"`)
	}
	return *all.Clusters, nil
}

// PrintEndpoints prints ENDPOINT, STATUS, OUTLIER CHECK, CLUSTER from the JSON of Envoy's
// /clusters (admin.v3.Clusters).
func PrintEndpoints(w io.Writer, data []byte, format Format, filter EndpointFilter) error {
	all, err := parseClusters(data)
	if err != nil {
		return err
	}
	var rows [][]string
	chosen := []clusterStatus{}
	for _, c := range all {
		var hosts []json.RawMessage
		for _, raw := range c.Hosts {
			var h hostStatus
			if err := json.Unmarshal(raw, &h); err != nil {
				return fmt.Errorf("cluster %s: %w", c.Name, err)
			}
			if !filter.matches(c.Name, &h) {
				continue
			}
			outlier := "OK"
			if h.Health.FailedOutlier {
				outlier = "FAILED"
			}
			hosts = append(hosts, raw)
			rows = append(rows, []string{h.Address.String(), h.status(), outlier, c.Name})
		}
		if len(hosts) > 0 {
			c.Hosts = hosts
			chosen = append(chosen, c)
		}
	}
	if format != Short {
		data, err := json.Marshal(chosen)
		if err != nil {
			return err
		}
		return document(w, format, data)
	}
	slices.SortStableFunc(rows, func(a, b []string) int {
		return cmp.Or(strings.Compare(a[3], b[3]), strings.Compare(a[0], b[0]))
	})
	return table(w, 5, "ENDPOINT\tSTATUS\tOUTLIER CHECK\tCLUSTER", rows)
}

type assignment struct {
	ClusterName string `json:"clusterName"`
	Endpoints   []struct {
		Endpoints []struct {
			Health   string `json:"healthStatus"`
			Endpoint struct {
				Address address `json:"address"`
			} `json:"endpoint"`
		} `json:"lbEndpoints"`
	} `json:"endpoints"`
}

// PrintAssignments prints ENDPOINT, STATUS, CLUSTER from the endpoints of a config_dump, which
// unlike /clusters knows nothing of outlier detection.
func (d *Dump) PrintAssignments(w io.Writer, format Format) error {
	if format != Short {
		return messages(w, format, raws(d.Endpoints))
	}
	var rows [][]string
	for _, r := range d.Endpoints {
		var a assignment
		if err := json.Unmarshal(r.Raw, &a); err != nil {
			return fmt.Errorf("endpoints %s: %w", r.Name, err)
		}
		for _, l := range a.Endpoints {
			for _, e := range l.Endpoints {
				rows = append(rows, []string{e.Endpoint.Address.String(), cmp.Or(e.Health, "HEALTHY"), a.ClusterName})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int {
		return cmp.Or(strings.Compare(a[2], b[2]), strings.Compare(a[0], b[0]))
	})
	return table(w, 5, "ENDPOINT\tSTATUS\tCLUSTER", rows)
}
