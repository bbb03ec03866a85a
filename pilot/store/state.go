package store

import (
	"cmp"
	"maps"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

type keySet map[model.Key]struct{}

func (s keySet) add(k model.Key) { s[k] = struct{}{} }

// state is the writer's side of the store: the tables that the next snapshot is made from, and
// what has changed since the last. One goroutine owns it.
type state struct {
	Settings
	surroundings
	declared []Index

	members map[nsKind]map[string]*model.Object // all objects, by kind, cluster, namespace and name
	links   links

	own       *owned
	objects   map[model.Kind]*table[*model.Object] // by namespace and name, of kinds that are read so
	indexes   map[string]*index[*model.Object]     // by the name of their table
	services  *services
	endpoints *endpointTable
	networks  *networks
	allocator *allocator
	moved     []string // which allocated addresses moved since the last commit, for the log

	visibility *visibility // of ServiceEntries; nil where their exportTo alone counts

	last *Snapshot // the last commit, nil before the first

	// What changed since the last commit.
	rows           *journal                    // rows of all tables
	changed        keySet                      // objects whose value changed
	dirtyServices  keySet                      // Service objects to be read again
	dirtyEndpoints map[model.Key]keySet        // services whose endpoints are to be computed again, with the pods; nil for all
	movedEndpoints keySet                      // services whose endpoints did change
	dirtyIngress   bool                        // what is derived from Ingresses is to be derived again
	ingressKeys    keySet                      // of all Ingresses
	derived        map[model.Key]*model.Object // from Ingresses
	full           bool                        // everything is to be computed again
}

// nsKind names the objects of one kind in one namespace of a cluster.
type nsKind struct {
	kind      model.Kind
	cluster   string
	namespace string
}

func placeOf(k model.Key) nsKind { return nsKind{k.Kind, k.Cluster, k.Namespace} }

func newState(domain string, more ...Index) *state {
	s := &state{
		Settings:     Settings{Mesh: model.DefaultMeshConfig(), Domain: cmp.Or(domain, "cluster.local")},
		surroundings: surroundings{cluster: model.DefaultClusterID},
		declared:     append(indexes(), more...),
		members:      map[nsKind]map[string]*model.Object{},
		ingressKeys:  keySet{},
		rows:         newJournal(),
	}
	s.links = newLinks(s.rows)
	s.networks = newNetworks(s.rows)
	s.clearTables()
	s.forgetChanges()
	s.allocator = newAllocator()
	return s
}

// clearTables empties all that follows from the objects.
func (s *state) clearTables() {
	s.own = newOwned(s.rows)
	s.objects = map[model.Kind]*table[*model.Object]{}
	for _, kind := range byName(s.declared) {
		s.objects[kind] = newTable[*model.Object](string(kind), s.rows, nil)
	}
	s.indexes = map[string]*index[*model.Object]{}
	for _, d := range s.declared {
		s.indexes[d.Name] = newIndex(d, s.rows, s.own, model.Older)
	}
	s.services = newServices(s.rows, s.own)
	s.endpoints = newEndpointTable(s.rows)
	s.networks.clear(s.rows)
}

// byName are the kinds of which readers may ask for one object by its name: those that are listed in tables, and these.
func byName(declared []Index) []model.Kind {
	out := []model.Kind{
		model.KindNamespace, model.KindPod, model.KindSecret, model.KindKeySet, model.KindSPIFFEBundle, model.KindResolvedName,
		model.KindServiceEntry, model.KindWorkloadEntry,
	}
	for _, d := range declared {
		if !slices.Contains(out, d.Kind) {
			out = append(out, d.Kind)
		}
	}
	return out
}

func (s *state) forgetChanges() {
	s.changed, s.movedEndpoints = keySet{}, keySet{} // a commit has the former ones
	s.dirtyServices, s.dirtyEndpoints = keySet{}, map[model.Key]keySet{}
	s.full = false
}

// object gives an object, or nil.
func (s *state) object(key model.Key) *model.Object { return s.members[placeOf(key)][key.Name] }

// put sets or, with next nil, deletes one object.
func (s *state) put(key model.Key, next *model.Object) {
	old, next := s.object(key), reduced(next)
	if !s.relevant(key.Kind) || old == nil && next == nil {
		return
	}
	same := old != nil && next != nil && sameValue(old, next) && slices.Equal(old.Sources, next.Sources)
	if same && old.Origin == next.Origin && s.sameRows(old, next) {
		return
	}
	s.record(key, old, next, same)
	s.noteIngress(key, next)
	switch key.Kind {
	case model.KindService, model.KindServiceEntry:
		if !same && (isAlias(old) || isAlias(next)) {
			s.changed.add(key) // an alias has no service that could change
		}
		s.putService(key, old, next)
		return // what counts is the service
	case model.KindWorkloadEntry:
		s.putPod(key, old, next)
		return // what counts is its services' endpoints
	case model.KindPod:
		s.putPod(key, old, next)
	case model.KindEndpointSlice:
		s.putSlice(key, old, next)
		return // what counts is its services' endpoints
	}
	if same {
		return
	}
	s.changed.add(key)
	switch key.Kind {
	case model.KindMeshConfig:
		s.putMesh(next)
	case model.KindMeshNetworks:
		s.putNetworks(next)
	case model.KindResolvedName:
		s.networks.dirty = true
	case model.KindNamespace:
		s.full = s.full || key.Name == s.Mesh.GetRootNamespace() // its network label is the default of every endpoint
		s.moveNamespace(key, old, next)
	}
}

// reduced leaves of a Pod or Secret what decides about proxies, and gathers the labels of a WorkloadEntry.
func reduced(o *model.Object) *model.Object {
	if o == nil {
		return nil
	}
	if _, ok := o.Spec.(*networking.WorkloadEntry); ok {
		out := *o
		out.Labels = model.WorkloadLabels(o)
		return &out
	}
	spec, ok := model.Reduced(o.Spec)
	if !ok {
		return o
	}
	out := *o
	out.Spec = spec
	return &out
}

// relevant tells whether a kind decides anything that a proxy is told.
func (s *state) relevant(kind model.Kind) bool {
	switch kind {
	case model.KindEndpointSlice, model.KindMeshConfig, model.KindMeshNetworks, model.KindIngress, model.KindIngressClass:
		return true
	}
	return s.objects[kind] != nil
}

// record keeps an object and lists it in the tables of its kind.
func (s *state) record(key model.Key, old, next *model.Object, same bool) {
	at := placeOf(key)
	if next == nil {
		delete(s.members[at], key.Name)
		if len(s.members[at]) == 0 {
			delete(s.members, at)
		}
	} else {
		if s.members[at] == nil {
			s.members[at] = map[string]*model.Object{}
		}
		s.members[at][key.Name] = next
	}
	s.list(key, old, next, same)
}

func (s *state) list(key model.Key, old, next *model.Object, same bool) {
	if t := s.objects[key.Kind]; t != nil {
		switch row := rowOf(key); {
		case next == nil:
			t.drop(row)
		case same:
			t.refresh(row, next)
		default:
			t.put(row, next)
		}
	}
	for _, d := range s.declared {
		if d.Kind == key.Kind && old != nil {
			s.indexes[d.Name].take(old, same, d.Keys(&s.Settings, old)...)
		}
		if d.Kind == key.Kind && next != nil {
			s.indexes[d.Name].put(next, same, d.Keys(&s.Settings, next)...)
		}
	}
}

// rowOf is where an object stands in the table of its kind.
func rowOf(k model.Key) Place { return Place{k.Cluster, k.Namespace, k.Name} }

func (s *state) putMesh(next *model.Object) {
	s.Mesh = model.DefaultMeshConfig()
	if next != nil {
		s.Mesh = model.UsableRoots(next.Spec.(*meshconfig.MeshConfig))
	}
	s.visibility = newVisibility(s.Mesh.GetServiceEntryVisibility())
	s.full = true
}

func (s *state) putService(key model.Key, old, next *model.Object) {
	if selector := selectorOf(next); !maps.Equal(selector, selectorOf(old)) {
		s.links.selectService(key, selector, s.siblings(model.KindPod, key), s.siblings(model.KindWorkloadEntry, key))
	}
	if key.Kind == model.KindServiceEntry {
		s.allocator.claim(key, next)
	}
	s.noteNetworkGateway(key, next)
	s.dirtyServices.add(key)
	s.dirtyEndpoints[key] = nil
}

// selectorOf gives the labels that a Service or ServiceEntry selects workloads by.
func selectorOf(o *model.Object) map[string]string {
	if o == nil {
		return nil
	}
	if entry, ok := o.Spec.(*networking.ServiceEntry); ok {
		return entry.GetWorkloadSelector().GetLabels()
	}
	return o.Spec.(*corev1.Service).Spec.Selector
}

// siblings gives the objects of a kind in the namespace and cluster of an object.
func (s *state) siblings(kind model.Kind, key model.Key) map[string]*model.Object {
	return s.members[nsKind{kind, key.Cluster, key.Namespace}]
}

// putPod puts a Pod or a WorkloadEntry.
func (s *state) putPod(key model.Key, old, next *model.Object) {
	s.touchPod(key, old)
	relabelled := old == nil || next == nil || !maps.Equal(old.Labels, next.Labels)
	if relabelled {
		s.links.labelPod(key, next, s.siblings(model.KindService, key), s.siblings(model.KindServiceEntry, key))
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
	pod, isPod := o.Spec.(*model.Pod)
	if !isPod || len(s.links.slicesWith) == 0 {
		return
	}
	for _, ref := range []string{podRef(key), ipRef(key.Cluster, pod.IP)} {
		for _, slice := range s.links.slicesWith[ref] {
			svc, _ := sliceService(s.object(slice))
			s.dirtyEndpoints[svc] = nil
		}
	}
}

func (s *state) putSlice(key model.Key, old, next *model.Object) {
	for _, o := range []*model.Object{old, next} {
		if svc, ok := sliceService(o); ok {
			s.dirtyEndpoints[svc] = nil
		}
	}
	s.links.putSlice(key, old, next)
}

// commit gives the next snapshot, and ok false where nothing changed in value.
func (s *state) commit() (c Commit, ok bool) {
	s.deriveIngresses()
	s.findGateways()
	all := s.full || s.last == nil
	if all {
		s.markAll()
	}
	s.listGateways(all)
	s.allocate()
	for _, key := range sortedKeys(s.dirtyServices) {
		s.deriveServices(key)
	}
	for _, key := range sortedKeys(s.dirtyEndpoints) {
		s.deriveEndpoints(key, s.dirtyEndpoints[key])
	}
	clear(s.dirtyServices)
	clear(s.dirtyEndpoints)
	if !all && len(s.changed) == 0 && len(s.movedEndpoints) == 0 {
		return Commit{}, false // what changed but not in value goes into the lists of the next commit
	}
	changed := s.flush()
	c = Commit{Snapshot: s.snapshot(), Rows: changed, Changed: s.changed, Endpoints: s.movedEndpoints, Full: all}
	s.last = c.Snapshot
	s.forgetChanges()
	return c, true
}

// markAll makes all tables anew, after the mesh configuration changed.
func (s *state) markAll() {
	s.clearTables()
	for at, objects := range s.members {
		for _, o := range objects {
			s.list(o.Key, nil, o, false)
			if at.kind == model.KindService || at.kind == model.KindServiceEntry {
				s.dirtyServices.add(o.Key)
				s.dirtyEndpoints[o.Key] = nil
			}
		}
	}
}

// allocate gives addresses to the hosts of ServiceEntries that have none.
func (s *state) allocate() {
	changed, moved := s.allocator.settle()
	for _, key := range changed {
		s.dirtyServices.add(key)
	}
	s.moved = append(s.moved, moved...)
}

func sortedKeys[V any](set map[model.Key]V) []model.Key {
	return slices.SortedFunc(maps.Keys(set), model.Key.Compare)
}

// flush brings the lists up to what changed, and gives the rows that have another value.
func (s *state) flush() []Row {
	for _, x := range s.indexes {
		x.flush()
	}
	s.services.flush()
	s.endpoints.flush()
	s.own.flush() // last: what rows namespaces have follows from the others
	return s.rows.take()
}

// snapshot makes the snapshot of the present tables.
func (s *state) snapshot() *Snapshot {
	next := &Snapshot{
		mesh: s.Mesh, domain: s.Domain, surroundings: s.surroundings,
		objects: map[model.Kind]rows[*model.Object]{}, indexes: map[string]found[*model.Object]{},
		services: s.services.freeze(), endpoints: s.endpoints.rows.freeze(), longPeers: s.endpoints.long.freeze(), own: s.own.lists.freeze(),
		podsAt: s.links.podsAt.freeze(), gateways: s.networks.rows.freeze(), networks: s.networks.placements, gatewayNames: s.networks.names,
	}
	for kind, t := range s.objects {
		next.objects[kind] = t.freeze()
	}
	for name, x := range s.indexes {
		next.indexes[name] = x.freeze()
	}
	return next
}
