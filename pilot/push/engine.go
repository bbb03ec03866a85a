// Package push holds what connected proxies should have and how they get there: for each class of
// proxies one view, a set of resources for each type. A commit changes the views of the classes that it
// concerns; each client is handed the new one and only notes what concerns it, so nobody waits for a
// slow one.
//
// What a proxy rejects is taken out of service for its class. Of a resource that many objects share, a
// route configuration or a listener, only the virtual hosts or filter chains are that are at fault. They
// are found by asking the proxy: it gets the resource with all in quarantine that is new or changed since
// it was last accepted, and then with fewer and fewer of it (bisection). The other proxies get what comes
// out. What proxies of other classes have accepted is suspected last, so that one that starts has all but
// the fault from the first round on. In quarantine a part is as it was last accepted, if that answers for the same and denies as much,
// else it denies everything (resource.Parts). Where no part is at fault by itself, the resource goes back
// to what was last accepted. The next version with the same fault has it in quarantine from the start.
//
// Locks are taken in this order, of which any may be left out. Under none of them is anything else waited for, but
// for the processors that compute layers. test/locks checks that for all locks of the repository, in the code itself.
//
//	sources    kube.Source.mu, selected.Choice.mu, machine.Registry.mu, store.Store.mu
//	places     xds.share.places, xds.admission.places: leave to begin, as semaphores
//	streams    xds.Server.mu, which lists them
//	engine     Engine.state, Engine.mu, classState.build
//	layers     build.layer.once, each before that of the layer below; build.Builder.mu, build.index.mu and the others of build
//	stream     xds.stream.mu, then xds.shares.mu or trace.Change.mu
//	resources  resource.Weak.mu, resource.Set.mu, each before that of its base, resource.rope.mu
//	problems   status.Board.mu
//
// So who holds a stream's mutex calls nothing of a Client that takes the engine's.
//
// Glossary:
//
//	class       the proxies that get the same
//	view        what a class should have at one moment
//	client      one connected proxy, or its stream
//	accepted    a version that some proxy has acknowledged
//	rejected    a version that a proxy has rejected (NACK); something else is served in its place
//	rejection   a rejected resource, the search for its faults, and what is served in its place
//	part        what one object gives to a resource: a virtual host, a filter chain
//	fault       a part that a proxy does not take
//	trial       what a proxy is asked about, to find the faults
//	former      the versions before the present one of a resource that is not accepted yet
//	untrusted   what a proxy may run that is something else than it claims when it comes back
//	identity    what a proxy proved; "" for all proxies without proof, which are anonymous
//	brought     a class is brought by the identity of the proxy that it was first made for, or by its address
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// ErrNotReady says that nothing was committed yet, so that there is nothing to serve.
var ErrNotReady = errors.New("the first configuration is not committed yet")

// ErrTooManyClasses says that callers of an identity, or callers without proof, have brought as many
// classes of proxies as they may.
var ErrTooManyClasses = errors.New("too many classes of proxies")

// Options of an Engine.
type Options struct {
	// MaxClasses bounds the classes that the proxies of one identity bring between two commits and
	// until they are gone, MaxAnonymousClasses those of all callers without proof and MaxPeerClasses those
	// of such callers from one address; 0 for no bound.
	MaxClasses, MaxAnonymousClasses, MaxPeerClasses int
	// Report takes all problems of all views whenever they may have changed; nil drops them.
	Report func([]model.Problem)
	// Object gives an object of the configuration that is served, by which problems name what users wrote; nil where
	// there is none.
	Object func(model.Key) *model.Object
	// Stalled is called where the engine stands still, which it will not leave by itself; nil for nobody.
	Stalled func()
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	Logger     *slog.Logger // nil for none
}

