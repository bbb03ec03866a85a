// Package bench measures a discovery server from the outside. It makes up a mesh, runs the server on it
// as a process of its own, lets many simulated proxies connect, and changes files. It tells what it took
// until the last proxy had acknowledged, beside what the same bytes cost a server that does nothing else
// (the floor). It imports nothing of the control plane.
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
	// Clients take part in all scenarios but the cold start, in which ColdClients do. They are
	// sidecars, or the pods of gateways where the mesh has any.
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
	// Secure lets all clients prove who they are, by certificates over TLS. Gateways get Secrets only so.
	Secure bool `json:"secure,omitempty"`
	// WithoutFloor leaves out what the floor costs.
	WithoutFloor bool `json:"withoutFloor,omitempty"`
	// Kubeconfig leads to an API server that the mesh is written to, in place of files; Informers is the
	// command that runs bare informers of it.
	Kubeconfig string       `json:"-"`
	Informers  []string     `json:"-"`
	Profile    Profile      `json:"-"`
	Log        *slog.Logger `json:"-"`
}

// Profile says which profiles to take, in files; "" for none.
type Profile struct {
	Scenario string        // during which they are taken
	Time     time.Duration // of the CPU profile, from the scenario's start
	// CPU and Memory are the server's, Memory at the end; Clients is the CPU profile of the
	// simulated proxies.
	CPU, Memory, Clients string
}

// runs tells whether a scenario is asked for and fits the mesh.
func (o *Options) runs(scenario string) bool {
	if o.Kubeconfig != "" && !slices.Contains(clusterScenarios, scenario) {
		return false
	}
	switch scenario {
	case scenarioSecret: // on proof alone
		if !o.gateways() || !o.Mesh.Gateways.TLS || !o.Secure {
			return false
		}
	case scenarioGatewayRoute, scenarioGatewayRules:
		if !o.gateways() {
			return false
		}
	case scenarioUninterested, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll, scenarioRuleOne, scenarioPolicy,
		scenarioPolicyWorkload, scenarioPolicyAll, scenarioExternal, scenarioFilterWorkload, scenarioFilterOne, scenarioStalled:
		if o.gateways() { // these are about sidecars
			return false
		}
	}
	return len(o.Scenarios) == 0 || slices.Contains(o.Scenarios, scenario)
}

// gateways tells whether the clients are gateways.
func (o *Options) gateways() bool { return o.Mesh.Gateways.Count > 0 }

// namespaced tells whether clients of two namespaces get different things as a rule: each gateway
// has a namespace of its own.
func (o *Options) namespaced() bool { return o.Mesh.Scoped || o.gateways() }

// differing is how many clients there are, from the first on, no two of which are of one namespace.
func (o *Options) differing() int {
	if o.gateways() {
		return o.Mesh.Gateways.Count
	}
	return o.Mesh.Namespaces
}

// The scenarios, in the order in which they run.
const (
	scenarioLoad           = "load"
	scenarioCold           = "cold start"
	scenarioIdle           = "idle"
	scenarioEndpoint       = "one endpoint"
	scenarioRouteOne       = "route, one namespace"
	scenarioRouteTen       = "route, a tenth"
	scenarioRouteAll       = "route, all"
	scenarioRuleOne        = "rule, one namespace"
	scenarioRuleAll        = "rule, all"
	scenarioPolicy         = "policy, one namespace"
	scenarioPolicyWorkload = "policy, one workload"
	scenarioPolicyAll      = "policy, all"
	scenarioExternal       = "external service, one namespace"
	scenarioFilterWorkload = "filter, one workload"
	scenarioFilterOne      = "filter, one namespace"
	scenarioService        = "service added"
	scenarioGatewayRoute   = "route, one gateway"
	scenarioSecret         = "secret, one gateway"
	scenarioUninterested   = "uninterested"
	scenarioGatewayRules   = "uninterested gateways"
	scenarioTouch          = "irrelevant events"
	scenarioChurn          = "churn"
	scenarioRollout        = "rollout"
	scenarioStalled        = "stalled readers"
	scenarioReconnect      = "reconnect"
	scenarioRestart        = "server restart"
	scenarioSotW           = "cold start, SotW"
	scenarioTLS            = "cold start, mTLS"

	scenarioCertificates    = "certificates"
	scenarioCertificateRate = "certificates, 200 a second"
)

// Scenarios lists the names.
func Scenarios() []string {
	return []string{
		scenarioLoad, scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll,
		scenarioRuleOne, scenarioRuleAll, scenarioPolicy, scenarioPolicyWorkload, scenarioPolicyAll, scenarioExternal,
		scenarioFilterWorkload, scenarioFilterOne, scenarioService, scenarioGatewayRoute, scenarioSecret, scenarioUninterested,
		scenarioGatewayRules, scenarioTouch, scenarioChurn, scenarioRollout, scenarioStalled,
		scenarioReconnect, scenarioRestart, scenarioSotW, scenarioTLS, scenarioCertificates, scenarioCertificateRate,
	}
}
