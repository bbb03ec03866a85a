package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// Unscoped is the series that most of the project's goals speak of: every proxy sees everything.
func Unscoped() Options {
	return Options{
		Name: "unscoped", Mesh: mesh.Default(), Clients: 1000, ColdClients: 2000, SideClients: 200, Repetitions: 30,
		Storm: time.Minute, Rate: 100, Rollout: 1000,
		Scenarios: []string{
			scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRouteTen, scenarioRouteAll, scenarioRuleOne,
			scenarioRuleAll, scenarioPolicy, scenarioPolicyWorkload, scenarioUninterested, scenarioTouch, scenarioChurn, scenarioRollout, scenarioStalled,
			scenarioReconnect, scenarioRestart, scenarioSotW, scenarioTLS,
		},
	}
}

// Scoped is the same mesh with proxies that see their own namespace only.
func Scoped() Options {
	o := Unscoped()
	o.Name, o.Mesh.Scoped = "scoped", true
	o.ColdClients, o.Storm = 1000, 20*time.Second
	o.Scenarios = []string{
		scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRuleOne, scenarioPolicy, scenarioTouch, scenarioChurn,
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

// Gateways has twenty gateways as clients, of fifty pods each. The sidecars of the mesh are scoped,
// so that those which show the arrival of a change cost little.
func Gateways() Options {
	o := Scoped()
	o.Name, o.Mesh.Gateways = "gateways", mesh.Gateways{Count: 20, Servers: 50, Routes: 500, Replicas: 50}
	o.Clients, o.ColdClients = o.Mesh.Gateways.Len(), o.Mesh.Gateways.Len()
	o.Scenarios = []string{
		scenarioCold, scenarioIdle, scenarioEndpoint, scenarioGatewayRoute, scenarioGatewayRules, scenarioTouch,
		scenarioReconnect, scenarioRestart,
	}
	return o
}

// breadth is what P12 wants beside the goals of a mesh without it.
var breadth = mesh.Breadth{ServiceEntries: 500, Policies: 500, EnvoyFilters: 50}

// Breadth is the mesh of Unscoped with external services, policies and EnvoyFilters.
func Breadth() Options {
	o := Unscoped()
	o.Name, o.Mesh.Breadth = "breadth", breadth
	o.ColdClients, o.Storm = 1000, 20*time.Second
	o.Scenarios = []string{
		scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRuleOne, scenarioPolicy, scenarioPolicyWorkload,
		scenarioPolicyAll, scenarioExternal, scenarioFilterWorkload, scenarioFilterOne, scenarioUninterested, scenarioTouch, scenarioRestart,
	}
	return o
}

// BreadthGateways is the mesh of Gateways with the same, whose gateways terminate TLS with
// certificates from Secrets. For these all clients prove who they are.
func BreadthGateways() Options {
	o := Gateways()
	o.Name, o.Mesh.Breadth, o.Mesh.Gateways.TLS, o.Secure = "breadth-gateways", breadth, true, true
	o.Scenarios = []string{
		scenarioCold, scenarioIdle, scenarioEndpoint, scenarioGatewayRoute, scenarioSecret, scenarioGatewayRules, scenarioTouch, scenarioRestart,
	}
	return o
}

// Large is a mesh of ten times as many services and namespaces, with a proxy in each namespace.
func Large() Options {
	o := Scoped()
	o.Name, o.Repetitions = "large", 100
	o.Mesh.Services, o.Mesh.Namespaces, o.Mesh.VirtualServices, o.Mesh.DestinationRules = 10000, 1000, 2000, 2000
	o.Scenarios = []string{scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRuleOne}
	return o
}

// Classes has a namespace of its own for each proxy, all of which see everything.
func Classes() Options {
	o := Unscoped()
	o.Name, o.Mesh.Namespaces, o.ColdClients = "classes", 1000, 1000
	o.Mesh.Services = o.Mesh.Namespaces + 3
	o.Scenarios = []string{scenarioCold, scenarioIdle, scenarioEndpoint, scenarioRouteOne, scenarioRuleOne}
	return o
}

// Certificates has a small mesh, whose CA is what is measured.
func Certificates() Options {
	o := Short()
	o.Name, o.Storm, o.WithoutFloor = "certificates", 20*time.Second, true
	o.Scenarios = []string{scenarioCertificates, scenarioCertificateRate}
	return o
}

// sizes are numbers of services, a tenth as many namespaces.
var sizes = [...]int{1000, 3000, 10000}

// Sizes are meshes of several sizes with the same clients, in which the same changes are made: to
// proxies that see their own namespace only, and to fewer that see everything.
func Sizes() []Options {
	var out []Options
	for _, scoped := range []bool{true, false} {
		for _, n := range sizes {
			o := Scoped()
			o.Name, o.Clients = sizeSeries(n, scoped), 100
			if !scoped {
				o.Clients = 20
			}
			o.ColdClients, o.Repetitions, o.WithoutFloor = o.Clients, 60, true
			o.Mesh.Services, o.Mesh.Namespaces, o.Mesh.Scoped = n, n/10, scoped
			o.Mesh.VirtualServices, o.Mesh.DestinationRules = n/5, n/5
			o.Scenarios = append([]string{scenarioIdle}, sized()...)
			out = append(out, o)
		}
	}
	return out
}

// sized are the scenarios of which the cost by size is shown.
func sized() []string {
	return []string{scenarioEndpoint, scenarioRouteOne, scenarioRuleOne, scenarioService}
}

func sizeSeries(services int, scoped bool) string {
	if scoped {
		return fmt.Sprintf("size-%d-scoped", services)
	}
	return fmt.Sprintf("size-%d-unscoped", services)
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
			scenarioPolicy, scenarioTouch, scenarioChurn, scenarioRollout, scenarioReconnect, scenarioRestart, scenarioSotW, scenarioTLS,
		},
	}
}

