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
	Scenarios []string     `json:"scenarios,omitempty"`
	Profile   Profile      `json:"-"`
	Log       *slog.Logger `json:"-"`
}

// Profile says which profiles to take, in files; "" for none.
type Profile struct {
	Scenario string        // during which they are taken
	Time     time.Duration // of the CPU profile, from the scenario's start
	// CPU and Memory are the server's, Memory at the end; Clients is the CPU profile of the
	// simulated proxies.
	CPU, Memory, Clients string
}

// Unscoped is the series that most of the project's goals speak of: every proxy sees everything.
func Unscoped() Options {
	return Options{
		Name: "unscoped", Mesh: mesh.Default(), Clients: 1000, ColdClients: 2000, SideClients: 200, Repetitions: 30,
		Storm: time.Minute, Rate: 100, Rollout: 1000,
	}
}

// Scoped is the same mesh with proxies that see their own namespace only.
func Scoped() Options {
	o := Unscoped()
	o.Name, o.Mesh.Scoped = "scoped", true
	o.ColdClients, o.Storm = 1000, 20*time.Second
	o.Scenarios = []string{
		scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRuleOne, scenarioTouch, scenarioChurn,
		scenarioReconnect, scenarioRestart,
	}
	return o
}

// Scoped10000 has a proxy for each pod of the mesh.
func Scoped10000() Options {
	o := Scoped()
	o.Name, o.Clients, o.ColdClients = "scoped-10000", 10000, 10000
	o.Scenarios = []string{scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioChurn, scenarioReconnect, scenarioRestart}
	return o
}

// Short is small enough for every change of the code: what it checks is not how long things take.
func Short() Options {
	return Options{
		Name: "short",
		Mesh: mesh.Spec{
			Seed: 1, Services: 100, Endpoints: 10, Namespaces: 20, Zones: 3, VirtualServices: 20, DestinationRules: 20,
		},
		Clients: 100, ColdClients: 100, SideClients: 20, Repetitions: 5, Storm: 2 * time.Second, Rate: 100, Rollout: 100,
		Scenarios: []string{
			scenarioCold, scenarioEndpoint, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll, scenarioRuleOne, scenarioRuleAll,
			scenarioTouch, scenarioChurn, scenarioRollout, scenarioReconnect, scenarioRestart, scenarioSotW, scenarioTLS,
		},
	}
}

// Series gives the options of a series by its name.
func Series(name string) (Options, bool) {
	for _, o := range []Options{Unscoped(), Scoped(), Scoped10000(), Short()} {
		if o.Name == name {
			return o, true
		}
	}
	return Options{}, false
}

// AllSeries are the names of the series that the goals speak of.
func AllSeries() []string { return []string{Unscoped().Name, Scoped().Name, Scoped10000().Name} }

func (o *Options) runs(scenario string) bool {
	return len(o.Scenarios) == 0 || slices.Contains(o.Scenarios, scenario)
}

// The scenarios, in the order in which they run.
const (
	scenarioLoad         = "load"
	scenarioCold         = "cold start"
	scenarioIdle         = "idle"
	scenarioEndpoint     = "one endpoint"
	scenarioRouteOne     = "route, one namespace"
	scenarioRouteTen     = "route, a tenth"
	scenarioRouteAll     = "route, all"
	scenarioRuleOne      = "rule, one namespace"
	scenarioRuleAll      = "rule, all"
	scenarioUninterested = "uninterested"
	scenarioTouch        = "irrelevant events"
	scenarioChurn        = "churn"
	scenarioRollout      = "rollout"
	scenarioStalled      = "stalled readers"
	scenarioReconnect    = "reconnect"
	scenarioRestart      = "server restart"
	scenarioSotW         = "cold start, SotW"
	scenarioTLS          = "cold start, mTLS"
)

// Scenarios lists the names.
func Scenarios() []string {
	return []string{
		scenarioLoad, scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll,
		scenarioRuleOne, scenarioRuleAll, scenarioUninterested, scenarioTouch, scenarioChurn, scenarioRollout, scenarioStalled,
		scenarioReconnect, scenarioRestart, scenarioSotW, scenarioTLS,
	}
}
