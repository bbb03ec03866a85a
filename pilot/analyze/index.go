package analyze

import (
	"cmp"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// index finds objects of a settled mesh without looking at all of them.
type index struct {
	keys      map[model.Key]*model.Object // the first of each
	kinds     map[model.Kind][]*model.Object
	workloads *labelled[*workload]
	pods      map[string]*workload       // by namespace and name of the pod that stands for it
	inbound   map[*workload]inboundPorts // of those that were asked for
	selecting map[string]string          // the name of the first Gateway of a namespace with a selector
}

// indexed makes the index of the objects.
func (m *mesh) indexed() {
	m.index = &index{
		keys: map[model.Key]*model.Object{}, kinds: map[model.Kind][]*model.Object{},
		workloads: newLabelled[*workload](), pods: map[string]*workload{}, inbound: map[*workload]inboundPorts{}, selecting: map[string]string{},
	}
	for _, o := range m.objects {
		if m.index.keys[o.Key] == nil {
			m.index.keys[o.Key] = o
		}
		m.index.kinds[o.Kind] = append(m.index.kinds[o.Kind], o)
		if gw, ok := o.Spec.(*networking.Gateway); ok {
			selection := o.Namespace + "/" + model.LabelSet(gw.GetSelector())
			m.index.selecting[selection] = cmp.Or(m.index.selecting[selection], o.Name)
		}
	}
}

// object finds an object; nil for none.
func (m *mesh) object(key model.Key) *model.Object {
	if m.index != nil {
		return m.index.keys[key]
	}
	if i := slices.IndexFunc(m.objects, func(o *model.Object) bool { return o.Key == key }); i >= 0 {
		return m.objects[i]
	}
	return nil
}

// ofKind gives the objects of a kind, and maybe others.
func (m *mesh) ofKind(kind model.Kind) []*model.Object {
	if m.index != nil {
		return m.index.kinds[kind]
	}
	return m.objects
}

// selected gives the workloads of a namespace, "" for all namespaces, that a selector matches.
func (m *mesh) selected(namespace string, selector map[string]string) []*workload {
	return m.index.workloads.selected(namespace, selector)
}

// labelled finds what labels and namespaces select, in the order in which it was added.
type labelled[T any] struct {
	all     []labelledItem[T]
	byLabel map[labelAt][]int // "" as the namespace stands for all of them, and an empty label for any
}

type labelledItem[T any] struct {
	item   T
	labels map[string]string
}

type labelAt struct{ namespace, name, value string }

func newLabelled[T any]() *labelled[T] { return &labelled[T]{byLabel: map[labelAt][]int{}} }

func (l *labelled[T]) add(item T, namespace string, labels map[string]string) {
	at := len(l.all)
	l.all = append(l.all, labelledItem[T]{item, labels})
	for _, in := range slices.Compact([]string{"", namespace}) {
		l.byLabel[labelAt{namespace: in}] = append(l.byLabel[labelAt{namespace: in}], at)
		for name, value := range labels {
			if name != "" {
				l.byLabel[labelAt{in, name, value}] = append(l.byLabel[labelAt{in, name, value}], at)
			}
		}
	}
}

// selected gives what a selector matches; it looks at what has the rarest of the labels.
func (l *labelled[T]) selected(namespace string, selector map[string]string) []T {
	some := l.byLabel[labelAt{namespace: namespace}]
	for name, value := range selector {
		if name == "" {
			continue // a label that no object may have, which is compared below
		}
		if fewer := l.byLabel[labelAt{namespace, name, value}]; len(fewer) < len(some) {
			some = fewer
		}
	}
	var out []T
	for _, at := range some {
		if one := l.all[at]; model.HasLabels(one.labels, selector) {
			out = append(out, one.item)
		}
	}
	return out
}