// ShortGateways is Short's for gateways.
func ShortGateways() Options {
	o := Short()
	o.Name, o.Mesh.Scoped = "short-gateways", true
	o.Mesh.Gateways = mesh.Gateways{Count: 4, Servers: 10, Routes: 50, Replicas: 5}
	o.Clients, o.ColdClients = o.Mesh.Gateways.Len(), o.Mesh.Gateways.Len()
	o.Scenarios = []string{
		scenarioCold, scenarioEndpoint, scenarioGatewayRoute, scenarioGatewayRules, scenarioReconnect, scenarioRestart,
	}
	return o
}

// ShortBreadth and ShortBreadthGateways are Short's for Breadth and BreadthGateways.
func ShortBreadth() Options {
	o := Short()
	o.Name, o.Mesh.Breadth = "short-breadth", mesh.Breadth{ServiceEntries: 50, Policies: 100, EnvoyFilters: 20}
	o.Scenarios = []string{
		scenarioCold, scenarioEndpoint, scenarioPolicy, scenarioPolicyWorkload, scenarioPolicyAll, scenarioExternal, scenarioFilterWorkload,
		scenarioFilterOne, scenarioRestart,
	}
	return o
}

// ShortBreadthGateways has gateways of TLS.
func ShortBreadthGateways() Options {
	o := ShortGateways()
	o.Name, o.Mesh.Breadth, o.Mesh.Gateways.TLS, o.Secure = "short-breadth-gateways", ShortBreadth().Mesh.Breadth, true, true
	o.Scenarios = []string{scenarioCold, scenarioGatewayRoute, scenarioSecret, scenarioRestart}
	return o
}

// The names under which Series gives several.
const (
	sizesSeries = "sizes"
	shortSeries = "short"
)

// Series gives the options of the series with a name, or of those that a name stands for: "sizes"
// for those of Sizes, "short" for what is checked at every change. None are known under others.
func Series(name string) []Options {
	switch name {
	case sizesSeries:
		return Sizes()
	case shortSeries:
		return []Options{Short(), ShortGateways(), ShortBreadth(), ShortBreadthGateways()}
	}
	all := append(Sizes(), Unscoped(), Scoped(), Scoped10000(), Gateways(), Breadth(), BreadthGateways(), Large(), Classes(), Certificates(), Cluster(),
		ShortGateways(), ShortBreadth(), ShortBreadthGateways())
	return slices.DeleteFunc(all, func(o Options) bool { return o.Name != name })
}

// AllSeries are the names of the series that the goals speak of.
func AllSeries() []string {
	return []string{
		Unscoped().Name, Scoped().Name, Scoped10000().Name, Gateways().Name, Breadth().Name, BreadthGateways().Name, Large().Name, Classes().Name,
		Certificates().Name, sizesSeries,
	}
}

// SeriesNames are all names that Series knows, but those of single sizes.
func SeriesNames() []string { return append(AllSeries(), ClusterSeries, shortSeries) }
