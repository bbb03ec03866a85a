package selected

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// counting counts how often a selector is asked.
type counting struct {
	labels.Selector
	asked *int
}

func (c counting) Matches(l labels.Labels) bool {
	*c.asked++
	return c.Selector.Matches(l)
}

// visited counts how many objects a source shows.
type visited struct {
	*source
	objects int
}

func (v *visited) Each(visit func(*model.Object)) {
	v.source.Each(func(o *model.Object) {
		v.objects++
		visit(o)
	})
}

// TestANamespaceThatChangesIsAllThatIsAskedAbout: where labels of one namespace change, nothing is decided about the
// objects of others, and none are looked at if that brings nothing into sight and takes nothing out of it.
func TestANamespaceThatChangesIsAllThatIsAskedAbout(t *testing.T) {
	to := &store{T: t, objects: map[model.Key]*model.Object{}}
	of := New(to)
	s := &visited{source: from(of)}
	s.sink.from = s
	s.deliver(nil, added(mesh(with("mesh", "yes"))))
	asked := 0
	s.sink.of.now = &choice{selectors: []labels.Selector{counting{s.sink.of.now.selectors[0], &asked}}, root: s.sink.of.now.root}
	const namespaces, each = 5, 20
	for n := range namespaces {
		for i := range each {
			s.deliver(nil, added(service(fmt.Sprint("n", n), fmt.Sprint(i))))
		}
	}
	for _, c := range []struct {
		labels                  map[string]string
		asked, visited, visible int
	}{
		{map[string]string{"team": "a"}, 2, 0, 0},
		{map[string]string{"mesh": "yes"}, 2 * namespaces, 1 + 1 + namespaces*each, each},
		{map[string]string{"mesh": "yes", "team": "a"}, 2, 0, each},
	} {
		asked, s.objects = 0, 0
		s.deliver(nil, added(namespace("n1", c.labels)))
		visible := 0
		for key := range to.objects {
			if key.Kind == model.KindService {
				visible++
			}
		}
		if asked > c.asked || s.objects > c.visited || visible != c.visible {
			t.Errorf("%v: asked %d times, visited %d objects, %d visible, not %v", c.labels, asked, s.objects, visible, c)
		}
	}
}
