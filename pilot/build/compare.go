package build

import (
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Differences are the units in which an outline differs from another, by a resolve.Change: those that the other has
// not, those that it alone has, and those that have another part of the plan.
type Differences [resolve.Altered + 1][]UnitID

func (d *Differences) add(c resolve.Change, ids ...UnitID) { d[c] = append(d[c], ids...) }

func (o *outboundOutline) Compare(other Outline) Differences {
	var d Differences
	former := other.(*outboundOutline)
	if o.SamePlan(former.Plan) {
		return d
	}
	o.CompareServices(former.Plan, func(host string, c resolve.Change) {
		if c != resolve.Altered { // their units read the service themselves
			d.add(c, UnitID{Kind: kindClusters, Host: host}, UnitID{Kind: kindAssignments, Host: host})
		}
	})
	o.CompareRuled(former.Plan, func(host string, c resolve.Change) { d.add(c, UnitID{Kind: kindReferences, Host: host}) })
	o.CompareListeners(former.Plan, func(name string, c resolve.Change) { d.add(c, UnitID{Kind: kindListener, Name: name}) })
	o.CompareRoutes(former.Plan, func(route string, c resolve.Change) { d.add(c, UnitID{Kind: kindRouteHead, Name: route}) })
	o.CompareHosts(former.Plan, func(route, host string, c resolve.Change) {
		d.add(c, UnitID{Kind: kindVirtualHost, Name: route, Host: host})
	})
	if id := (UnitID{Kind: kindOutbound}); o.Has(id) && !o.SameScope(former.Plan) {
		d.add(resolve.Altered, id)
	}
	if id := (UnitID{Kind: kindNameTable}); o.Has(id) && !slices.Equal(o.Services(), former.Services()) {
		d.add(resolve.Altered, id)
	}
	return d
}

// Compare looks each unit up: the plan of a class of its own seldom changes.
func (o *classOutline) Compare(other Outline) Differences {
	var d Differences
	former := other.(*classOutline)
	gone := map[UnitID]struct{}{}
	for _, id := range former.Units() {
		gone[id] = struct{}{}
	}
	for _, id := range o.Units() {
		if _, had := gone[id]; !had {
			d.add(resolve.Added, id)
		} else if !o.same(id, former) {
			d.add(resolve.Altered, id)
		}
		delete(gone, id)
	}
	d.add(resolve.Gone, slices.Collect(maps.Keys(gone))...)
	return d
}

// same tells whether a unit has the same part of the plan in another outline, which has it too.
func (o *classOutline) same(id UnitID, other *classOutline) bool {
	switch id.Kind {
	case kindListener:
		return o.SameListener(other.GatewayPlan, id.Name)
	case kindVirtualHost:
		return o.SameHost(other.GatewayPlan, id.Name, id.Host)
	case kindSecret:
		return o.secrets.SameSecret(other.secrets, id.Name)
	}
	return true
}
