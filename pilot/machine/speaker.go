package machine

import (
	"slices"
	"time"

	"istio.io/api/annotation"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// speaker is a stream that told its health. What it said last is kept while it lasts, whether or not there is an
// entry for it: the entry may come later.
type speaker struct {
	stream string
	node   *push.Node
	order  uint64  // those that came later have higher ones
	status *Status // what it said last
}

// place is an address in a namespace.
type place struct{ namespace, address string }

// places gives where a speaker says that it is, and where its connection comes from.
func (s *speaker) places() []place {
	out := make([]place, 0, len(s.node.IPs)+1)
	for _, ip := range append([]string{s.node.Peer}, s.node.IPs...) {
		if p := (place{s.node.Namespace, ip}); ip != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// at tells whether the speaker's connection comes from the place.
func (s *speaker) at(p place) bool {
	return s.node.Peer == p.address && s.node.Namespace == p.namespace
}

// spec gives the entry's content.
func (e *entry) spec() *networking.WorkloadEntry { return e.object.Spec.(*networking.WorkloadEntry) }

// place gives where the entry is.
func (e *entry) place() place {
	return place{e.object.Namespace, model.CanonicalIP(e.spec().GetAddress())}
}

// sameMachine tells whether what was said of one version of an entry is said of the other.
func sameMachine(a, b *networking.WorkloadEntry) bool {
	return a.GetAddress() == b.GetAddress() && a.GetNetwork() == b.GetNetwork() && a.GetServiceAccount() == b.GetServiceAccount()
}

// Health takes what an agent says, and keeps it while its stream lasts.
func (g *Registry) Health(h xds.Health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	said := &Status{Healthy: h.Healthy, Message: h.Message, Probed: time.Now()}
	s := g.speakers[h.Stream]
	if s == nil {
		g.order++
		s = &speaker{stream: h.Stream, node: h.Node, order: g.order, status: said}
		g.speakers[h.Stream] = s
		for _, p := range s.places() {
			add(g.heard, p, s)
		}
		g.matchAll(s)
		return
	}
	if s.status.Healthy == said.Healthy && s.status.Message == said.Message {
		return
	}
	s.status = said
	for _, p := range s.places() {
		for e := range g.probed[p] {
			if e.stream == s.stream {
				e.status, e.dirty = said, true
				g.poke()
			}
		}
	}
}

// Ended notes that a stream says no more. What it said, and what it was registered as, is kept for a while where
// nobody else speaks.
func (g *Registry) Ended(stream string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(stream)
	s := g.speakers[stream]
	if s == nil {
		return
	}
	delete(g.speakers, stream)
	for _, p := range s.places() {
		remove(g.heard, p, s)
	}
	g.matchAll(s)
}

// matchAll looks anew for who speaks for the entries that a speaker may speak for.
func (g *Registry) matchAll(s *speaker) {
	for _, p := range s.places() {
		for e := range g.probed[p] {
			g.match(e)
		}
	}
}

// matchAt does so where an entry came, changed or went: who connects from there may speak elsewhere too, or no more.
func (g *Registry) matchAt(p place) {
	for e := range g.probed[p] {
		g.match(e)
	}
	for s := range g.heard[p] {
		if s.at(p) {
			g.matchAll(s)
		}
	}
}

// match lets the best of its speakers speak for an entry.
func (g *Registry) match(e *entry) {
	var best *speaker
	at := e.place()
	for s := range g.heard[at] {
		switch {
		case !g.mayBe(s, e):
		case best == nil, s.at(at) && !best.at(at), s.at(at) == best.at(at) && s.order > best.order:
			best = s
		}
	}
	switch {
	case best == nil && e.stream != "":
		e.stream, e.until = "", time.Now().Add(g.opts.Grace)
		g.poke()
	case best != nil && e.stream != best.stream:
		e.stream, e.until = best.stream, time.Time{}
		e.status, e.dirty = best.status, true
		g.poke()
	}
}

// mayBe tells whether a speaker may be an entry: it is of the namespace that it proved, of the entry's network and
// service account, and of the name that it says, if it says one. What it says of its addresses is not proven. So one
// that connects from the address of an entry is no entry elsewhere, and an entry that wants no service account takes
// only who connects from its address. One that does is preferred by match. Another of the same service account may
// still speak for an entry whose machine connects from elsewhere, or not at all.
func (g *Registry) mayBe(s *speaker, e *entry) bool {
	n, we, at := s.node, e.spec(), e.place()
	switch {
	case n.WorkloadEntry != "" && n.WorkloadEntry != e.object.Name,
		we.GetNetwork() != "" && we.GetNetwork() != n.Network && !e.templated(n),
		we.GetServiceAccount() != "" && n.Identity != n.Namespace+"/"+we.GetServiceAccount():
		return false
	case s.at(at):
		return true
	}
	return we.GetServiceAccount() != "" && len(g.probed[place{n.Namespace, n.Peer}]) == 0
}

// templated tells whether an entry has its network of the WorkloadGroup that a machine names, which says none itself.
func (e *entry) templated(n *push.Node) bool {
	return n.Network == "" && n.Group != "" && n.Group == e.object.Annotations[annotation.IoIstioAutoRegistrationGroup.Name]
}

// add adds to a set of an index.
func add[T comparable](index map[place]map[T]struct{}, p place, value T) {
	if index[p] == nil {
		index[p] = map[T]struct{}{}
	}
	index[p][value] = struct{}{}
}

// remove takes from a set of an index.
func remove[T comparable](index map[place]map[T]struct{}, p place, value T) {
	delete(index[p], value)
	if len(index[p]) == 0 {
		delete(index, p)
	}
}
