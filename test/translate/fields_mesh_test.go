package translate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/machine"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/selected"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// world is the mesh around the object that is walked. It goes from one object to the next as a control plane
// does, since thousands are tried.
type world struct {
	around  map[model.Key]bool // what is of the mesh itself
	mesh    []*model.Object    // the same
	near    *selected.Sink     // before the store
	store   *store.Store
	reader  store.Reader // of what is in effect
	builder *build.Builder
	seats   []*build.Seat
	agents  *agents
	walked  map[model.Key]*model.Object // what is there beside the mesh
	known   map[string]*effect          // of objects without the field, by document
	kept    map[string]given            // what else than resources is given, by what it depends on
}

// effect is what a mesh with an object gives.
type effect struct {
	got      given
	problems []model.Problem
}

func worldProxies() (out []*model.Proxy) {
	for _, p := range []Proxy{
		{Name: "client-0", Namespace: "default", IPs: []string{"10.0.0.9"}, Locality: "r/z/s", Network: "home"},
		{Name: "reviews-v1-0", Namespace: "default", IPs: []string{"10.0.0.1"}, LogService: true},
		{Name: "gateway-0", Namespace: "default", IPs: []string{"10.0.0.8"}, Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}},
	} {
		m := p.Model()
		m.IstioVersion, m.Metadata = "1.31.0", map[string]string{"x-key": "x"}
		out = append(out, m)
	}
	return out
}

// newWorld gives a mesh whose agents are of a program.
func newWorld(t *testing.T, agent string) *world {
	t.Helper()
	objects, problems := file.Decode([]byte(worldYAML), "world.yaml")
	far, more := file.Decode([]byte(farYAML), "far.yaml")
	if problems = append(problems, more...); len(problems) > 0 {
		t.Fatal(problems)
	}
	objects = append(objects,
		&model.Object{Key: model.KeySetSource{URL: "https://keys.example"}.Key(), Spec: &model.KeySet{Keys: `{"keys":[]}`}},
		&model.Object{Key: model.Key{Kind: model.KindTrustBundle, Name: "default"}, Spec: &model.TrustBundle{Roots: []string{"root"}}},
		&model.Object{Key: model.ResolvedNameKey("gateway.example.com"), Spec: &model.ResolvedName{Addresses: []string{"203.0.113.4", "203.0.113.5"}}},
		&model.Object{Key: model.KeySetSource{Bundle: "https://far.example"}.Key(), Spec: &model.SPIFFEBundle{Roots: []string{"far"}}},
	)
	w := &world{
		around: map[model.Key]bool{}, builder: build.New(build.Options{}), known: map[string]*effect{}, kept: map[string]given{},
		mesh: objects, agents: &agents{program: agent, plans: map[string]plan{}},
	}
	w.store = store.New(store.Options{
		Domain: "cluster.local", Environment: environment, Quiet: time.Nanosecond, MaxQuiet: time.Nanosecond,
		Sources: []store.SourceOptions{{Name: "near"}, {Name: "far", Cluster: "far"}},
	})
	w.run(t)
	for _, o := range objects {
		w.around[o.Key] = true
	}
	w.near = selected.New(w.store).From(w)
	w.near.Apply("near", added(objects), nil)
	w.store.Apply("far", added(far), nil)
	w.store.Synced("near")
	w.store.Synced("far")
	w.settle(t)
	for _, p := range worldProxies() {
		w.seats = append(w.seats, w.builder.Seat(p))
	}
	return w
}

// run runs the store until the test ends.
func (w *world) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func added(objects []*model.Object) (out []model.Event) {
	for _, o := range objects {
		out = append(out, model.Event{Key: o.Key, New: o})
	}
	return out
}

