package build

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/endpoint"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// local is what of a layer's load assignments depends on where the proxy is. It is made for each
// place where some class is, not for each class.
type local struct {
	clusters []*ir.Cluster // by name; replaced, never changed
	moved    bool          // clusters is to be found again

	// Of the present update:
	regrouped bool                // clusters is another list
	relocated map[string]struct{} // hosts whose load assignments may differ

	mu      sync.Mutex // guards byPlace while classes are built concurrently
	byPlace map[place]*localised
}

// place is where a class is: its locality and, where that matters, its network, its node and the labels by which its
// proxies prefer endpoints.
type place struct {
	resolve.Position
	node, labels string
}

func placeOf(c *resolve.Class) place {
	out := place{Position: resolve.Position{Locality: c.Locality, Network: c.Network}, node: c.Node}
	for _, l := range c.FailoverLabels {
		out.labels += fmt.Sprintf("%q=%q,", l.Name, l.Value)
	}
	return out
}

// placesOf are all that placeFor may give for a class, and its own.
func placesOf(c *resolve.Class) []place {
	network := resolve.Position{Network: c.Network}
	return []place{placeOf(c), {Position: network}, {Position: resolve.Position{Locality: c.Locality, Network: c.Network}}}
}

// placeFor is what of a class's place a cluster's load assignment depends on.
func placeFor(cl *ir.Cluster, c *resolve.Class) place {
	if endpoint.ByProxy(cl.Endpoints) {
		return placeOf(c)
	}
	out := place{Position: resolve.Position{Network: c.Network}}
	if cl.Endpoints.Locality.ByPlace() {
		out.Locality = c.Locality
	}
	return out
}

// localised are the load assignments for a place.
type localised struct {
	made map[*ir.Cluster]*resource.Resource // of the local clusters for which this is the place, nil for one that is forbidden
	set  *resource.Set                      // all of them; nil if it is to be put together again

	covering resource.Covering // of which set was made
}

// findLocal finds the local clusters, where they may be others, and forgets of their load assignments
// what may differ.
func (l *layer) findLocal() {
	if l.top {
		return
	}
	if l.below != nil {
		for host := range l.below.relocated {
			l.relocate(host)
		}
	}
	if l.moved || l.below != nil && (l.below.regrouped || l.cover.stale[resource.Clusters]) {
		l.regroup()
	}
	if !l.regrouped && len(l.relocated) == 0 {
		return
	}
	l.changed = true
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.byPlace {
		at.forget(l.relocated, l.clusters)
	}
}

// regroup finds the local clusters: those of the layer's own units, and of those below that count.
func (l *layer) regroup() {
	l.moved = false
	var next []*ir.Cluster
	for _, u := range l.units {
		next = append(next, u.clusters...)
	}
	next = slices.DeleteFunc(next, func(cl *ir.Cluster) bool { return !isLocal(cl) })
	if l.below != nil {
		for _, cl := range l.below.clusters {
			if !l.hides(UnitID{Kind: kindClusters, Host: cl.Endpoints.Host}) {
				next = append(next, cl)
			}
		}
	}
	slices.SortFunc(next, func(a, b *ir.Cluster) int { return strings.Compare(a.Name, b.Name) })
	if l.below != nil && slices.Equal(next, l.below.clusters) {
		next = l.below.clusters // one list for both
	}
	l.regrouped = !slices.Equal(l.clusters, next)
	l.clusters = next
}

// relocate notes that the load assignments of a host may differ.
func (l *layer) relocate(host string) {
	if l.relocated == nil {
		l.relocated = map[string]struct{}{}
	}
	l.relocated[host] = struct{}{}
}

// forget drops the load assignments of some hosts, and of clusters that there are no more.
func (at *localised) forget(hosts map[string]struct{}, clusters []*ir.Cluster) {
	at.set = nil
	kept := make(map[*ir.Cluster]*resource.Resource, len(clusters))
	for _, cl := range clusters {
		res, made := at.made[cl]
		if _, stale := hosts[cl.Endpoints.Host]; made && !stale {
			kept[cl] = res
		}
	}
	at.made = kept
}

// restack makes the sets for the places be put together again.
func (l *layer) restack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.byPlace {
		at.set = nil
	}
}

// endpoints gives the load assignments for a class of the layer.
func (l *layer) endpoints(r store.Reader, c *resolve.Class) *resource.Set {
	switch {
	case len(l.clusters) == 0:
		return l.sets[resource.Endpoints]
	case l.below != nil && l.sets[resource.Endpoints] == l.below.sets[resource.Endpoints] && slices.Equal(l.clusters, l.below.clusters):
		return l.below.endpoints(r, c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at(placeOf(c))
	if at.set == nil {
		at.set = at.covering.Cover(l.builder.encoder.pool, resource.Endpoints, l.sets[resource.Endpoints], l.localEntries(r, c))
	}
	return at.set
}

// at gives what there is for a place, with l.mu held.
func (l *layer) at(p place) *localised {
	at := l.byPlace[p]
	if at == nil {
		at = &localised{made: map[*ir.Cluster]*resource.Resource{}}
		l.byPlace[p] = at
	}
	return at
}

// retain drops what is for places where no class is any more: nodes come and go.
func (l *layer) retain(live map[place]struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.byPlace, func(p place, _ *localised) bool {
		_, used := live[p]
		return !used
	})
}

// localEntries gives the load assignments that depend on a class's place, by name, and makes those that
// are not made yet.
func (l *layer) localEntries(r store.Reader, c *resolve.Class) []resource.Entry {
	list := make([]resource.Entry, 0, len(l.clusters))
	for _, cl := range l.clusters {
		made := l.at(placeFor(cl, c)).made
		res, known := made[cl]
		if !known {
			res, _ = l.builder.encoder.assignment(r, c, cl) // forbidden: its unit tells
			made[cl] = res
		}
		if res != nil {
			list = append(list, resource.Entry{Name: cl.Name, Resource: res})
		}
	}
	slices.SortFunc(list, resource.CompareEntries)
	return list
}

// isLocal tells whether a cluster's load assignment depends on where the proxy is.
func isLocal(cl *ir.Cluster) bool {
	return assigned(cl) && (endpoint.ByProxy(cl.Endpoints) || cl.Endpoints.ByNetwork || cl.Endpoints.Locality.ByPlace())
}

// assigned tells whether a cluster has a load assignment.
func assigned(cl *ir.Cluster) bool { return cl.Discovery == ir.DiscoveryEDS && cl.Endpoints != nil }
