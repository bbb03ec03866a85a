package store

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// links holds what refers to what, so that one pod's change reaches its services without a
// search through the mesh.
type links struct {
	podsOf     map[model.Key]keySet            // service → pods that its selector matches
	servicesOf map[model.Key]keySet            // pod → services that select it
	selectors  map[model.Key]map[string]string // service → its selector
	slicesOf   map[model.Key]keySet            // service → its EndpointSlices
	sliceUsers map[string]keySet               // podRef or ipRef → services whose slices name it
	refsOf     map[model.Key][]string          // slice → the podRefs and ipRefs that it names
	podsAt     map[string]keySet               // address → pods
}

func newLinks() links {
	return links{
		podsOf: map[model.Key]keySet{}, servicesOf: map[model.Key]keySet{},
		selectors: map[model.Key]map[string]string{}, slicesOf: map[model.Key]keySet{},
		sliceUsers: map[string]keySet{}, refsOf: map[model.Key][]string{}, podsAt: map[string]keySet{},
	}
}

func podRef(key model.Key) string { return "pod " + key.Namespace + "/" + key.Name }

func ipRef(address string) string { return "ip " + address }

// insert adds b to the set of a.
func insert[K comparable](m map[K]keySet, a K, b model.Key) {
	if m[a] == nil {
		m[a] = keySet{}
	}
	m[a].add(b)
}

// remove takes b out of the set of a.
func remove[K comparable](m map[K]keySet, a K, b model.Key) {
	delete(m[a], b)
	if len(m[a]) == 0 {
		delete(m, a)
	}
}

// selectService links a service to the pods that it selects now.
func (l *links) selectService(key model.Key, selector map[string]string, pods map[string]*model.Object) {
	for pod := range l.podsOf[key] {
		remove(l.servicesOf, pod, key)
	}
	delete(l.podsOf, key)
	delete(l.selectors, key)
	if len(selector) == 0 {
		return
	}
	l.selectors[key] = selector
	for _, pod := range pods {
		if matches(selector, pod.Labels) {
			insert(l.podsOf, key, pod.Key)
			insert(l.servicesOf, pod.Key, key)
		}
	}
}

// labelPod links a pod to the services that select it now.
func (l *links) labelPod(key model.Key, pod *model.Object, services map[string]*model.Object) {
	for svc := range l.servicesOf[key] {
		remove(l.podsOf, svc, key)
	}
	delete(l.servicesOf, key)
	if pod == nil {
		return
	}
	for _, svc := range services {
		if matches(l.selectors[svc.Key], pod.Labels) {
			insert(l.podsOf, svc.Key, key)
			insert(l.servicesOf, key, svc.Key)
		}
	}
}

// movePod records a pod's address.
func (l *links) movePod(key model.Key, old, next *model.Object) {
	from, to := podIP(old), podIP(next)
	if from == to {
		return
	}
	if from != "" {
		remove(l.podsAt, from, key)
	}
	if to != "" {
		insert(l.podsAt, to, key)
	}
}

// podAt gives the pod with an address, the first by name where several share it.
func (l *links) podAt(address string) model.Key {
	var first model.Key
	for key := range l.podsAt[address] {
		if first.Name == "" || key.Compare(first) < 0 {
			first = key
		}
	}
	return first
}

// putSlice links a service to one of its slices, and to the pods that its slices name.
func (l *links) putSlice(key model.Key, old, next *model.Object) {
	if svc, ok := serviceOfSlice(old); ok {
		remove(l.slicesOf, svc, key)
		for _, ref := range l.refsOf[key] {
			remove(l.sliceUsers, ref, svc)
		}
		delete(l.refsOf, key)
		for other := range l.slicesOf[svc] { // which may name the same pods
			l.use(svc, other)
		}
	}
	if svc, ok := serviceOfSlice(next); ok {
		insert(l.slicesOf, svc, key)
		l.refsOf[key] = sliceRefs(next)
		l.use(svc, key)
	}
}

// use links what a slice names to the slice's service.
func (l *links) use(svc, slice model.Key) {
	for _, ref := range l.refsOf[slice] {
		insert(l.sliceUsers, ref, svc)
	}
}

func serviceOfSlice(o *model.Object) (model.Key, bool) {
	if o == nil {
		return model.Key{}, false
	}
	return sliceService(o)
}

// sliceRefs gives the names and addresses of the pods in a slice.
func sliceRefs(o *model.Object) []string {
	var refs []string
	slice := o.Spec.(*discoveryv1.EndpointSlice)
	for i := range slice.Endpoints {
		ep := &slice.Endpoints[i]
		if ep.TargetRef != nil && ep.TargetRef.Kind == "Pod" {
			refs = append(refs, podRef(model.Key{Kind: model.KindPod, Namespace: o.Namespace, Name: ep.TargetRef.Name}))
			continue
		}
		for _, address := range ep.Addresses {
			refs = append(refs, ipRef(address))
		}
	}
	return refs
}