// settle brings what the store was given into effect.
func (w *world) settle(t *testing.T) {
	t.Helper()
	settled := make(chan error, 1)
	go func() { settled <- w.store.Settle(t.Context()) }()
	for {
		select {
		case c := <-w.store.Commits():
			if _, err := w.builder.Advance(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			w.reader = c.Snapshot.Reader(nil)
			c.Applied()
		case err := <-settled:
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// effect puts a document into the mesh, in the place of the former one, and translates for all proxies.
func (w *world) effect(t *testing.T, document []byte) *effect {
	t.Helper()
	objects, problems := file.Decode(document, "walked.json")
	for _, o := range objects {
		problems = append(problems, validate.Object(o)...)
	}
	w.apply(append(objects, machines(objects)...))
	w.settle(t)
	out := &effect{got: w.given(t, objects)}
	var live []*resolve.Class
	for i, seat := range w.seats {
		live = append(live, &seat.Class)
		made := w.builder.Result(&seat.Class)
		problems = slices.Concat(problems, made.Shared, made.Own)
		got := maps.Clone(out.got[i])
		for kind, set := range made.Sets {
			for r := range set.All() {
				got[itemName{itemKind(kind), r.Name}] = resourceItem(t, r)
			}
		}
		out.got[i] = got
	}
	w.builder.Retain(live)
	slices.SortFunc(problems, model.CompareProblems)
	out.problems = slices.Compact(problems)
	return out
}

// before gives the effect of a document without the field that is tried, which many fields have in common.
func (w *world) before(t *testing.T, document []byte) *effect {
	t.Helper()
	out := w.known[string(document)]
	if out == nil {
		out = w.effect(t, document)
		w.known[string(document)] = out
	}
	return out
}

// apply puts objects into the place of the former ones. What is of the mesh stays as it is.
func (w *world) apply(objects []*model.Object) {
	next := map[model.Key]*model.Object{}
	var events []model.Event
	for _, o := range objects {
		if !w.around[o.Key] && next[o.Key] == nil {
			next[o.Key] = o
			events = append(events, model.Event{Key: o.Key, Old: w.walked[o.Key], New: o})
		}
	}
	for key, o := range w.walked {
		if next[key] == nil {
			events = append(events, model.Event{Key: key, Old: o})
		}
	}
	w.walked = next
	w.near.Apply("near", events, nil)
}

// yield lets the mesh's own object of a kind be walked.
func (w *world) yield(kind model.Kind) {
	w.walked = map[model.Key]*model.Object{}
	w.mesh = slices.DeleteFunc(w.mesh, func(o *model.Object) bool {
		if o.Kind == kind {
			delete(w.around, o.Key)
			w.walked[o.Key] = o
		}
		return o.Kind == kind
	})
}

// Each visits what the mesh and the object have.
func (w *world) Each(visit func(*model.Object)) {
	for _, o := range w.mesh {
		visit(o)
	}
	for _, o := range w.walked {
		visit(o)
	}
}

// Again is for further sources behind the same choice of namespaces, which there are not.
func (w *world) Again() {}

// same tells whether all get the same.
func (e *effect) same(o *effect) bool {
	for i, got := range e.got {
		if len(got) != len(o.got[i]) {
			return false
		}
		for name, r := range got {
			if other := o.got[i][name]; other == nil || other.version != r.version {
				return false
			}
		}
	}
	return true
}

// machines gives the entries of a machine of each WorkloadGroup, which is connected.
func machines(objects []*model.Object) (out []*model.Object) {
	for _, o := range objects {
		spec, ok := o.Spec.(*networking.WorkloadGroup)
		if !ok {
			continue
		}
		account := cmp.Or(spec.GetTemplate().GetServiceAccount(), model.DefaultServiceAccount)
		node := &push.Node{Proxy: model.Proxy{Name: "vm", Namespace: o.Namespace, IPs: []string{machineAddress}}, Identity: o.Namespace + "/" + account, Group: o.Name}
		if entry, err := machine.Entry(o, node); err == nil {
			out = append(out, entry)
		}
	}
	return out
}
