package agent

import (
	"cmp"
	"encoding/json"

	"github.com/pilothouse-mesh/pilothouse/agent/health"
)

// Plan is what an agent does by its configuration, so that users see it without running anything.
type Plan struct {
	Envoy        EnvoyPlan  `json:"envoy"`
	ControlPlane ServerPlan `json:"controlPlane"`
	CA           ServerPlan `json:"ca"`
	// StatusPort is the agent's own port.
	StatusPort int `json:"statusPort"`
	// Probe is that of a machine's application.
	Probe *health.Probe `json:"probe,omitempty"`
	// AppMetrics are the URLs of the application's metrics, which are merged with Envoy's.
	AppMetrics []string `json:"appMetrics,omitempty"`
	// Bootstrap is what Envoy starts with. Only a running Envoy tells its version, so it lacks that.
	Bootstrap json.RawMessage `json:"bootstrap"`
}

// EnvoyPlan is how Envoy is started and ended.
type EnvoyPlan struct {
	Program     string            `json:"program"`
	Arguments   []string          `json:"arguments"`
	Environment map[string]string `json:"environment"`
	// Drain is how long Envoy is drained before it is stopped; with DrainUntilIdle until its connections have ended.
	Drain            string `json:"drain"`
	DrainInboundOnly bool   `json:"drainInboundOnly"`
	DrainUntilIdle   bool   `json:"drainUntilIdle"`
}

// ServerPlan is how a server of the mesh is called.
type ServerPlan struct {
	Address string `json:"address"`
	TLS     bool   `json:"tls"`
}

// PlanOf gives what Run does with a configuration.
func PlanOf(cfg Config) (Plan, error) {
	cfg.Envoy.Patches = false // nobody is asked
	start, err := cfg.bootstrap()
	if err != nil {
		return Plan{}, err
	}
	server := func(address string) ServerPlan { return ServerPlan{Address: address, TLS: !cfg.plaintext(address)} }
	process := cfg.process()
	return Plan{
		Envoy: EnvoyPlan{
			Program: process.Path, Arguments: process.Args, Environment: process.Env,
			Drain: process.Drain.Wait.String(), DrainInboundOnly: process.Drain.InboundOnly, DrainUntilIdle: process.Drain.UntilIdle,
		},
		ControlPlane: server(cfg.Proxy.DiscoveryAddress),
		CA:           server(cmp.Or(cfg.Trust.CAAddress, cfg.Proxy.DiscoveryAddress)),
		StatusPort:   cfg.Proxy.StatusPort,
		Probe:        cfg.Probe,
		AppMetrics:   cfg.AppMetrics,
		Bootstrap:    start,
	}, nil
}
