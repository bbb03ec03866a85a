// Package bench measures a discovery server from the outside: it makes up a mesh, runs the server
// as a process of its own on it, lets many simulated proxies connect, changes files, and tells
// what it took until the last proxy had acknowledged, beside what the same bytes cost a server
// that does nothing else (the floor). It imports nothing of the control plane.
package bench

import (
	"log/slog"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// Options of a series of measurements on one mesh.
type Options struct {
	// Name of the series, "unscoped" for example.
	Name string `json:"name"`
	// Server is the program to measure, Floor the command that runs the floor.
	Server string   `json:"-"`
	Floor  []string `json:"-"`
	// Dir is where meshes and logs are written; it has to be empty.
	Dir  string    `json:"-"`
	Mesh mesh.Spec `json:"mesh"`
	// Clients take part in all scenarios but the cold start, in which ColdClients do.
	Clients     int `json:"clients"`
	ColdClients int `json:"coldClients"`
	// SideClients are those of the scenarios for the other protocol and for TLS.
	SideClients int `json:"sideClients"`
	// Repetitions of each single change.
	Repetitions int `json:"repetitions"`
	// Storm is how long changes come at Rate a second.
	Storm time.Duration `json:"storm"`
	Rate  int           `json:"rate"`
	// Rollout is how many pods are replaced, 50 a second.
	Rollout int `json:"rollout"`
	// Scenarios are those to run; none for all.
	Scenarios []string `json:"scenarios,omitempty"`
	// Profile takes the CPU profile of the server during ProfileScenario; "" for none.
	Profile         string        `json:"-"`
	ProfileScenario string        `json:"-"`
	ProfileTime     time.Duration `json:"-"`
	Log             *slog.Logger  `json:"-"`
}

// Full is the series that the project's goals speak of, on a mesh without scopes.
func Full() Options {
	return Options{
		Name: "unscoped", Mesh: mesh.Default(), Clients: 1000, ColdClients: 2000, SideClients: 200, Repetitions: 30,
		Storm: time.Minute, Rate: 100, Rollout: 1000,
	}
}

// Scoped is a series with ten thousand clients that see their own namespace only.
func Scoped() Options {
	o := Full()
	o.Name, o.Mesh.Scoped = "scoped", true
	o.Clients, o.ColdClients = 10000, 10000
	o.Scenarios = []string{scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteAll, scenarioReconnect, scenarioRestart}
	return o
}

// Short is small enough for every change of the code: what it checks is not how long things take.
func Short() Options {
	return Options{
		Name: "short",
		Mesh: mesh.Spec{
			Seed: 1, Services: 100, Endpoints: 10, Namespaces: 20, Zones: 3, VirtualServices: 20, DestinationRules: 20,
		},
		Clients: 50, ColdClients: 50, SideClients: 10, Repetitions: 3, Storm: 2 * time.Second, Rate: 100, Rollout: 100,
	}
}

func (o *Options) runs(scenario string) bool {
	return len(o.Scenarios) == 0 || slices.Contains(o.Scenarios, scenario)
}

// The scenarios, in the order in which they run.
const (
	scenarioLoad      = "load"
	scenarioCold      = "cold start"
	scenarioIdle      = "idle"
	scenarioEndpoint  = "one endpoint"
	scenarioRouteOne  = "route, one namespace"
	scenarioRouteTen  = "route, a tenth"
	scenarioRouteAll  = "route, all"
	scenarioRuleOne   = "rule, one namespace"
	scenarioRuleAll   = "rule, all"
	scenarioTouch     = "irrelevant events"
	scenarioChurn     = "churn"
	scenarioRollout   = "rollout"
	scenarioStalled   = "stalled readers"
	scenarioReconnect = "reconnect"
	scenarioRestart   = "server restart"
	scenarioSotW      = "cold start, SotW"
	scenarioTLS       = "cold start, TLS"
)

// Scenarios lists the names.
func Scenarios() []string {
	return []string{
		scenarioLoad, scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll,
		scenarioRuleOne, scenarioRuleAll, scenarioTouch, scenarioChurn, scenarioRollout, scenarioStalled,
		scenarioReconnect, scenarioRestart, scenarioSotW, scenarioTLS,
	}
}
