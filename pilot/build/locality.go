package build

import (
	"slices"
	"strings"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// local is what of a layer's load assignments depends on where the proxy is. It is made for each
// locality that some class has, not for each class.
type local struct {
	clusters  []*ir.Cluster // by name; replaced, never changed
	moved     bool          // clusters is to be found again
	relocated bool          // by the present update: the load assignments may differ

	mu         sync.Mutex // guards byLocality while classes are built concurrently
	byLocality map[model.Locality]*localised
}

// localised are the load assignments for a locality.
type localised struct {
	over []resource.Entry // of the local clusters
	set  *resource.Set    // all of them; nil if it is to be made again
}

// findLocal finds the local clusters, where they may be others.
func (l *layer) findLocal() {
	if l.top || !l.moved && (l.below == nil || !l.below.relocated && !l.cover.stale[resource.Clusters]) {
		return
	}
	l.moved = false
	var next []*ir.Cluster
	for id, u := range l.units {
		if id.Kind == kindClusters {
			next = slices.AppendSeq(next, slices.Values(slices.DeleteFunc(slices.Clone(u.clusters), func(cl *ir.Cluster) bool { return !isLocal(cl) })))
		}
	}
	own := len(next) > 0
	if l.below != nil {
		for _, cl := range l.below.clusters {
			id := UnitID{Kind: kindClusters, Host: cl.Endpoints.Host}
			if l.hides(id) {
				own = true
			} else {
				next = append(next, cl)
			}
		}
		if !own {
			next = l.below.clusters
		}
	}
	slices.SortFunc(next, func(a, b *ir.Cluster) int { return strings.Compare(a.Name, b.Name) })
	if !slices.Equal(l.clusters, next) {
		l.delocalise()
	}
	if l.clusters = next; l.below != nil && l.below.relocated && len(next) > 0 {
		l.delocalise()
	}
}

// delocalise forgets the load assignments that depend on locality.
func (l *layer) delocalise() {
	l.changed, l.relocated = true, true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byLocality = nil
}

// restack makes the sets for the localities be put together again.
func (l *layer) restack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.byLocality {
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
	at := l.byLocality[c.Locality]
	if at == nil {
		if l.byLocality == nil {
			l.byLocality = map[model.Locality]*localised{}
		}
		at = &localised{over: l.localEntries(r, c)}
		l.byLocality[c.Locality] = at
	}
	if at.set == nil {
		at.set = l.builder.encoder.pool.Cover(resource.Endpoints, l.sets[resource.Endpoints], at.over)
	}
	return at.set
}

// localEntries gives the load assignments that depend on a class's locality, by name.
func (l *layer) localEntries(r store.Reader, c *resolve.Class) []resource.Entry {
	list := make([]resource.Entry, 0, len(l.clusters))
	for _, cl := range l.clusters {
		if res, err := l.builder.encoder.assignment(r, c, cl); err == nil {
			list = append(list, resource.Entry{Name: cl.Name, Resource: res})
		}
	}
	slices.SortFunc(list, resource.CompareEntries)
	return list
}

// isLocal tells whether a cluster's load assignment depends on where the proxy is.
func isLocal(cl *ir.Cluster) bool {
	if !assigned(cl) {
		return false
	}
	p := cl.Endpoints.Locality
	return p.Failover || len(p.Distribute) > 0
}

// assigned tells whether a cluster has a load assignment.
func assigned(cl *ir.Cluster) bool { return cl.Discovery == ir.DiscoveryEDS && cl.Endpoints != nil }