// Engine owns the views and the clients.
type Engine struct {
	opts    Options
	metrics *metrics
	pool    *resource.Pool // of what views have over what is built

	// state guards which state of the mesh is served: Apply takes it for writing, all that
	// translates for reading. It is taken before mu.
	state      sync.RWMutex
	translator Translator // nil before the first commit
	states     uint64     // how many translator has had

	mu        sync.Mutex    // guards all below, and of classes what has been built
	leaving   Translator    // the one whose seats the clients have
	seen      seen.Versions // by the state that is served
	classes   map[string]*classState
	brought   map[bringer]int // classes
	seats     map[*build.Seat]*Client
	untrusted *untrustedNodes // of proxies with an identity
	anonymous *untrustedNodes // of those without, which cannot push the former out
	unchecked int             // views that were not compared since units were computed
	reported  []model.Problem // in order
	holders   model.Holders   // of what was reported
	left      bool            // the last proxy of some class went since they were reported
	emptied   bool            // the last proxy of some class went since classes were dropped
}

// New gives an Engine without a state; it serves after the first Apply.
func New(opts Options) *Engine {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{
		opts: opts, metrics: newMetrics(opts.Registerer), pool: resource.NewPool(),
		classes: map[string]*classState{}, brought: map[bringer]int{}, seats: map[*build.Seat]*Client{},
		untrusted: newUntrustedNodes(maxUntrusted, maxUntrustedBytes),
		anonymous: newUntrustedNodes(maxUntrusted/4, maxUntrustedBytes/4),
	}
}

// Apply brings all views to a new state and tells the clients whose view changed.
func (e *Engine) Apply(ctx context.Context, c Commit) error {
	e.state.Lock()
	defer e.state.Unlock()
	started := time.Now()
	e.retain(c.Translator)
	work, err := c.Translator.Advance(ctx)
	if err != nil {
		return err
	}
	c.Change.Built(trace.Build{Began: started, Ended: time.Now(), Units: work.Computed, AllUnits: work.Units, Layers: work.Changed})
	e.translator = c.Translator
	e.states++
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leaving, e.seen = c.Translator, c.Seen
	changed := e.reclassify(work.Moved)
	e.doubt(work.Doubted, changed)
	for key := range work.Classes {
		if g := e.classes[key]; g != nil {
			changed[g] = struct{}{}
		}
	}
	if work.All {
		for _, g := range e.classes {
			changed[g] = struct{}{}
		}
	}
	renewed, told, noted := 0, 0, len(work.Moved) > 0
	for g := range changed {
		g.build.Do(func() {}) // no first build is needed any more
		g.built = true
		noted = g.refresh(e.translator, e.pool) || noted
		if n := g.publish(cause{c.Since, c.Change}, e.pool); n > 0 {
			renewed++
			told += n
		}
	}
	if work.Computed > 0 {
		e.unchecked = len(e.classes)
	}
	if noted {
		e.report()
	}
	c.Change.Pushed(trace.Push{Ended: time.Now(), Views: renewed, Clients: told})
	e.metrics.applied(work, len(e.classes), renewed, told, time.Since(started))
	return nil
}

// retain drops the classes without clients, if there may be some.
func (e *Engine) retain(t Translator) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.emptied {
		return
	}
	e.emptied = false
	live := make([]*resolve.Class, 0, len(e.classes))
	for _, g := range e.classes {
		if len(g.clients) == 0 {
			e.drop(g)
			continue
		}
		live = append(live, &g.class)
	}
	t.Retain(live)
}

// reclassify moves the clients whose class is another one now, and gives the classes to which they
// came.
func (e *Engine) reclassify(moved []*build.Seat) map[*classState]struct{} {
	changed := map[*classState]struct{}{}
	for _, seat := range moved {
		client := e.seats[seat]
		if client == nil {
			continue
		}
		from := client.class
		delete(from.clients, client)
		if from.release(client) {
			changed[from] = struct{}{}
		}
		to := e.classes[seat.Class.Key]
		if to == nil {
			to = e.add(seat.Class, from.broughtBy)
		}
		to.inherit(from)
		to.clients[client] = struct{}{}
		client.class = to
		changed[to] = struct{}{}
		if len(from.clients) == 0 {
			e.drop(from)
			delete(changed, from)
			e.left, e.emptied = true, true
		}
	}
	return changed
}

