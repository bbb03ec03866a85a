package machine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// story is a Registry, and what its sink knows of the entries.
type story struct {
	*testing.T
	*Registry
	sink *sink
}

// tell runs one without a cluster.
func tell(t *testing.T, of func(s *story)) {
	synctest.Test(t, func(t *testing.T) {
		g, s := start(t, nil)
		of(&story{t, g, s})
	})
}

func (s *story) want(what, name, health string) {
	s.Helper()
	time.Sleep(2 * round)
	synctest.Wait()
	if got := s.sink.health[name]; got != health {
		s.Errorf("%s: %s is %q, want %q", what, name, got, health)
	}
}

func (s *story) put(objects ...*model.Object) { s.Apply("file", added(objects...), nil) }

func (s *story) drop(name string) {
	s.Apply("file", []model.Event{{Key: object(name, "", "", "").Key}}, nil)
}

func from(peer string, ips ...string) func(*push.Node) {
	return func(n *push.Node) { n.Peer, n.IPs = peer, ips }
}

func TestWhatWasSaidBeforeThereIsAnEntryCounts(t *testing.T) {
	tell(t, func(s *story) {
		s.Health(says("1", true, from("10.0.0.7", "10.0.0.7")))
		s.put(object("d", "10.0.0.7", "db", ""))
		s.want("without the annotation", "d", "")
		s.put(object("d", "10.0.0.7", "db", "true"))
		s.want("with it", "d", "True")
		s.drop("d")
		s.want("deleted", "d", "gone")
		s.put(object("d", "10.0.0.7", "db", "true"))
		s.want("made again", "d", "True")
		s.Health(says("1", false, from("10.0.0.7", "10.0.0.7")))
		s.want("it says more", "d", "False")
		s.drop("d")
		s.Ended("1")
		s.put(object("d", "10.0.0.7", "db", "true"))
		s.want("its stream has ended", "d", "")
	})
}

func TestWhoConnectsFromAnEntrysAddressHoldsIt(t *testing.T) {
	for name, liar := range map[string]func(*push.Node){
		"from elsewhere": from("10.0.0.66", "10.0.0.1"),
		"by name":        func(n *push.Node) { n.Peer, n.WorkloadEntry = "10.0.0.66", "a" },
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(s *story) {
				s.Health(says("true", true, from("10.0.0.1", "10.0.0.1")))
				s.want("it", "a", "True")
				s.Health(says("liar", false, liar))
				s.want("another", "a", "True")
				s.Health(says("true", false, nil))
				s.Health(says("liar", true, liar))
				s.want("another, once more", "a", "False")
			})
			tell(t, func(s *story) {
				s.Health(says("liar", false, liar))
				s.Health(says("true", true, from("10.0.0.1", "10.0.0.1")))
				s.want("the other was first", "a", "True")
			})
		})
	}
}

func TestWhoWasDisplacedSpeaksAgain(t *testing.T) {
	tell(t, func(s *story) {
		s.Health(says("1", true, nil))
		s.Health(says("2", false, nil))
		s.want("a newer stream", "a", "False")
		s.Health(says("1", false, nil))
		s.Health(says("1", true, nil))
		s.want("the older one says more", "a", "False")
		s.Ended("2")
		s.want("the newer one has ended", "a", "True")
		time.Sleep(2 * grace)
		s.want("for good", "a", "True")
	})
}

func TestAnEntryWithoutServiceAccountWantsItsAddress(t *testing.T) {
	tell(t, func(s *story) {
		s.put(object("d", "10.0.0.7", "", "true"))
		s.Health(says("1", true, from("10.0.0.66", "10.0.0.7")))
		s.want("from elsewhere", "d", "")
		s.Health(says("2", true, from("10.0.0.7", "172.16.0.1")))
		s.want("from there", "d", "True")
	})
}

func TestAMachineMayBeSeveralEntries(t *testing.T) {
	for said, want := range map[string][2]string{"": {"True", "True"}, "d": {"True", ""}, "e": {"", "True"}} {
		t.Run(said, func(t *testing.T) {
			tell(t, func(s *story) {
				s.put(object("d", "10.0.0.7", "db", "true"), object("e", "10.0.0.7", "db", "true"))
				s.Health(says("1", true, func(n *push.Node) { n.IPs, n.Peer, n.WorkloadEntry = []string{"10.0.0.7"}, "10.0.0.7", said }))
				s.want("name "+said, "d", want[0])
				s.want("name "+said, "e", want[1])
			})
		})
	}
}

func TestAnEditThatMakesItAnotherMachineForgets(t *testing.T) {
	for name, edit := range map[string]func(*networking.WorkloadEntry){
		"address": func(we *networking.WorkloadEntry) { we.Address = "10.0.0.8" },
		"network": func(we *networking.WorkloadEntry) { we.Network = "other" },
		"account": func(we *networking.WorkloadEntry) { we.ServiceAccount = "web" },
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(s *story) {
				s.Health(says("1", true, nil))
				s.want("before", "a", "True")
				o := object("a", "10.0.0.1", "db", "true")
				edit(o.Spec.(*networking.WorkloadEntry))
				s.put(o)
				s.want("after", "a", "")
				s.Health(says("1", false, nil))
				s.want("the former machine says more", "a", "")
				s.put(object("a", "10.0.0.1", "db", "true"))
				s.want("as before", "a", "False")
			})
		})
	}
}

func TestAnEntryWhereAMachineConnectsFromTakesIt(t *testing.T) {
	tell(t, func(s *story) {
		s.Health(says("1", true, from("10.0.0.7", "10.0.0.1")))
		s.want("before", "a", "True")
		s.put(object("d", "10.0.0.7", "web", "true"))
		time.Sleep(grace)
		s.want("it is another's address", "a", "")
		s.drop("d")
		s.want("it is not any more", "a", "True")
	})
}

func BenchmarkHealthAmongManyEntries(b *testing.B) {
	g := New(&sink{health: map[string]string{}}, Options{})
	var all []*model.Object
	for i := range 10000 {
		all = append(all, object(fmt.Sprint("m", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250), "db", "true"))
	}
	g.Apply("file", added(all...), nil)
	for i := 0; b.Loop(); i++ {
		g.Health(says("1", i%2 == 0, from("10.1.0.1", "10.1.0.1")))
	}
}
