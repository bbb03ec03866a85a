// Package selected stands between sources and the store, and lets through what is in the namespaces that
// MeshConfig's discoverySelectors choose. Sources go on following all namespaces, so that one that is chosen
// later is there at once.
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

// Sink takes what sources deliver and hands on what is in chosen namespaces. Without selectors that is all.
// Objects of no namespace, and those of the root namespace, are always among it, as with Istio.
type Sink struct {
	to model.Sink

	mu      sync.Mutex
	choose  []labels.Selector // one of them has to match; none for all namespaces
	root    string
	sources map[string]*source
}

// source is what one source has delivered, hidden or not.
type source struct {
	objects  map[string]map[model.Key]*model.Object // by namespace
	labels   map[string]labels.Set                  // of the Namespaces that are there
	hidden   map[string]bool                        // the namespaces that were decided about
	problems []model.Problem
}

// New gives a sink in front of another.
func New(to model.Sink) *Sink {
	return &Sink{to: to, root: model.RootNamespace, sources: map[string]*source{}}
}

// Synced tells that a source has delivered its initial state.
func (s *Sink) Synced(source string) { s.to.Synced(source) }

// Apply takes a source's events and hands on those of chosen namespaces. Where the choice itself changes, what
// comes into sight is added, and what goes out of sight is deleted.
func (s *Sink) Apply(name string, events []model.Event, problems []model.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.sources[name]
	if from == nil {
		from = &source{objects: map[string]map[model.Key]*model.Object{}, labels: map[string]labels.Set{}, hidden: map[string]bool{}}
		s.sources[name] = from
	}
	from.problems = problems
	chosen, touched := s.note(from, events)
	if chosen {
		touched = slices.Collect(maps.Keys(from.objects))
	}
	s.to.Apply(name, s.pass(from, events, touched), from.visible(problems))
	if !chosen {
		return
	}
	for _, other := range slices.Sorted(maps.Keys(s.sources)) {
		of := s.sources[other]
		if of == from {
			continue
		}
		if moved := s.pass(of, nil, slices.Collect(maps.Keys(of.objects))); len(moved) > 0 {
			s.to.Apply(other, moved, of.visible(of.problems))
		}
	}
}

// note takes what decides about namespaces out of events. It tells whether the selectors are others, and
// which namespaces have other labels.
func (s *Sink) note(from *source, events []model.Event) (chosen bool, touched []string) {
	for _, e := range events {
		switch e.Kind {
		case model.KindNamespace:
			delete(from.labels, e.Name)
			if e.New != nil {
				from.labels[e.Name] = namespaceLabels(e.New)
			}
			touched = append(touched, e.Name)
		case model.KindMeshConfig:
			s.choose, s.root, chosen = nil, model.RootNamespace, true
			if e.New == nil {
				continue
			}
			mesh, _ := e.New.Spec.(*meshconfig.MeshConfig)
			s.root = cmp.Or(mesh.GetRootNamespace(), s.root)
			for _, each := range mesh.GetDiscoverySelectors() {
				selector, err := model.NamespaceSelector(each)
				if err != nil { // validation refuses it
					selector = labels.Nothing()
				}
				s.choose = append(s.choose, selector)
			}
		}
	}
	return chosen, touched
}

func namespaceLabels(o *model.Object) labels.Set {
	if ns, ok := o.Spec.(*corev1.Namespace); ok && ns.Labels != nil {
		return ns.Labels
	}
	return o.Labels
}

// pass applies events to what is known, and gives what is to be handed on. touched are the namespaces about
// which another decision may be made.
func (s *Sink) pass(from *source, events []model.Event, touched []string) []model.Event {
	before := map[string]bool{} // of those that go out of sight or come into it, whether they were hidden
	for _, namespace := range touched {
		was, decided := from.hidden[namespace]
		if now := s.hides(from, namespace); decided && was != now {
			before[namespace] = was
			from.hidden[namespace] = now
		}
	}
	var out []model.Event
	for namespace, was := range before {
		if was {
			continue
		}
		for key, o := range from.objects[namespace] { // it goes out of sight, as it was
			out = append(out, model.Event{Key: key, Old: o})
		}
	}
	for _, e := range events {
		if e.Namespace == "" {
			out = append(out, e)
			continue
		}
		hidden, decided := from.hidden[e.Namespace]
		if !decided {
			hidden = s.hides(from, e.Namespace)
			from.hidden[e.Namespace] = hidden
		}
		from.take(e)
		if _, moves := before[e.Namespace]; !hidden && !moves {
			out = append(out, e)
		}
	}
	for namespace, was := range before {
		if !was {
			continue
		}
		for key, o := range from.objects[namespace] { // it comes into sight, as it is now
			out = append(out, model.Event{Key: key, New: o})
		}
	}
	if len(before) > 0 {
		slices.SortFunc(out, func(a, b model.Event) int { return a.Compare(b.Key) })
	}
	return out
}

// take keeps an object's newest version.
func (f *source) take(e model.Event) {
	if e.New == nil {
		delete(f.objects[e.Namespace], e.Key)
		if len(f.objects[e.Namespace]) == 0 {
			delete(f.objects, e.Namespace)
			delete(f.hidden, e.Namespace)
		}
		return
	}
	if f.objects[e.Namespace] == nil {
		f.objects[e.Namespace] = map[model.Key]*model.Object{}
	}
	f.objects[e.Namespace][e.Key] = e.New
}

// hides tells whether a namespace is none of the chosen ones. One of which only the name is known has the label
// that an API server gives to all.
func (s *Sink) hides(from *source, namespace string) bool {
	if len(s.choose) == 0 || namespace == s.root {
		return false
	}
	set := labels.Set{corev1.LabelMetadataName: namespace}
	maps.Copy(set, from.labels[namespace])
	return !slices.ContainsFunc(s.choose, func(c labels.Selector) bool { return c.Matches(set) })
}

// visible leaves out the problems of hidden namespaces.
func (f *source) visible(problems []model.Problem) []model.Problem {
	hides := func(p model.Problem) bool { return f.hidden[p.Object.Namespace] }
	if !slices.ContainsFunc(problems, hides) {
		return problems
	}
	return slices.DeleteFunc(slices.Clone(problems), hides)
}

// Of gives those of all objects of a mesh that are in chosen namespaces.
func Of(objects []*model.Object) []*model.Object {
	s := New(nil)
	from := &source{labels: map[string]labels.Set{}}
	for _, o := range objects {
		s.note(from, []model.Event{{Key: o.Key, New: o}})
	}
	return slices.DeleteFunc(slices.Clone(objects), func(o *model.Object) bool { return o.Namespace != "" && s.hides(from, o.Namespace) })
}
