// Package selected stands between sources and the store, and lets through what is in the namespaces that
// MeshConfig's discoverySelectors choose. It keeps no objects: sources follow all namespaces, and show what
// they have where another choice brings it into sight.
package selected

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Choice is what all sources of a mesh have in common: the selectors that one of them delivered last.
type Choice struct {
	to model.Sink

	mu    sync.Mutex
	now   *choice
	sinks []*Sink
}

// Source is what has delivered objects, and can show them.
type Source interface {
	// Each visits all objects as they are after what is being delivered. It is called by Apply of the
	// source's own sink only.
	Each(visit func(*model.Object))
	// Again lets the source call Apply soon, if only with its problems. It does not wait for that.
	Again()
}

// Sink takes what one source delivers and hands on what is in chosen namespaces. Without selectors that is all.
// Objects of no namespace, and those of the root namespace, are always among it, as with Istio.
type Sink struct {
	of   *Choice
	from Source

	seen   *choice               // by which was decided until now
	labels map[string]labels.Set // of the Namespaces that are there
}

// choice is a decision about namespaces. It is never written after it was made.
type choice struct {
	selectors []labels.Selector // one of them has to match; none for all namespaces
	root      string
}

// New gives a choice of all namespaces, in front of a sink.
func New(to model.Sink) *Choice { return &Choice{to: to, now: everything()} }

func everything() *choice { return &choice{root: model.RootNamespace} }

// From gives the sink of one source.
func (c *Choice) From(source Source) *Sink {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Sink{of: c, from: source, seen: c.now, labels: map[string]labels.Set{}}
	c.sinks = append(c.sinks, s)
	return s
}

// Synced tells that a source has delivered its initial state.
func (s *Sink) Synced(source string) { s.of.to.Synced(source) }

// Apply takes a source's events and hands on those of chosen namespaces. Where the choice itself changes, what
// comes into sight is added, and what goes out of sight is deleted; other sources are asked to look again.
func (s *Sink) Apply(name string, events []model.Event, problems []model.Problem) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	relabelled := s.note(events)
	if next := chosen(events, s.of.now); next != nil {
		s.of.now = next
		for _, other := range s.of.sinks {
			if other != s {
				other.from.Again()
			}
		}
	}
	m := move{former: s.seen, now: s.of.now, relabelled: relabelled, labels: s.labels}
	s.seen = s.of.now
	s.of.to.Apply(name, m.pass(events, s.from), m.visible(problems))
}

// note keeps the labels of namespaces. It gives those that Namespaces had whose labels are others now.
func (s *Sink) note(events []model.Event) (former map[string]labels.Set) {
	for _, e := range events {
		if e.Kind != model.KindNamespace {
			continue
		}
		was := s.labels[e.Name]
		delete(s.labels, e.Name)
		if e.New != nil {
			s.labels[e.Name] = namespaceLabels(e.New)
		}
		if maps.Equal(was, s.labels[e.Name]) {
			continue
		}
		if former == nil {
			former = map[string]labels.Set{}
		}
		former[e.Name] = was
	}
	return former
}

func namespaceLabels(o *model.Object) labels.Set {
	if ns, ok := o.Spec.(*corev1.Namespace); ok && ns.Labels != nil {
		return ns.Labels
	}
	return o.Labels
}

// chosen gives the choice of the mesh configuration that is among events; nil where there is none. As in Istio the
// former selectors stay while one is wrong: without it the namespaces that it stands for would be gone.
func chosen(events []model.Event, former *choice) *choice {
	i := slices.IndexFunc(events, func(e model.Event) bool { return e.Kind == model.KindMeshConfig })
	if i < 0 {
		return nil
	}
	out := everything()
	if events[i].New == nil {
		return out
	}
	mesh, _ := events[i].New.Spec.(*meshconfig.MeshConfig)
	out.root = cmp.Or(mesh.GetRootNamespace(), out.root)
	for _, each := range mesh.GetDiscoverySelectors() {
		selector, err := model.NamespaceSelector(each)
		if err != nil { // validation tells of it
			out.selectors = former.selectors
			break
		}
		out.selectors = append(out.selectors, selector)
	}
	return out
}

