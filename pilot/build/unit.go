package build

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Kind says what a unit is.
type Kind uint8

// The kinds of units.
const (
	kindPlan        Kind = iota // which units its layer is made of
	kindOwnRows                 // which rows the layer's namespace has of its own
	kindSeat                    // which class a proxy belongs to
	kindRoutes                  // a route configuration, put together from virtual hosts
	kindClusters                // the clusters of a service
	kindAssignments             // the load assignments of those clusters
	kindListener                // a listener
	kindVirtualHost             // a virtual host of a route configuration
	kindReferences              // what is wrong with the VirtualServices of a host
	kindNameTable               // what the agent's DNS answers
	kindTrustBundle             // the roots that peers are verified against
	kindOutbound                // the listener of all that a workload sends
	kindInbound                 // the listener of all that a workload gets
	kindOwnClusters             // the clusters that belong to no service
	kindRouteHead               // what a route configuration has beside its virtual hosts, where EnvoyFilters change it
	kindAdded                   // clusters, or listeners, that EnvoyFilters add
	kindBootstrap               // what EnvoyFilters put over the bootstrap
	kindSecret                  // a secret
	KindExtension               // of an Options.Extend
)

// UnitID names a unit within its layer: a host, a name of a resource, or both, depending on the kind.
type UnitID struct {
	Kind       Kind
	Name, Host string
}

// unit is what is computed at once. Its layer's goroutine owns it while layers are updated.
type unit struct {
	layer *layer // nil for a seat's
	seat  *Seat  // nil for a layer's
	id    UnitID
	reads []*cell // the index guards it
	Output
}

// Output is what a unit gives.
type Output struct {
	// Type and Resources are what it puts into its layer's set, by name; nil in the place of a resource
	// that is forbidden and was never served.
	Type      resource.Type
	Resources []resource.Entry
	Problems  []model.Problem

	clusters []*ir.Cluster // of kindClusters
	host     *encodedHost  // of kindVirtualHost; nil for none
	err      error         // of kindVirtualHost, that came out forbidden
	head     *routeHead    // of kindRouteHead; nil for the usual one
	changed  []*patched    // what patches made, kept in use
}

// trace records what a unit reads.
type trace struct {
	client string // in the place of which a fact is of the layer
	rows   []store.Row
	seen   map[store.Row]struct{} // made when rows get many
}

const manyRows = 24

func (t *trace) record(row store.Row) {
	if store.IsFact(row) {
		row.Client = t.client
	}
	if _, known := t.seen[row]; known || t.seen == nil && slices.Contains(t.rows, row) {
		return
	}
	t.rows = append(t.rows, row)
	switch {
	case t.seen != nil:
		t.seen[row] = struct{}{}
	case len(t.rows) > manyRows:
		t.seen = make(map[store.Row]struct{}, 2*manyRows)
		for _, r := range t.rows {
			t.seen[r] = struct{}{}
		}
	}
}

// Seat is a proxy's place in a class. Which class that is follows from what is read of its pod and of
// what selects it, as everything else does.
type Seat struct {
	Proxy *model.Proxy
	Class resolve.Class
	// Doubt says why the Pod that the proxy names is not its own; "" where nothing does.
	Doubt string

	unit unit
}

// Seat finds the class of a proxy, and keeps it up to date until Leave.
func (b *Builder) Seat(p *model.Proxy) *Seat {
	s := &Seat{Proxy: p}
	s.unit = unit{seat: s, id: UnitID{Kind: kindSeat}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.classify(s)
	b.seats[s] = struct{}{}
	return s
}

// Leave gives up a seat.
func (b *Builder) Leave(s *Seat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.forget(&s.unit)
	delete(b.seats, s)
}

// classify finds a seat's class. The caller holds the mutex.
func (b *Builder) classify(s *Seat) {
	t := trace{}
	r := b.snapshot.Reader(t.record)
	w := resolve.WorkloadOf(r, s.Proxy)
	s.Class, s.Doubt = w.Class(r, s.Proxy).With(b.options.Settings), w.Doubt
	if l := b.layers[s.Class.Key]; l != nil {
		s.Class = l.class // whose lists are shared
	}
	b.index.link(&s.unit, t.rows)
}

// reclassify classifies the proxies again of which something that was read has changed, and gives those
// whose class is another one, and those with another doubt.
func (b *Builder) reclassify(rows []store.Row, all bool) (moved, doubted []*Seat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stale := map[*Seat]struct{}{}
	b.index.readers(rows, func(u *unit) {
		if u.seat != nil {
			stale[u.seat] = struct{}{}
		}
	})
	if all {
		stale = b.seats
	}
	for s := range stale {
		former, doubt := s.Class.Key, s.Doubt
		b.classify(s)
		if s.Class.Key != former {
			moved = append(moved, s)
		}
		if s.Doubt != doubt {
			doubted = append(doubted, s)
		}
	}
	return moved, doubted
}
