package store

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// links holds what refers to what, so that one pod's change reaches its services without a
// search through the mesh. Most lists have one entry or a few.
type links struct {
	podsOf     map[model.Key]keyList // service → pods and WorkloadEntries that its selector matches
	servicesOf map[model.Key]keyList // pod or WorkloadEntry → services that select it
	slicesOf   map[model.Key]keyList // service → its EndpointSlices
	slicesWith map[string]keyList    // podRef or ipRef → EndpointSlices that name it
	podsAt     *table[[]model.Key]   // address → pods and WorkloadEntries; readers ask it as well
}

func newLinks(changed *journal) links {
	return links{
		podsOf: map[model.Key]keyList{}, servicesOf: map[model.Key]keyList{},
		slicesOf: map[model.Key]keyList{}, slicesWith: map[string]keyList{},
		podsAt: newTable[[]model.Key]("pods at an address", changed, nil),
	}
}

// clusterAddress names an address, which is one pod's in its own cluster only.
func clusterAddress(cluster, address string) Place { return Place{Namespace: cluster, Name: address} }

func podRef(key model.Key) string { return "pod " + key.Cluster + "/" + key.Namespace + "/" + key.Name }

func ipRef(cluster, address string) string { return "ip " + cluster + "/" + address }

// keyList is a sorted list without repetition.
type keyList []model.Key

// insert adds b to the list of a.
func insert[K comparable](m map[K]keyList, a K, b model.Key) {
	list := m[a]
	if at, found := slices.BinarySearchFunc(list, b, model.Key.Compare); !found {
		m[a] = slices.Insert(list, at, b)
	}
}

// remove takes b out of the list of a.
func remove[K comparable](m map[K]keyList, a K, b model.Key) {
	if at, found := slices.BinarySearchFunc(m[a], b, model.Key.Compare); found {
		set(m, a, slices.Delete(m[a], at, at+1))
	}
}

// set gives a key another list; one without any has no entry.
func set[K comparable, L ~[]V, V any](m map[K]L, key K, list L) {
	if len(list) == 0 {
		delete(m, key)
	} else {
		m[key] = list
	}
}

// selectService links a service to the pods that it selects now.
func (l *links) selectService(key model.Key, selector map[string]string, workloads ...map[string]*model.Object) {
	for _, pod := range l.podsOf[key] {
		remove(l.servicesOf, pod, key)
	}
	var selected keyList
	for _, pods := range workloads {
		for _, pod := range pods {
			if model.Selects(selector, pod.Labels) {
				selected = append(selected, pod.Key)
				insert(l.servicesOf, pod.Key, key)
			}
		}
	}
	slices.SortFunc(selected, model.Key.Compare)
	set(l.podsOf, key, slices.Clip(selected))
}

// labelPod links a pod to the services that select it now.
func (l *links) labelPod(key model.Key, pod *model.Object, selecting ...map[string]*model.Object) {
	for _, svc := range l.servicesOf[key] {
		remove(l.podsOf, svc, key)
	}
	delete(l.servicesOf, key)
	if pod == nil {
		return
	}
	for _, services := range selecting {
		for _, svc := range services {
			if model.Selects(selectorOf(svc), pod.Labels) {
				insert(l.podsOf, svc.Key, key)
				insert(l.servicesOf, key, svc.Key)
			}
		}
	}
}

// movePod records a pod's address.
func (l *links) movePod(key model.Key, old, next *model.Object) {
	from, to := addressOf(old), addressOf(next)
	if from == to {
		return
	}
	if from != "" {
		relist(l.podsAt, clusterAddress(key.Cluster, from), key, false, model.Key.Compare)
	}
	if to != "" {
		relist(l.podsAt, clusterAddress(key.Cluster, to), key, true, model.Key.Compare)
	}
}

// podAt gives the pod with an address, the first by name where several share it.
func (l *links) podAt(cluster, address string) model.Key {
	if all := l.podsAt.row(clusterAddress(cluster, address)); len(all) > 0 && all[0].Kind == model.KindPod { // which come first
		return all[0]
	}
	return model.Key{}
}

// putSlice links a slice to its service, and to the pods that it names.
func (l *links) putSlice(key model.Key, old, next *model.Object) {
	if svc, ok := sliceService(old); ok {
		remove(l.slicesOf, svc, key)
		for _, ref := range sliceRefs(old) {
			remove(l.slicesWith, ref, key)
		}
	}
	if svc, ok := sliceService(next); ok {
		insert(l.slicesOf, svc, key)
		for _, ref := range sliceRefs(next) {
			insert(l.slicesWith, ref, key)
		}
	}
}

// sliceService gives the key of the service that an EndpointSlice belongs to; none for no slice.
func sliceService(o *model.Object) (_ model.Key, ok bool) {
	if o == nil {
		return model.Key{}, false
	}
	name := o.Labels[discoveryv1.LabelServiceName]
	return model.Key{Kind: model.KindService, Namespace: o.Namespace, Name: name, Cluster: o.Cluster}, name != ""
}

// sliceRefs gives the names and addresses of the pods in a slice.
func sliceRefs(o *model.Object) []string {
	var refs []string
	slice := o.Spec.(*discoveryv1.EndpointSlice)
	for i := range slice.Endpoints {
		ep := &slice.Endpoints[i]
		if ep.TargetRef != nil && ep.TargetRef.Kind == "Pod" {
			refs = append(refs, podRef(model.Key{Kind: model.KindPod, Namespace: o.Namespace, Name: ep.TargetRef.Name, Cluster: o.Cluster}))
			continue
		}
		for _, address := range ep.Addresses {
			refs = append(refs, ipRef(o.Cluster, model.CanonicalIP(address)))
		}
	}
	return refs
}
