package selected

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// store holds what was handed on, and notes what no store takes: an event about what is not so.
type store struct {
	*testing.T
	objects  map[model.Key]*model.Object
	problems []model.Problem
}

func (s *store) Synced(string) {}

func (s *store) Apply(_ string, events []model.Event, problems []model.Problem) {
	seen := map[model.Key]bool{}
	for _, e := range events {
		if seen[e.Key] {
			s.Errorf("two events about %s in one batch", e.Key)
		}
		seen[e.Key] = true
		if e.New == nil {
			if s.objects[e.Key] == nil {
				s.Errorf("%s is deleted, and was not there", e.Key)
			}
			delete(s.objects, e.Key)
			continue
		}
		s.objects[e.Key] = e.New
	}
	s.problems = problems
}

func (s *store) names() string {
	var out []string
	for key := range s.objects {
		if key.Kind == model.KindService {
			out = append(out, key.Namespace+"/"+key.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// source has what was delivered by deliver, and notes that it is asked for another call.
type source struct {
	sink    *Sink
	objects map[model.Key]*model.Object
	again   int
}

func from(c *Choice) *source {
	s := &source{objects: map[model.Key]*model.Object{}}
	s.sink = c.From(s)
	return s
}

func (s *source) Each(visit func(*model.Object)) {
	for _, o := range s.objects {
		visit(o)
	}
}

func (s *source) Again() { s.again++ }

// deliver puts right what events say of the former objects.
func (s *source) deliver(problems []model.Problem, events ...model.Event) {
	for i, e := range events {
		events[i].Old = s.objects[e.Key]
		s.objects[e.Key] = e.New
		if e.New == nil {
			delete(s.objects, e.Key)
		}
	}
	s.sink.Apply("source", events, problems)
}

func added(o *model.Object) model.Event { return model.Event{Key: o.Key, New: o} }

func service(namespace, name string) *model.Object {
	return &model.Object{Key: model.Key{Kind: model.KindService, Namespace: namespace, Name: name}}
}

func namespace(name string, labels map[string]string) *model.Object {
	return &model.Object{
		Key:  model.Key{Kind: model.KindNamespace, Name: name},
		Spec: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}},
	}
}

func mesh(selectors ...*meshconfig.LabelSelector) *model.Object {
	return &model.Object{
		Key:  model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName},
		Spec: &meshconfig.MeshConfig{RootNamespace: model.RootNamespace, DiscoverySelectors: selectors},
	}
}

func with(key, value string) *meshconfig.LabelSelector {
	return &meshconfig.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func TestTheChosenNamespaces(t *testing.T) {
	to := &store{T: t, objects: map[model.Key]*model.Object{}}
	s := from(New(to))
	var problems []model.Problem
	apply := func(want string, events ...model.Event) {
		t.Helper()
		s.deliver(problems, events...)
		if got := to.names(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	apply("a/x b/x", added(service("a", "x")), added(service("b", "x")), added(namespace("a", map[string]string{"mesh": "yes"})), added(namespace("b", nil)))
	apply("a/x", added(mesh(with("mesh", "yes"))))
	apply("a/x istio-system/x", added(service("istio-system", "x")), added(service("b", "y")))
	problems = []model.Problem{{Object: service("b", "z").Key}, {Object: service("a", "z").Key}, {}}
	apply("a/y istio-system/x", model.Event{Key: service("a", "x").Key, Old: service("a", "x")}, added(service("a", "y")))
	if len(to.problems) != 2 {
		t.Errorf("problems %v", to.problems)
	}
	// A namespace changes its labels together with what is in it.
	apply("a/y b/new b/y istio-system/x", added(namespace("b", map[string]string{"mesh": "yes"})), added(service("b", "new")), model.Event{Key: service("b", "x").Key, Old: service("b", "x")})
	if len(to.problems) != 3 {
		t.Errorf("problems %v", to.problems)
	}
	apply("b/new b/y istio-system/x", added(namespace("a", map[string]string{"mesh": "no"})), added(service("a", "late")))
	apply("b/new b/y istio-system/x", model.Event{Key: service("a", "y").Key, Old: service("a", "y")})
	// Another choice: any of several, by name, and by what is missing.
	apply("a/late istio-system/x", added(mesh(with(corev1.LabelMetadataName, "a"), with("mesh", "other"))))
	apply("c/x istio-system/x", added(mesh(&meshconfig.LabelSelector{MatchExpressions: []*meshconfig.LabelSelectorRequirement{{Key: "mesh", Operator: "DoesNotExist"}}})), added(service("c", "x")))
	apply("a/late b/new b/y c/x istio-system/x", model.Event{Key: mesh().Key, Old: mesh()})
}

// TestWrongSelectors keeps the former selectors while one of the new ones cannot be read, and has none where there were
// none before.
func TestWrongSelectors(t *testing.T) {
	wrong := &meshconfig.LabelSelector{MatchExpressions: []*meshconfig.LabelSelectorRequirement{{Key: "mesh", Operator: "Is"}}}
	to := &store{T: t, objects: map[model.Key]*model.Object{}}
	s := from(New(to))
	for _, step := range []struct {
		want   string
		events []model.Event
	}{
		{"a/x b/x", []model.Event{added(service("a", "x")), added(service("b", "x")), added(mesh(wrong))}},
		{"a/x", []model.Event{added(mesh(with(corev1.LabelMetadataName, "a")))}},
		{"a/x", []model.Event{added(mesh(with(corev1.LabelMetadataName, "b"), wrong))}},
		{"b/x", []model.Event{added(mesh(with(corev1.LabelMetadataName, "b")))}},
	} {
		if s.deliver(nil, step.events...); to.names() != step.want {
			t.Errorf("got %q, want %q", to.names(), step.want)
		}
	}
}

// TestOtherSourcesAreChosenToo hides what another source has delivered than the one with the selectors.
func TestOtherSourcesAreChosenToo(t *testing.T) {
	to := &store{T: t, objects: map[model.Key]*model.Object{}}
	c := New(to)
	far, near := from(c), from(c)
	far.deliver(nil, added(service("a", "x")))
	near.deliver(nil, added(mesh(with("mesh", "yes"))))
	if far.again != 1 || near.again != 0 {
		t.Errorf("asked again: %d and %d", far.again, near.again)
	}
	far.deliver(nil)
	if got := to.names(); got != "" {
		t.Errorf("visible: %s", got)
	}
	far.deliver(nil, added(namespace("a", map[string]string{"mesh": "yes"})))
	if got := to.names(); got != "a/x" {
		t.Errorf("visible: %q", got)
	}
}

// TestRandomEditsAgreeWithTheLast compares what is handed on, edit by edit, with what is chosen at the end.
func TestRandomEditsAgreeWithTheLast(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		to := &store{T: t, objects: map[model.Key]*model.Object{}}
		s := from(New(to))
		all := map[model.Key]*model.Object{}
		for range 60 {
			var events []model.Event
			batch := map[model.Key]bool{}
			for range 1 + r.IntN(4) {
				ns := string(rune('a' + r.IntN(4)))
				o := service(ns, fmt.Sprint(r.IntN(3)))
				switch r.IntN(6) {
				case 0:
					o = namespace(ns, map[string]string{"mesh": fmt.Sprint(r.IntN(3))})
				case 1:
					o = mesh(with("mesh", fmt.Sprint(r.IntN(3))), with("mesh", "0"))
				}
				if batch[o.Key] {
					continue
				}
				batch[o.Key] = true
				e := model.Event{Key: o.Key, Old: all[o.Key], New: o}
				if all[o.Key] != nil && r.IntN(3) == 0 {
					e.New = nil
					delete(all, o.Key)
				} else {
					all[o.Key] = o
				}
				events = append(events, e)
			}
			s.deliver(nil, events...)
			fresh := &store{T: t, objects: map[model.Key]*model.Object{}}
			var once []model.Event
			for _, o := range all {
				once = append(once, added(o))
			}
			from(New(fresh)).deliver(nil, once...)
			of := map[model.Key]*model.Object{}
			for _, o := range Of(slices.Collect(maps.Values(all))) {
				of[o.Key] = o
			}
			if !maps.Equal(fresh.objects, of) {
				t.Fatalf("seed %d: of all objects %v are chosen", seed, slices.Collect(maps.Keys(of)))
			}
			if !maps.Equal(fresh.objects, to.objects) {
				t.Fatalf("seed %d: handed on %v, want %v", seed, to.names(), fresh.names())
			}
		}
	}
}
