package store

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestPathsThatLeadNowhereAreChanges: what an Ingress has no route for is told by the object that is made of it, which
// is another one as soon as that is told otherwise, though its rules are the same.
func TestPathsThatLeadNowhereAreChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		misspelt := func(port string) []*model.Object {
			return decode(t, strings.Replace(derivingMesh, "{name: shop, port: {number: 80}}", "{name: hello, port: {name: "+port+"}}", 1))
		}
		key := model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "a-example-com-in-" + ingressSuffix}
		s.Apply("a", events(append(load(t, "small.yaml"), misspelt("x")...)...), nil)
		s.Synced("a")
		commitNow(s)
		s.Apply("a", events(misspelt("y")...), nil)
		time.Sleep(time.Minute) // synctest's time: configuration waits for quiet
		c := commitNow(s)
		if c == nil {
			t.Fatal("there is no commit")
		}
		if _, changed := c.Changed[key]; !changed {
			t.Errorf("changed are %v", c.Changed)
		}
		got := c.Snapshot.Reader(nil).Object(key).Sources
		if want := `Service hello has no port with the name "y"; the path is left out until it leads somewhere`; len(got) != 1 || got[0].Fault != want || got[0].Field != "spec.rules[0].http.paths[0].backend.service" {
			t.Errorf("it is made of %+v", got)
		}
	})
}
