package store

import (
	"cmp"
	"maps"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

type keySet map[model.Key]struct{}

func (s keySet) add(k model.Key) { s[k] = struct{}{} }

// state is the writer's side of the store: the tables that the next snapshot is made from, and
// what has changed since the last. One goroutine owns it.
type state struct {
	domain string
	mesh   *meshconfig.MeshConfig

	objects  edit[model.Key, *model.Object]
	members  map[nsKind]map[string]*model.Object // the same by kind, namespace and name
	services edit[model.Key, *model.Service]
	links    links

	byKind     edit[nsKind, []*model.Object]
	byHost     edit[string, *model.Service]
	nsServices edit[string, []*model.Service]
	endpoints  edit[model.Key, []model.Endpoint]
	exactRules edit[nsHost, []*model.Object]
	wildRules  edit[string, []wildRule]
	podRules   edit[string, []*model.Object]
	exported   edit[string, []*model.Object]

	last *Snapshot // the last commit, nil before the first

	// What changed since the last commit.
	changed        keySet               // objects whose value changed
	dirtyServices  keySet               // Service objects to be read again
	dirtyEndpoints map[model.Key]keySet // services whose endpoints are to be computed again, with the pods; nil for all
	movedEndpoints keySet               // services whose endpoints did change
	full           bool                 // everything is to be computed again

	// former holds what changed as the last commit has it, nil for what it has not: the objects of
	// listed kinds, and the services.
	former         map[model.Key]*model.Object
	formerServices map[model.Key]*model.Service
}

func newState(domain string) *state {
	s := &state{
		domain:  cmp.Or(domain, "cluster.local"),
		mesh:    model.DefaultMeshConfig(),
		members: map[nsKind]map[string]*model.Object{},
		links:   newLinks(),
	}
	s.reset()
	return s
}

func (s *state) reset() {
	s.changed, s.movedEndpoints = keySet{}, keySet{} // a commit has the former ones
	s.dirtyServices, s.dirtyEndpoints = keySet{}, map[model.Key]keySet{}
	s.former, s.formerServices = map[model.Key]*model.Object{}, map[model.Key]*model.Service{}
	s.full = false
}

// put sets or, with next nil, deletes one object.
func (s *state) put(key model.Key, next *model.Object) {
	old := s.objects.row(key)
	if !relevant(key.Kind) || old == nil && next == nil {
		return
	}
	same := old != nil && next != nil && sameValue(old, next)
	if same && old.Origin == next.Origin && s.sameRows(old, next) {
		return
	}
	if _, seen := s.former[key]; listed(key.Kind) && !seen {
		s.former[key] = old
	}
	s.record(key, next)
	switch key.Kind {
	case model.KindService:
		s.putService(key, next)
		return // what counts is the service
	case model.KindPod:
		s.putPod(key, old, next)
	case model.KindEndpointSlice:
		s.putSlice(key, old, next)
		return // what counts is its services' endpoints
	case model.KindMeshConfig:
		if !same {
			s.putMesh(next)
		}
	case model.KindNamespace:
		if !same && key.Name == s.mesh.GetRootNamespace() {
			s.full = true // its network label is the default of every endpoint
		}
	}
	if !same {
		s.changed.add(key)
	}
}

// relevant tells whether a kind decides anything that a proxy is told.
func relevant(kind model.Kind) bool {
	switch kind {
	case model.KindNamespace, model.KindService, model.KindPod, model.KindEndpointSlice, model.KindMeshConfig:
		return true
	}
	return listed(kind)
}

func (s *state) record(key model.Key, next *model.Object) {
	at := nsKind{key.Kind, key.Namespace}
	if next == nil {
		s.objects.delete(key)
		delete(s.members[at], key.Name)
		if len(s.members[at]) == 0 {
			delete(s.members, at)
		}
		return
	}
	s.objects.set(key, next)
	if s.members[at] == nil {
		s.members[at] = map[string]*model.Object{}
	}
	s.members[at][key.Name] = next
}

func (s *state) putMesh(next *model.Object) {
	s.mesh = model.DefaultMeshConfig()
	if next != nil {
		s.mesh = next.Spec.(*meshconfig.MeshConfig)
	}
	s.full = true
}

func (s *state) putService(key model.Key, next *model.Object) {
	var selector map[string]string
	if next != nil {
		selector = next.Spec.(*corev1.Service).Spec.Selector
	}
	if !maps.Equal(selector, s.links.selectors[key]) {
		s.links.selectService(key, selector, s.members[nsKind{model.KindPod, key.Namespace}])
	}
	s.dirtyServices.add(key)
	s.dirtyEndpoints[key] = nil
}

func (s *state) putPod(key model.Key, old, next *model.Object) {
	s.touchPod(key, old)
	relabelled := old == nil || next == nil || !maps.Equal(old.Labels, next.Labels)
	if relabelled {
		s.links.labelPod(key, next, s.members[nsKind{model.KindService, key.Namespace}])
	}
	s.links.movePod(key, old, next)
	s.touchPod(key, next)
}

// touchPod marks the services whose endpoints come from the pod or borrow its metadata.
func (s *state) touchPod(key model.Key, o *model.Object) {
	if o == nil {
		return
	}
	for _, svc := range s.links.servicesOf[key] {
		pods, dirty := s.dirtyEndpoints[svc]
		if !dirty {
			pods = keySet{}
			s.dirtyEndpoints[svc] = pods
		}
		if pods != nil {
			pods.add(key)
		}
	}
	if len(s.links.sliceUsers) == 0 {
		return
	}
	for _, ref := range []string{podRef(key), ipRef(o.Spec.(*corev1.Pod).Status.PodIP)} {
		for _, svc := range s.links.sliceUsers[ref] {
			s.dirtyEndpoints[svc] = nil
		}
	}
}

func (s *state) putSlice(key model.Key, old, next *model.Object) {
	for _, o := range []*model.Object{old, next} {
		if o == nil {
			continue
		}
		if svc, ok := sliceService(o); ok {
			s.dirtyEndpoints[svc] = nil
		}
	}
	s.links.putSlice(key, old, next)
}

// sliceService gives the key of the service that an EndpointSlice belongs to.
func sliceService(o *model.Object) (model.Key, bool) {
	name := o.Labels[discoveryv1.LabelServiceName]
	return model.Key{Kind: model.KindService, Namespace: o.Namespace, Name: name}, name != ""
}

// commit gives the next snapshot, and ok false where nothing changed in value.
func (s *state) commit() (c Commit, ok bool) {
	if s.full || s.last == nil {
		s.markAll()
	}
	for _, key := range sortedKeys(s.dirtyServices) {
		s.deriveService(key)
	}
	for _, key := range sortedKeys(s.dirtyEndpoints) {
		s.deriveEndpoints(key, s.dirtyEndpoints[key])
	}
	clear(s.dirtyServices)
	clear(s.dirtyEndpoints)
	if s.last != nil && !s.full && len(s.changed) == 0 && len(s.movedEndpoints) == 0 {
		return Commit{}, false // what changed but not in value goes into the lists of the next commit
	}
	c = Commit{Snapshot: s.snapshot(), Changed: s.changed, Endpoints: s.movedEndpoints, Full: s.full || s.last == nil}
	s.last = c.Snapshot
	s.reset()
	return c, true
}

// markAll marks every service to be computed again, after the mesh configuration changed.
func (s *state) markAll() {
	for at, objects := range s.members {
		if at.kind != model.KindService {
			continue
		}
		for _, o := range objects {
			s.dirtyServices.add(o.Key)
			s.dirtyEndpoints[o.Key] = nil
		}
	}
}

func sortedKeys[V any](set map[model.Key]V) []model.Key {
	return slices.SortedFunc(maps.Keys(set), model.Key.Compare)
}

// snapshot makes the snapshot of the present tables.
func (s *state) snapshot() *Snapshot {
	services, routes := s.lists()
	next := &Snapshot{
		mesh: s.mesh, domain: s.domain,
		objects: s.objects.freeze(), byKind: s.byKind.freeze(),
		byHost: s.byHost.freeze(), nsServices: s.nsServices.freeze(), endpoints: s.endpoints.freeze(),
		exactRules: s.exactRules.freeze(), wildRules: s.wildRules.freeze(), podRules: s.podRules.freeze(), exported: s.exported.freeze(),
	}
	if s.full || s.last == nil {
		next.services, next.virtualServices = newVisible(compareServices), newVisible(model.Older)
	} else {
		next.services, next.virtualServices, next.gateways = s.last.services, s.last.virtualServices, s.last.gateways
	}
	next.services = next.services.with(services.out, services.in)
	next.virtualServices = next.virtualServices.with(routes.out, routes.in)
	if s.gatewaysDirty() {
		next.gateways = s.allGateways()
	}
	return next
}