// doubt notes doubts that came or went, and the classes of their clients as changed, so that these are told.
func (e *Engine) doubt(doubted []*build.Seat, changed map[*classState]struct{}) {
	for _, seat := range doubted {
		if c := e.seats[seat]; c != nil {
			c.doubt = seat.Doubt
			changed[c.class] = struct{}{}
		}
	}
}

// enter gives the state of a class to a proxy that comes, a new one if it may bring one more. The caller
// holds the mutex.
func (e *Engine) enter(class resolve.Class, n *Node) (*classState, error) {
	if g := e.classes[class.Key]; g != nil {
		return g, nil
	}
	by := bringer{identity: n.Identity}
	if n.Identity == "" {
		by.peer = n.Peer
	}
	for _, x := range by.counted() {
		limit := e.opts.MaxClasses
		switch {
		case x.peer != "":
			limit = e.opts.MaxPeerClasses
		case x.identity == "":
			limit = e.opts.MaxAnonymousClasses
		}
		if limit > 0 && e.brought[x] >= limit {
			return nil, fmt.Errorf("%w: %s brought %d", ErrTooManyClasses, x, limit)
		}
	}
	return e.add(class, by), nil
}

// bringer is who brings classes: an identity, or, without one, all callers without proof, or those of them
// from one address.
type bringer struct{ identity, peer string }

// counted gives all who bring a class then.
func (b bringer) counted() []bringer {
	if b.peer == "" {
		return []bringer{b}
	}
	return []bringer{b, {}}
}

func (b bringer) String() string {
	switch {
	case b.identity != "":
		return "identity " + b.identity
	case b.peer != "":
		return "callers without proof from " + b.peer
	}
	return "callers without proof"
}

// add gives the state of a new class. The caller holds the mutex.
func (e *Engine) add(class resolve.Class, by bringer) *classState {
	g := newClassState(class, e.pool.Empty())
	g.broughtBy = by
	e.classes[class.Key] = g
	for _, x := range by.counted() {
		e.brought[x]++
	}
	return g
}

// drop forgets a class. The caller holds the mutex.
func (e *Engine) drop(g *classState) {
	delete(e.classes, g.class.Key)
	for _, x := range g.broughtBy.counted() {
		if e.brought[x]--; e.brought[x] == 0 {
			delete(e.brought, x)
		}
	}
}

// Connect registers a proxy. Its view is built if it is the first of its class, beside the views of
// other classes. changed is called with that view before Connect returns, and then with each later
// one, in their order. It is called under the engine's mutex: it must not wait, and not call the
// engine or a client.
func (e *Engine) Connect(n *Node, changed func(*Update)) (*Client, error) {
	e.state.RLock()
	defer e.state.RUnlock()
	if e.translator == nil {
		return nil, ErrNotReady
	}
	seat := e.translator.Seat(&n.Proxy)
	e.mu.Lock()
	g, err := e.enter(seat.Class, n) // which stays, since Apply waits
	if err != nil {
		e.leaving.Leave(seat)
		e.mu.Unlock()
		return nil, err
	}
	e.mu.Unlock()
	g.build.Do(func() { g.refresh(e.translator, e.pool) })
	e.mu.Lock()
	defer e.mu.Unlock()
	g.built = true
	c := &Client{engine: e, node: n, seat: seat, class: g, changed: changed, doubt: seat.Doubt}
	c.untrusted = e.remembered(n).take(n)
	g.clients[c] = struct{}{}
	trials := g.trials()[c]
	c.offer(g.viewWith(trials, e.pool), trials, cause{})
	e.seats[seat] = c
	if len(g.clients) == 1 {
		e.metrics.views.Set(float64(len(e.classes)))
	}
	e.reportNew(c)
	return c, nil
}

// remembered gives the memory in which a disconnected proxy belongs.
func (e *Engine) remembered(n *Node) *untrustedNodes {
	if n.Identity == "" {
		return e.anonymous
	}
	return e.untrusted
}