// hides tells whether a namespace is none of the chosen ones. One of which only the name is known has the label
// that an API server gives to all.
func (c *choice) hides(namespace string, has labels.Set) bool {
	if len(c.selectors) == 0 || namespace == c.root || namespace == "" {
		return false
	}
	set := labels.Set{corev1.LabelMetadataName: namespace}
	maps.Copy(set, has)
	return !slices.ContainsFunc(c.selectors, func(s labels.Selector) bool { return s.Matches(set) })
}

// move is a step from one decision about namespaces to another, or to the same.
type move struct {
	former, now        *choice
	relabelled, labels map[string]labels.Set // as they were, if they were others, and as they are
	decided            map[string]hidden     // by namespace, as they are asked about
}

// hidden tells of a namespace whether it was, and whether it is.
type hidden struct{ was, is bool }

func (m *move) hides(namespace string) hidden {
	h, ok := m.decided[namespace]
	if ok {
		return h
	}
	set := m.labels[namespace]
	former := set
	if was, other := m.relabelled[namespace]; other {
		former = was
	}
	h = hidden{m.former.hides(namespace, former), m.now.hides(namespace, set)}
	if m.decided == nil {
		m.decided = map[string]hidden{}
	}
	m.decided[namespace] = h
	return h
}

// turns tells whether a namespace comes into sight or goes out of it.
func (m *move) turns(namespace string) bool {
	h := m.hides(namespace)
	return h.was != h.is
}

// turnsAny tells whether any might.
func (m *move) turnsAny() bool {
	if m.former != m.now {
		return true
	}
	for namespace := range m.relabelled {
		if m.turns(namespace) {
			return true
		}
	}
	return false
}

// hidesNothing tells whether there were selectors neither before nor after.
func (m *move) hidesNothing() bool { return len(m.former.selectors)+len(m.now.selectors) == 0 }

// pass gives what is to be handed on of events, and of all else that the source has.
func (m *move) pass(events []model.Event, from Source) []model.Event {
	if m.hidesNothing() {
		return events
	}
	var out []model.Event
	add := func(e model.Event) {
		h := m.hides(e.Namespace)
		if h.was {
			e.Old = nil
		}
		if h.is {
			e.New = nil
		}
		if e.Old != e.New {
			out = append(out, e)
		}
	}
	for _, e := range events {
		add(e)
	}
	if !m.turnsAny() {
		return out
	}
	told := make(map[model.Key]struct{}, len(events))
	for _, e := range events {
		told[e.Key] = struct{}{}
	}
	from.Each(func(o *model.Object) {
		if !m.turns(o.Namespace) {
			return
		}
		if _, ok := told[o.Key]; !ok {
			add(model.Event{Key: o.Key, Old: o, New: o})
		}
	})
	slices.SortFunc(out, func(a, b model.Event) int { return a.Compare(b.Key) })
	return out
}

// visible leaves out the problems of hidden namespaces.
func (m *move) visible(problems []model.Problem) []model.Problem {
	hides := func(p model.Problem) bool { return m.hides(p.Object.Namespace).is }
	if m.hidesNothing() || !slices.ContainsFunc(problems, hides) {
		return problems
	}
	return slices.DeleteFunc(slices.Clone(problems), hides)
}

// Of gives those of all objects of a mesh that are in chosen namespaces.
func Of(objects []*model.Object) []*model.Object {
	s, now := &Sink{labels: map[string]labels.Set{}}, everything()
	for _, o := range objects {
		event := []model.Event{{Key: o.Key, New: o}}
		s.note(event)
		if next := chosen(event, now); next != nil {
			now = next
		}
	}
	return slices.DeleteFunc(slices.Clone(objects), func(o *model.Object) bool { return now.hides(o.Namespace, s.labels[o.Namespace]) })
}
