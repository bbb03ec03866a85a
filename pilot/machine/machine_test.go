package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// sink notes what the store would have.
type sink struct {
	mu       sync.Mutex // for tests that go on after they have looked
	health   map[string]string
	batches  int
	problems []model.Problem
	last     map[string]*model.Object // as the store has it
}

func (s *sink) Synced(string) {}

func (s *sink) Apply(_ string, events []model.Event, problems []model.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	s.problems = problems
	for _, e := range events {
		if s.last == nil {
			s.last = map[string]*model.Object{}
		}
		s.last[e.Name] = e.New
		s.health[e.Name] = "gone"
		if e.New != nil {
			status, _ := e.New.Status.(*metav1alpha1.IstioStatus)
			s.health[e.Name] = ""
			for _, c := range status.GetConditions() {
				s.health[e.Name] = c.GetStatus()
			}
		}
	}
}

func object(name, address, account, probed string) *model.Object {
	return &model.Object{
		Key:         model.Key{Kind: model.KindWorkloadEntry, Namespace: "vms", Name: name},
		Annotations: map[string]string{model.AnnotationHealthChecks: probed},
		Spec:        &networking.WorkloadEntry{Address: address, ServiceAccount: account},
	}
}

func added(objects ...*model.Object) (out []model.Event) {
	for _, o := range objects {
		out = append(out, model.Event{Key: o.Key, New: o})
	}
	return out
}

func says(stream string, healthy bool, edit func(*push.Node)) xds.Health {
	n := &push.Node{Proxy: model.Proxy{Name: "vm", Namespace: "vms", IPs: []string{"10.0.0.1"}, Peer: "192.0.2.9"}, Identity: "vms/db"}
	if edit != nil {
		edit(n)
	}
	return xds.Health{Node: n, Stream: stream, Healthy: healthy, Message: map[bool]string{false: "it answers 500"}[healthy]}
}

// start runs a Registry with two entries that are probed and one that is not.
func start(t *testing.T, write Write) (*Registry, *sink) {
	s := &sink{health: map[string]string{}}
	g := New(s, Options{Write: write, Logger: slog.New(slog.DiscardHandler)})
	g.Apply("file", added(object("a", "10.0.0.1", "db", "true"), object("b", "10.0.0.2", "db", "true"), object("c", "10.0.0.3", "db", "false")),
		[]model.Problem{{Message: "kept"}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return g, s
}

func TestWhoSpeaksForAnEntry(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*push.Node)
		a, b string
	}{
		"its address and account": {nil, "True", ""},
		"the other address":       {func(n *push.Node) { n.IPs = []string{"10.0.0.2"} }, "", "True"},
		"both, and the name": {func(n *push.Node) {
			n.IPs, n.WorkloadEntry = []string{"10.0.0.1", "10.0.0.2"}, "b"
		}, "", "True"},
		"both, from the second":   {func(n *push.Node) { n.IPs, n.Peer = []string{"10.0.0.1", "10.0.0.2"}, "10.0.0.2" }, "", "True"},
		"the neighbour's, from a": {func(n *push.Node) { n.IPs, n.Peer = []string{"10.0.0.2"}, "10.0.0.1" }, "True", ""}, // it is a, by another address than it knows
		"the neighbour's name, from a": {func(n *push.Node) {
			n.IPs, n.Peer, n.WorkloadEntry = []string{"10.0.0.1", "10.0.0.2"}, "10.0.0.1", "b"
		}, "", ""},
		"another account":        {func(n *push.Node) { n.Identity = "vms/web" }, "", ""},
		"another namespace":      {func(n *push.Node) { n.Namespace, n.Identity = "other", "other/db" }, "", ""},
		"another address":        {func(n *push.Node) { n.IPs = []string{"10.0.0.9"} }, "", ""},
		"another name":           {func(n *push.Node) { n.WorkloadEntry = "x" }, "", ""},
		"one that is not probed": {func(n *push.Node) { n.IPs = []string{"10.0.0.3"} }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, s := start(t, nil)
				g.Health(says("1", true, c.edit))
				time.Sleep(2 * round)
				synctest.Wait()
				if s.health["a"] != c.a || s.health["b"] != c.b || s.health["c"] != "" {
					t.Errorf("health %v, want %q and %q", s.health, c.a, c.b)
				}
			})
		})
	}
}

func TestHealthFollowsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := start(t, nil)
		want := func(after time.Duration, health string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.health["a"] != health {
				t.Errorf("health %q, want %q", s.health["a"], health)
			}
		}
		g.Health(says("1", true, nil))
		want(0, "True")
		g.Health(says("1", false, nil))
		want(round, "False")
		g.Health(says("1", true, nil))
		want(round, "True")
		g.Apply("file", added(object("a", "10.0.0.1", "db", "true")), s.problems) // the file was edited
		want(0, "True")
		g.Ended("1")
		want(grace/2, "True")
		g.Health(says("2", true, nil)) // it came back
		g.Ended("1")
		want(2*grace, "True")
		g.Ended("2")
		want(grace/2, "True")
		want(grace, "")
		if len(s.problems) != 1 {
			t.Error("problems of the source are forgotten")
		}
		g.Health(says("3", true, nil))
		g.Apply("file", []model.Event{{Key: object("a", "", "", "").Key}}, s.problems)
		want(2*round, "gone")
		g.Ended("3")
		if len(g.speakers)+len(g.heard) != 0 || len(g.entries["vms"]) != 1 || len(g.probed) != 1 {
			t.Errorf("kept: %d streams at %d places, %d entries at %d", len(g.speakers), len(g.heard), len(g.entries["vms"]), len(g.probed))
		}
	})
}

func TestChangesOfMindCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := start(t, nil)
		for i := range 1000 {
			g.Health(says("1", i%2 == 0, nil))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * round)
		synctest.Wait()
		if s.batches > 15 || s.health["a"] != "False" {
			t.Errorf("%d deliveries, health %q", s.batches, s.health["a"])
		}
	})
}

func TestInAClusterItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // entries are written at once
		var wrote []string
		fails := 1
		var probed, since time.Time
		g, s := start(t, func(_ context.Context, c Change) error {
			mu.Lock()
			defer mu.Unlock()
			if fails > 0 {
				fails--
				return errors.New("the API server is away")
			}
			since = c.Since
			if c.Status == nil {
				wrote = append(wrote, c.Key.Name+" nothing")
				return nil
			}
			probed = c.Status.Probed
			wrote = append(wrote, fmt.Sprint(c.Key.Name, " ", c.Status.Healthy))
			return nil
		})
		g.Health(says("1", true, nil))
		time.Sleep(5 * round)
		g.Ended("1")
		time.Sleep(2 * grace)
		synctest.Wait()
		if got := strings.Join(wrote, ", "); got != "a true, a nothing" || !since.Equal(probed) {
			t.Errorf("wrote %s; taken away if last written at %v, want %v", got, since, probed)
		}
		if s.batches != 1 || s.health["a"] != "" {
			t.Error("the store is told by another way than the object's status")
		}
	})
}
