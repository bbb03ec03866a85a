package machine

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// maxGroup is how many machines of a group one replica registers: as many as one identity may have streams.
const maxGroup = 10_000

// member is a stream of a machine that names a WorkloadGroup, for as long as it lasts.
type member struct {
	stream, connection string
	node               *push.Node
	since              time.Time // when it came
	order              uint64
	at                 *registration // nil where it is refused
	entry              *model.Object // what it is by its group; nil where it is refused
	refused            string        // why; "" where it is not
}

// group gives the key of the WorkloadGroup that a member names.
func (m *member) group() model.Key {
	return model.Key{Kind: model.KindWorkloadGroup, Namespace: m.node.Namespace, Name: m.node.Group}
}

// group is a WorkloadGroup that is there, or that members name.
type group struct {
	object  *model.Object // nil where there is none
	members map[*member]struct{}
	entries int // that are registered by it here, those of the grace period among them
}

// Join takes a stream of a caller with proof that names a WorkloadGroup. The machine is registered now, or once
// there is such a group.
func (g *Registry) Join(j xds.Join) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opts.Unregistered {
		return
	}
	g.order++
	m := &member{stream: j.Stream, connection: cmp.Or(j.Connection, j.Stream), node: j.Node, since: j.Since, order: g.order}
	g.joined[j.Stream] = m
	g.groupOf(m.group()).members[m] = struct{}{}
	if g.connections[m.connection] == nil {
		g.connections[m.connection] = map[*member]struct{}{}
	}
	g.connections[m.connection][m] = struct{}{}
	g.handOn(g.enroll(m))
}

// leave notes that a stream has ended. Another one of its connection may then be registered in its place.
func (g *Registry) leave(stream string) {
	m := g.joined[stream]
	if m == nil {
		return
	}
	delete(g.joined, stream)
	delete(g.groups[m.group()].members, m)
	delete(g.connections[m.connection], m)
	changed := g.move(m, nil, nil, time.Now().Add(g.opts.Grace))
	for other := range g.connections[m.connection] {
		changed = append(changed, g.enroll(other)...)
	}
	if len(g.connections[m.connection]) == 0 {
		delete(g.connections, m.connection)
	}
	g.dropGroup(m.group())
	g.handOn(changed)
}

func (g *Registry) groupOf(key model.Key) *group {
	if g.groups[key] == nil {
		g.groups[key] = &group{members: map[*member]struct{}{}}
	}
	return g.groups[key]
}

// dropGroup forgets a group that is not there and that nothing is of.
func (g *Registry) dropGroup(key model.Key) {
	if known := g.groups[key]; known != nil && known.object == nil && len(known.members) == 0 && known.entries == 0 {
		delete(g.groups, key)
	}
}

// followGroup takes a WorkloadGroup as its source has it, and gives what changes for its machines.
func (g *Registry) followGroup(e model.Event) (changed []*registration) {
	known := g.groupOf(e.Key)
	known.object = e.New
	for m := range known.members {
		changed = append(changed, g.enroll(m)...)
	}
	g.dropGroup(e.Key)
	return changed
}

// enroll decides what entry a member is, and gives the registrations that this changes.
func (g *Registry) enroll(m *member) []*registration {
	entry, err := g.entryOf(m)
	if err != nil {
		m.refused = err.Error()
		g.refuse(m, m.refused, time.Now())
		return g.move(m, nil, nil, time.Now())
	}
	m.refused = ""
	return g.move(m, g.registration(entry.Key, m), entry, time.Now())
}

// entryOf gives what a member is by its group. A connection is one machine: a second stream of it is the same entry
// as the first, or none.
func (g *Registry) entryOf(m *member) (*model.Object, error) {
	known := g.groups[m.group()]
	if known.object == nil {
		return nil, errors.New(noGroup)
	}
	entry, err := Entry(known.object, m.node)
	if err != nil {
		return nil, err
	}
	for other := range g.connections[m.connection] {
		if other != m && other.at != nil && other.at.key != entry.Key {
			return nil, fmt.Errorf("its connection has registered %s already", other.at.key.Name)
		}
	}
	if r := g.registered[entry.Key]; r != nil {
		for other := range r.members { // two groups may come to one name by addresses of IPv6
			if other != m && (other.group() != m.group() || accountOf(other.entry) != accountOf(entry)) {
				return nil, fmt.Errorf("its entry would be %s, which a machine of another group is", entry.Key.Name)
			}
		}
	}
	if g.registered[entry.Key] == nil && known.entries >= maxGroup {
		return nil, fmt.Errorf("%d machines of this group are registered, and no more are taken", maxGroup)
	}
	return entry, nil
}

func accountOf(entry *model.Object) string {
	return entry.Spec.(*networking.WorkloadEntry).GetServiceAccount()
}

// move puts a member to a registration, nil for none, and gives those that this changes. One that it was the last
// of is gone when until comes. What its connection has registered before, and nobody is any more, is gone at once.
func (g *Registry) move(m *member, to *registration, entry *model.Object, until time.Time) (changed []*registration) {
	if from := m.at; from != nil && from != to {
		delete(from.members, m)
		if len(from.members) == 0 {
			from.until = until
		}
		changed = append(changed, from)
	}
	m.at, m.entry = to, entry
	if to == nil {
		return changed
	}
	if former := g.held[m.connection]; former != nil && former != to && len(former.members) == 0 {
		former.until = time.Now()
		if !former.left.IsZero() && former.seen.disconnected.Equal(former.left) {
			former.look = former.until
		}
		changed = append(changed, former)
	}
	if to.connection != m.connection {
		g.release(to)
		to.connection, g.held[m.connection] = m.connection, to
	}
	to.members[m], to.until = struct{}{}, time.Time{}
	return append(changed, to)
}

// release forgets by which connection a registration came.
func (g *Registry) release(r *registration) {
	if g.held[r.connection] == r {
		delete(g.held, r.connection)
	}
}
