package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// uninterested measures what a change costs for each sidecar that it is not for. The bystanders are
// of other namespaces, each the twin of a client that is connected anyway, so that no views are
// added.
func (r *runner) uninterested(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	c := r.route(scenarioUninterested, mesh.ReachNamespace)
	twins, err := r.twins(func(ns string) bool { return !c.concerned(ns) })
	if err != nil {
		return err
	}
	if twins.Len() == 0 {
		return fmt.Errorf("no pod outside %v has a twin", r.namespaces(c.concerned))
	}
	return r.bystanders(ctx, scenarioUninterested, fleet, twins, c)
}

// gatewayRules measures what a rule costs for each gateway that names neither it nor its service:
// VirtualServices of sidecars, seen by one namespace and by all, and a DestinationRule that is
// exported to its own namespace. They arrive at a few sidecars.
func (r *runner) gatewayRules(ctx context.Context) error {
	r.startOver()
	if err := r.streams(ctx, 0); err != nil {
		return err
	}
	sidecars, err := r.sidecars()
	if err != nil {
		return err
	}
	defer sidecars.Disconnect()
	if err := connect(ctx, sidecars, r.address()); err != nil {
		return err
	}
	gateways, err := r.newFleet(r.Clients)
	if err != nil {
		return err
	}
	return r.bystanders(ctx, scenarioGatewayRules, sidecars, gateways,
		r.route("", mesh.ReachNamespace), r.route("", mesh.ReachAll), r.rule("", mesh.ReachNamespace))
}

// bystanders measures what changes cost for each client that they are not for: they are made with
// further clients and without them, in turns, the middle ones of which are compared. The difference
// is small beside what the changes themselves cost; so there are many.
func (r *runner) bystanders(ctx context.Context, name string, fleet, others *ads.Fleet, changes ...change) error {
	const turns = 3
	n := max(len(changes), 8*r.Repetitions/turns)
	take := func() (*Result, error) {
		return r.take(ctx, name, fleet, func(result *Result) error { return r.repeat(ctx, fleet, n, result, changes...) })
	}
	var with, without []*Result
	var stray int64
	for range turns {
		result, err := take()
		if err != nil {
			return err
		}
		without = append(without, result)
		err = r.among(ctx, fleet, others, func() error {
			before := others.Stats().Messages
			result, err := take()
			with, stray = append(with, result), stray+others.Stats().Messages-before
			return err
		})
		if err != nil {
			return err
		}
	}
	result, err := take()
	if err != nil {
		return err
	}
	many, few := middle(name, with), middle(name, append(without, result))
	each := func(get func(*Result) float64) *float64 {
		v := (per(get(many), float64(many.Changes)) - per(get(few), float64(few.Changes))) / float64(others.Len())
		return &v
	}
	many.Uninterested = each(func(x *Result) float64 { return 1e6 * x.ServerCPU })
	many.UninterestedAllocs = each(func(x *Result) float64 { return x.Allocs })
	many.Against, many.Clients, many.Stray = few, fleet.Len()+others.Len(), stray
	r.results = append(r.results, many)
	return nil
}

// among runs f while further clients are connected.
func (r *runner) among(ctx context.Context, fleet, others *ads.Fleet, f func() error) error {
	defer others.Disconnect()
	if err := connect(ctx, others, r.address()); err != nil {
		return err
	}
	if err := r.streams(ctx, fleet.Len()+others.Len()); err != nil {
		return err
	}
	if err := quiet(ctx, others, time.Second); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	others.Disconnect()
	return r.streams(ctx, fleet.Len())
}

// gatewayRoute changes a VirtualService that one gateway names.
func (r *runner) gatewayRoute() change {
	c := change{
		name: scenarioGatewayRoute, kind: ads.Routes, due: []ads.Kind{ads.Routes},
		concerned: func(ns string) bool { return ns == mesh.GatewayNamespace(0) },
	}
	route := 0
	if r.Mesh.Gateways.TLS { // of a server with a certificate
		route = 1
	}
	c.edit = func() (mesh.Edit, string) { return r.mesh.GatewayRoute(0, route), r.mesh.GatewayRoutes(0, route) }
	return c
}

// secret gives a server of one gateway another certificate.
func (r *runner) secret() change {
	return change{
		name: scenarioSecret, edit: func() (mesh.Edit, string) { return r.mesh.Secret(0) },
		kind: ads.Secrets, due: []ads.Kind{ads.Secrets},
		concerned: func(ns string) bool { return ns == mesh.GatewayNamespace(0) },
	}
}

// sidecars gives a few of ns-0.
func (r *runner) sidecars() (*ads.Fleet, error) {
	var list []mesh.Workload
	for i := range 3 {
		list = append(list, r.mesh.Workload(r.mesh.Fixed(i)))
	}
	return r.fleetOf(list)
}

// twins gives clients of namespaces that differ from a client of the fleet in name and address only.
func (r *runner) twins(in func(string) bool) (*ads.Fleet, error) {
	var list []mesh.Workload
	for i := range min(r.Clients, r.Mesh.Services) {
		if w, ok := r.mesh.Twin(i); ok && in(w.Namespace) {
			list = append(list, w)
		}
	}
	return r.fleetOf(list)
}
