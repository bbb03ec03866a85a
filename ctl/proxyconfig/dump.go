// Package proxyconfig shows what one Envoy runs, in the tables that Istio's users know: it reads
// the JSON of Envoy's admin interface (config_dump, clusters, logging), from a proxy or from a
// saved file, and prints it. It reads plain JSON and only the fields that it shows, so that a
// dump with extensions this program has never heard of is shown as well.
package proxyconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

// Dump is a parsed config_dump (Envoy API admin.v3.ConfigDump). All JSON in it is protojson's.
type Dump struct {
	Bootstrap json.RawMessage
	Clusters  []Resource
	Listeners []Resource
	Routes    []Resource
	Endpoints []Resource
	Secrets   []Secret
	ECDS      []Resource // core.v3.TypedExtensionConfig

	// The sections of which -o gives all, as Istio's tool does.
	secrets, ecds json.RawMessage
}

// Resource is one entry of a dump: the message itself without its type, and how Envoy came by it.
type Resource struct {
	Name    string
	Raw     json.RawMessage
	Version string // as the control plane named it; empty for static ones
	Static  bool
	Updated time.Time
	State   string // "ACTIVE", "WARMING" or "DRAINING"
	Error   string // why Envoy rejected its last update, if it did
}

// Secret is one entry of the secrets' section.
type Secret struct {
	Name    string
	State   string // "ACTIVE" or "WARMING"
	Updated time.Time
	Raw     json.RawMessage
}

type configDump struct {
	Configs []json.RawMessage `json:"configs"`
}

type errorState struct {
	Details string `json:"details"`
}

// ParseDump reads a config_dump, with field names as Envoy or as protojson writes them. An error says
// what the data is instead.
func ParseDump(data []byte) (*Dump, error) {
	var top configDump
	data, err := protoJSON(data, &adminv3.ConfigDump{})
	if err == nil {
		err = json.Unmarshal(data, &top)
	}
	if err != nil {
		return nil, fmt.Errorf("not a config_dump of Envoy: %w", err)
	}
	if len(top.Configs) == 0 {
		return nil, errors.New("not a config_dump of Envoy: it has no \"configs\"")
	}
	dump := &Dump{}
	for _, raw := range top.Configs {
		var kind struct {
			Type string `json:"@type"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, fmt.Errorf("config_dump: %w", err)
		}
		if err := dump.section(kind.Type[strings.LastIndexByte(kind.Type, '.')+1:], raw); err != nil {
			return nil, fmt.Errorf("config_dump: %s: %w", kind.Type, err)
		}
	}
	return dump, nil
}

func (d *Dump) section(kind string, raw json.RawMessage) (err error) {
	switch kind {
	case "BootstrapConfigDump":
		d.Bootstrap = untyped(raw)
	case "ClustersConfigDump":
		d.Clusters, err = states(raw, "cluster", "staticClusters", "dynamicActiveClusters", "dynamicWarmingClusters")
	case "RoutesConfigDump":
		d.Routes, err = states(raw, "routeConfig", "staticRouteConfigs", "dynamicRouteConfigs")
	case "EndpointsConfigDump":
		d.Endpoints, err = states(raw, "endpointConfig", "staticEndpointConfigs", "dynamicEndpointConfigs")
	case "ListenersConfigDump":
		d.Listeners, err = listenerStates(raw)
	case "SecretsConfigDump":
		d.secrets = untyped(raw)
		d.Secrets, err = secretStates(raw)
	case "EcdsConfigDump":
		d.ecds = untyped(raw)
		d.ECDS, err = states(raw, "ecdsFilter", "ecdsFilters")
	}
	return err
}

// state is one entry of a section; which of its fields is set depends on the section.
type state struct {
	VersionInfo string          `json:"versionInfo"`
	LastUpdated time.Time       `json:"lastUpdated"`
	ErrorState  *errorState     `json:"errorState"`
	Cluster     json.RawMessage `json:"cluster"`
	Listener    json.RawMessage `json:"listener"`
	RouteConfig json.RawMessage `json:"routeConfig"`
	Endpoint    json.RawMessage `json:"endpointConfig"`
	Extension   json.RawMessage `json:"ecdsFilter"`
	Name        string          `json:"name"`
	Secret      json.RawMessage `json:"secret"`
}

func (s *state) message(field string) json.RawMessage {
	switch field {
	case "cluster":
		return s.Cluster
	case "listener":
		return s.Listener
	case "routeConfig":
		return s.RouteConfig
	case "ecdsFilter":
		return s.Extension
	}
	return s.Endpoint
}

func (s *state) resource(field, section string) Resource {
	r := Resource{
		Raw: untyped(s.message(field)), Version: s.VersionInfo, Updated: s.LastUpdated, State: "ACTIVE",
		Static: strings.HasPrefix(section, "static"),
	}
	if strings.Contains(section, "Warming") {
		r.State = "WARMING"
	}
	if s.ErrorState != nil {
		r.Error = s.ErrorState.Details
	}
	var name struct {
		Name        string `json:"name"`
		ClusterName string `json:"clusterName"`
	}
	// A message without a name is shown without one.
	_ = json.Unmarshal(r.Raw, &name)
	r.Name = name.Name + name.ClusterName
	return r
}

func states(raw json.RawMessage, field string, sections ...string) ([]Resource, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	var out []Resource
	for _, section := range sections {
		var entries []state
		if data, ok := all[section]; !ok {
			continue
		} else if err := json.Unmarshal(data, &entries); err != nil {
			return nil, fmt.Errorf("%s: %w", section, err)
		}
		for i := range entries {
			if entries[i].message(field) != nil {
				out = append(out, entries[i].resource(field, section))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func listenerStates(raw json.RawMessage) ([]Resource, error) {
	static, err := states(raw, "listener", "staticListeners")
	if err != nil {
		return nil, err
	}
	var section struct {
		Dynamic []struct {
			Active   *state      `json:"activeState"`
			Warming  *state      `json:"warmingState"`
			Draining *state      `json:"drainingState"`
			Error    *errorState `json:"errorState"`
		} `json:"dynamicListeners"`
	}
	if err := json.Unmarshal(raw, &section); err != nil {
		return nil, err
	}
	out := static
	for _, l := range section.Dynamic {
		for _, s := range []struct {
			state *state
			name  string
		}{{l.Active, "ACTIVE"}, {l.Warming, "WARMING"}, {l.Draining, "DRAINING"}} {
			if s.state == nil || s.state.Listener == nil {
				continue
			}
			r := s.state.resource("listener", "dynamic")
			r.State = s.name
			if l.Error != nil {
				r.Error = l.Error.Details
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func secretStates(raw json.RawMessage) ([]Secret, error) {
	var section map[string]json.RawMessage
	if err := json.Unmarshal(raw, &section); err != nil {
		return nil, err
	}
	var out []Secret
	for _, name := range []string{"staticSecrets", "dynamicActiveSecrets", "dynamicWarmingSecrets"} {
		var entries []state
		if data, ok := section[name]; !ok {
			continue
		} else if err := json.Unmarshal(data, &entries); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range entries {
			s := Secret{Name: e.Name, State: "ACTIVE", Updated: e.LastUpdated, Raw: e.Secret}
			if strings.Contains(name, "Warming") {
				s.State = "WARMING"
			}
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
