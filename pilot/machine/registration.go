package machine

import (
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// registration is a WorkloadEntry that machines are by their group. In a cluster it is an object of the API server,
// which all replicas see. Who hears the machine writes itself and the time into it (istio.io/workloadController,
// istio.io/connectedAt), and of two replicas the later time counts. Who heard it last writes when its stream has
// ended (istio.io/disconnectedAt), and takes the entry away after the grace period, unless the machine has come
// back to anybody. An entry outlives a replica that is killed. So the others ask, as for conditions: they write
// disconnectedAt themselves, which its replica takes back if it lives; else the entry goes.
type registration struct {
	key        model.Key
	of         model.Key // the group
	members    map[*member]struct{}
	connection string    // by which it came last
	until      time.Time // when what nobody is any more goes

	found *model.Object // what the source has under the key
	shown *model.Object // without a cluster: what the store has of it; nil for none

	seen  presence  // of found
	claim time.Time // connectedAt as this replica has written it last
	left  time.Time // disconnectedAt as this replica has written it last
	look  time.Time // when to ask for it, or to take it away; zero for never
	dirty bool      // there may be something to write
	fails int       // writes that have failed in a row
	retry time.Time // when to write again after that; zero for not
}

// registration gives that of a key, which a member may be the first of.
func (g *Registry) registration(key model.Key, m *member) *registration {
	r := g.registered[key]
	if r == nil {
		r = &registration{key: key, members: map[*member]struct{}{}, found: g.found[key]}
		g.registered[key] = r
	}
	if m != nil && r.of != m.group() {
		g.leaveGroup(r)
		r.of = m.group()
		g.groupOf(r.of).entries++
	}
	return r
}

// leaveGroup counts a registration no longer among those of its group.
func (g *Registry) leaveGroup(r *registration) {
	if r.of != (model.Key{}) {
		g.groups[r.of].entries--
		g.dropGroup(r.of)
	}
}

// dropIdle forgets a registration that nobody is and that is nowhere.
func (g *Registry) dropIdle(r *registration) {
	_, ok := presenceOf(r.found)
	if ok && g.opts.Write != nil || len(r.members) > 0 || r.shown != nil {
		return
	}
	delete(g.registered, r.key)
	g.release(r)
	g.leaveGroup(r)
}

// best gives the member that came last; nil for none.
func (r *registration) best() (best *member) {
	for m := range r.members {
		if best == nil || m.order > best.order {
			best = m
		}
	}
	return best
}

// foreign tells whether somebody else's entry has the key.
func (r *registration) foreign() bool {
	best := r.best()
	return best != nil && r.found != nil && !sameMember(r.found, best.entry)
}

// wanted gives the entry that is to be shown without a cluster; nil for none.
func (g *Registry) wanted(r *registration, now time.Time) *model.Object {
	if best := r.best(); best != nil {
		return heard(best.entry, g.opts.Name, best.since)
	}
	if r.until.After(now) {
		return r.shown
	}
	return nil
}

// handOn brings on what has changed for registrations: to the store, or by writing.
func (g *Registry) handOn(changed []*registration) {
	if events := g.shown(nil, changed); len(events) > 0 {
		g.to.Apply(g.source, events, g.problems)
	}
}

// shown adds what changes in the store, where there is no cluster. In one it has things written.
func (g *Registry) shown(events []model.Event, changed []*registration) []model.Event {
	now := time.Now()
	for _, r := range changed {
		if g.opts.Write != nil {
			r.dirty = true
			g.poke()
			continue
		}
		if r.found != nil {
			g.poke() // to tell that the machine is not registered
			g.dropIdle(r)
			continue // what the source has counts
		}
		former := r.shown
		r.shown = g.wanted(r, now)
		if !r.until.IsZero() {
			g.poke()
		}
		if former == nil && r.shown == nil || former != nil && r.shown != nil && model.Same(former, r.shown) {
			g.dropIdle(r)
			continue
		}
		g.tellRegistration(r.key, former, r.shown)
		e := model.Event{Key: r.key, Old: former, New: r.shown}
		e.New = g.follow(e)
		events = append(events, e)
		g.dropIdle(r)
	}
	return events
}

// tellRegistration logs that a machine has come or gone.
func (g *Registry) tellRegistration(key model.Key, former, next *model.Object) {
	switch {
	case former == nil && next != nil:
		g.opts.Logger.Info("machine is registered", "entry", key.String())
	case former != nil && next == nil:
		g.opts.Logger.Info("machine is registered no more", "entry", key.String())
	}
}

// overlay takes an entry as the source has it, and gives what the store is to have. What the source has counts, but
// where it has none the machine's is shown again.
func (g *Registry) overlay(e model.Event) *model.Object {
	if g.found[e.Key] = e.New; e.New == nil {
		delete(g.found, e.Key)
	}
	r := g.registered[e.Key]
	if r == nil {
		if _, ok := presenceOf(e.New); !ok || g.opts.Write == nil {
			return e.New
		}
		r = g.registration(e.Key, nil)
	}
	r.found = e.New
	if g.opts.Write != nil {
		r.notice(!g.synced, time.Now(), g.opts.Name, g.opts.Grace)
		r.dirty = true
		g.poke()
		g.dropIdle(r)
		return e.New
	}
	g.poke() // to tell who is not registered
	r.shown = nil
	if e.New == nil {
		r.shown = g.wanted(r, time.Now())
	}
	next := e.New
	if r.shown != nil {
		next = r.shown
	}
	g.dropIdle(r)
	return next
}
