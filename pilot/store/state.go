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
	rules      edit[string, *hostRules]
	exported   edit[string, []*model.Object]

	last *Snapshot // the last commit, nil before the first

	// What changed since the last commit.
	changed        keySet // objects whose value changed
	dirtyKinds     map[nsKind]struct{}
	dirtyServices  keySet // Service objects to be read again
	dirtyEndpoints keySet // services whose endpoints are to be computed again
	movedEndpoints keySet // services whose endpoints did change
	full           bool   // everything is to be computed again

	formerServices map[model.Key]*model.Service // of services that changed, as the last commit has them

	virtualOut, virtualIn []scoped[*model.Object]
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
	s.changed, s.dirtyKinds = keySet{}, map[nsKind]struct{}{}
	s.dirtyServices, s.dirtyEndpoints, s.movedEndpoints = keySet{}, keySet{}, keySet{}
	s.formerServices = map[model.Key]*model.Service{}
	s.virtualOut, s.virtualIn = nil, nil
	s.full = false
}

// put sets or, with next nil, deletes one object.
func (s *state) put(key model.Key, next *model.Object) {
	old := s.objects.row(key)
	if !relevant(key.Kind) || old == nil && next == nil {
		return
	}
	same := old != nil && next != nil && sameValue(old, next)
	s.record(key, next)
	switch key.Kind {
	case model.KindService:
		s.putService(key, next)
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
	s.dirtyKinds[nsKind{key.Kind, key.Namespace}] = struct{}{}
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
	s.links.selectService(key, selector, s.members[nsKind{model.KindPod, key.Namespace}])
	s.dirtyServices.add(key)
	s.dirtyEndpoints.add(key)
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
	maps.Copy(s.dirtyEndpoints, s.links.servicesOf[key])
	maps.Copy(s.dirtyEndpoints, s.links.sliceUsers[podRef(key)])
	maps.Copy(s.dirtyEndpoints, s.links.sliceUsers[ipRef(o.Spec.(*corev1.Pod).Status.PodIP)])
}

func (s *state) putSlice(key model.Key, old, next *model.Object) {
	for _, o := range []*model.Object{old, next} {
		if o == nil {
			continue
		}
		if svc, ok := sliceService(o); ok {
			s.dirtyEndpoints.add(svc)
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
		s.deriveEndpoints(key)
	}
	for at := range s.dirtyKinds {
		s.deriveKind(at)
	}
	if s.last != nil && !s.full && len(s.changed) == 0 && len(s.movedEndpoints) == 0 {
		s.reset()
		return Commit{}, false
	}
	c = Commit{Snapshot: s.freeze(), Changed: s.changed, Endpoints: s.movedEndpoints, Full: s.full || s.last == nil}
	s.last = c.Snapshot
	s.reset()
	return c, true
}

// markAll marks everything to be computed again, after the mesh configuration changed.
func (s *state) markAll() {
	s.exported = edit[string, []*model.Object]{} // by former defaults
	for at, objects := range s.members {
		s.dirtyKinds[at] = struct{}{}
		if at.kind != model.KindService {
			continue
		}
		for _, o := range objects {
			s.dirtyServices.add(o.Key)
			s.dirtyEndpoints.add(o.Key)
		}
	}
}

func sortedKeys(set keySet) []model.Key {
	return slices.SortedFunc(maps.Keys(set), model.Key.Compare)
}

// freeze makes the snapshot of the present tables.
func (s *state) freeze() *Snapshot {
	next := &Snapshot{
		mesh: s.mesh, domain: s.domain,
		objects: s.objects.freeze(), byKind: s.byKind.freeze(),
		byHost: s.byHost.freeze(), nsServices: s.nsServices.freeze(),
		endpoints: s.endpoints.freeze(), rules: s.rules.freeze(), exported: s.exported.freeze(),
	}
	var servicesOut, servicesIn []scoped[*model.Service]
	if s.full || s.last == nil {
		s.services.all(func(_ model.Key, svc *model.Service) { servicesIn = append(servicesIn, scopedService(svc)) })
		s.virtualOut, s.virtualIn = nil, nil
		for at, objects := range s.members {
			if at.kind == model.KindVirtualService {
				s.virtualIn = append(s.virtualIn, s.scopedVirtualServices(slices.Collect(maps.Values(objects)))...)
			}
		}
		next.services, next.virtualServices = newVisible(compareServices), newVisible(model.Older)
	} else {
		next.services, next.virtualServices, next.gateways = s.last.services, s.last.virtualServices, s.last.gateways
		for key, former := range s.formerServices {
			if former != nil {
				servicesOut = append(servicesOut, scopedService(former))
			}
			if now := s.services.row(key); now != nil {
				servicesIn = append(servicesIn, scopedService(now))
			}
		}
	}
	if len(servicesOut)+len(servicesIn) > 0 {
		next.services = next.services.with(servicesOut, servicesIn)
	}
	if len(s.virtualOut)+len(s.virtualIn) > 0 {
		next.virtualServices = next.virtualServices.with(s.virtualOut, s.virtualIn)
	}
	if s.gatewaysDirty() {
		next.gateways = s.allGateways()
	}
	return next
}
