package machine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

func groupKey(name string) model.Key {
	return model.Key{Kind: model.KindWorkloadGroup, Namespace: "vms", Name: name}
}

// dbGroup is a group whose machines are vms/db.
func dbGroup(edit func(*networking.WorkloadGroup)) *model.Object {
	spec := &networking.WorkloadGroup{
		Metadata: &networking.WorkloadGroup_ObjectMeta{Labels: map[string]string{"app": "db", "tier": "1"}, Annotations: map[string]string{"note": "x"}},
		Template: &networking.WorkloadEntry{
			ServiceAccount: "db", Ports: map[string]uint32{"tcp": 5432}, Labels: map[string]string{"tier": "0", "from": "template"},
			Weight: 3, Network: "lan", Locality: "r",
		},
	}
	if edit != nil {
		edit(spec)
	}
	return &model.Object{Key: groupKey("db"), Spec: spec, Origin: model.Origin{File: "db.yaml", Line: 1}}
}

// dbNode is a machine of the group, whose address ends with a number.
func dbNode(last int) *push.Node {
	return &push.Node{
		Proxy:    model.Proxy{Name: fmt.Sprint("vm-", last), Namespace: "vms", IPs: []string{fmt.Sprint("10.0.0.", last)}},
		Identity: "vms/db", Group: "db",
	}
}

func joins(stream string, n *push.Node) xds.Join {
	return xds.Join{Node: n, Stream: stream, Connection: "conn-" + stream, Since: time.Now()}
}

func TestAnEntryIsThatOfTheGroup(t *testing.T) {
	n := dbNode(7)
	n.Labels, n.Probed = map[string]string{"tier": "2", "own": "y"}, true
	n.Network, n.Locality = "vpc", model.Locality{Region: "a", Zone: "b"}
	o, err := Entry(dbGroup(nil), n)
	if err != nil {
		t.Fatal(err)
	}
	we := o.Spec.(*networking.WorkloadEntry)
	labels := map[string]string{"app": "db", "tier": "2", "from": "template", "own": "y"}
	annotations := map[string]string{"note": "x", "istio.io/autoRegistrationGroup": "db", "proxy.istio.io/health-checks-enabled": "true", "telemetry.pilothouse.io/peers": "short"}
	if o.Name != "db-10.0.0.7-vpc" || o.Namespace != "vms" || !maps.Equal(o.Labels, labels) || !maps.Equal(we.Labels, labels) || !maps.Equal(o.Annotations, annotations) {
		t.Errorf("%+v", o)
	}
	if we.Address != "10.0.0.7" || we.ServiceAccount != "db" || we.Ports["tcp"] != 5432 || we.Weight != 3 || we.Network != "vpc" || we.Locality != "a/b" {
		t.Errorf("%v", we)
	}
	n.LongPeer = true
	if o, err = Entry(dbGroup(nil), n); err != nil || o.Annotations[model.AnnotationPeers] != "" {
		t.Errorf("an older agent: %+v, %v", o, err)
	}
	if o, err = Entry(dbGroup(nil), dbNode(7)); err != nil || o.Name != "db-10.0.0.7" || o.Spec.(*networking.WorkloadEntry).Network != "lan" || o.Spec.(*networking.WorkloadEntry).Locality != "r" {
		t.Errorf("what it does not say is the template's: %+v, %v", o, err)
	}
}

func TestNamesOfEntries(t *testing.T) {
	long := strings.Repeat("g", 253)
	for _, c := range []struct{ group, address, network, want string }{
		{"db", "10.0.0.1", "", "db-10.0.0.1"},
		{"db", "fd00::1", "", "db-fd00--1"},
		{"db", "fd00::", "", "db-fd00"},
		{"db", "fd00::", "n1", "db-fd00---n1"},
		{"db", "10.0.0.1", "n.1", "db-10.0.0.1-n.1"},
		{long, "10.0.0.1", "", strings.Repeat("g", 244) + "-10.0.0.1"},
		{"db", "10.0.0.1", "Net", ""},
		{"db", "10.0.0.1", "a b", ""},
		{"db", "10.0.0.1", "-", ""},
	} {
		got, err := entryName(c.group, c.address, c.network)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%.10s %s %s: %q, %v", c.group, c.address, c.network, got, err)
		}
	}
}

// memory starts a Registry without a cluster.
func memory(t *testing.T, opts Options) (*Registry, *sink, *[]model.Problem) {
	s, told := &sink{health: map[string]string{}}, &[]model.Problem{}
	opts.Logger, opts.Name = slog.New(slog.DiscardHandler), "pilot-1"
	opts.Report = func(p []model.Problem) { *told = p }
	g := New(s, opts)
	run(t, g)
	return g, s, told
}

// run runs it until stop is called, which is as if it was killed.
func run(t *testing.T, g *Registry) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// there gives the names of the entries that the store has.
func (s *sink) there() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.health)) {
		if s.health[name] != "gone" {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

func TestWhoIsRegistered(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*push.Node)
		group func(*networking.WorkloadGroup)
		want  string // of the reason; "" for registered
	}{
		"its account":            {},
		"another account":        {edit: func(n *push.Node) { n.Identity = "vms/web" }, want: "it proved to be vms/web"},
		"another namespace":      {edit: func(n *push.Node) { n.Namespace, n.Identity = "other", "other/db" }, want: noGroup},
		"a namespace it says":    {edit: func(n *push.Node) { n.Identity = "other/db" }, want: "it proved to be other/db"},
		"the group of others":    {edit: func(n *push.Node) { n.Group = "web" }, want: noGroup},
		"no proof":               {edit: func(n *push.Node) { n.Identity = "" }, want: "it proved to be "},
		"a group without one":    {edit: func(n *push.Node) { n.Identity = "vms/default" }, group: func(g *networking.WorkloadGroup) { g.Template.ServiceAccount = "" }},
		"any, of one without":    {group: func(g *networking.WorkloadGroup) { g.Template.ServiceAccount = "" }, want: "are vms/default"},
		"no template":            {edit: func(n *push.Node) { n.Identity = "vms/default" }, group: func(g *networking.WorkloadGroup) { g.Template = nil }},
		"loopback":               {edit: func(n *push.Node) { n.IPs = []string{"127.0.0.1"} }, want: "INSTANCE_IP"},
		"the cloud's":            {edit: func(n *push.Node) { n.IPs = []string{"169.254.169.254"} }, want: "INSTANCE_IP"},
		"another cloud's":        {edit: func(n *push.Node) { n.IPs = []string{"168.63.129.16"} }, want: "INSTANCE_IP"},
		"it by IPv6":             {edit: func(n *push.Node) { n.IPs = []string{"64:ff9b::a9fe:a9fe"} }, want: "INSTANCE_IP"},
		"any address":            {edit: func(n *push.Node) { n.IPs = []string{"::"} }, want: "INSTANCE_IP"},
		"of all of a link":       {edit: func(n *push.Node) { n.IPs = []string{"ff02::1"} }, want: "INSTANCE_IP"},
		"everybody's":            {edit: func(n *push.Node) { n.IPs = []string{"255.255.255.255"} }, want: "INSTANCE_IP"},
		"no address":             {edit: func(n *push.Node) { n.IPs = nil }, want: "no address"},
		"a network of no name":   {edit: func(n *push.Node) { n.Network = "A b" }, want: "no form for a name"},
		"more labels than taken": {edit: func(n *push.Node) { n.Labels = manyLabels(maxMachineLabels + 1) }, want: "65 labels"},
		"as many as are":         {edit: func(n *push.Node) { n.Labels = manyLabels(maxMachineLabels) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, s, told := memory(t, Options{})
				g.Apply("file", added(dbGroup(c.group)), nil)
				n := dbNode(1)
				if c.edit != nil {
					c.edit(n)
				}
				g.Join(joins("1", n))
				time.Sleep(2 * round)
				synctest.Wait()
				switch registered := s.there() != "db"; {
				case c.want == "" && (!registered || len(*told) > 0):
					t.Errorf("it is not registered: %v", *told)
				case c.want != "" && (registered || len(*told) != 1 || !strings.Contains((*told)[0].Message, c.want) || (*told)[0].Severity != model.SeverityWarning):
					t.Errorf("registered %v, told %v", registered, *told)
				}
			})
		})
	}
}

func manyLabels(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprint("l", i)] = "x"
	}
	return out
}

// TestRegistrationFollowsTheStream has the groups of files, and entries of files that count more.
func TestRegistrationFollowsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, told := memory(t, Options{})
		want := func(what string, after time.Duration, entries string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := s.there(); got != entries {
				t.Errorf("%s: %q, want %q", what, got, entries)
			}
		}
		g.Join(joins("1", dbNode(1)))
		want("there is no group", 2*round, "")
		if len(*told) != 1 || (*told)[0].Reason != model.ReasonReference || (*told)[0].Object != groupKey("db") {
			t.Errorf("told %v", *told)
		}
		g.Apply("file", added(dbGroup(nil)), []model.Problem{{Message: "kept"}})
		want("the group came", 0, "db db-10.0.0.1")
		g.Ended("1")
		want("it may be on its way", grace-round, "db db-10.0.0.1")
		g.Join(joins("2", dbNode(1)))
		want("it has come back", 2*grace, "db db-10.0.0.1")
		g.Join(joins("3", dbNode(1)))
		g.Ended("2")
		want("by another stream", 2*grace, "db db-10.0.0.1")
		g.Ended("3")
		want("it is gone", grace+2*round, "db")
		if len(s.problems) != 1 {
			t.Error("problems of the source are forgotten")
		}

		g.Join(joins("4", dbNode(1)))
		g.Apply("file", []model.Event{{Key: groupKey("db")}}, nil)
		want("its group is gone", 0, "")
		g.Apply("file", added(dbGroup(func(w *networking.WorkloadGroup) { w.Template.ServiceAccount = "other" })), nil)
		want("its group is of others", 0, "db")
		g.Apply("file", added(dbGroup(nil)), nil)
		want("it is its own again", 0, "db db-10.0.0.1")
		own := object("db-10.0.0.1", "10.9.9.9", "db", "")
		g.Apply("file", added(own), nil)
		want("a user writes an entry of the name", 2*round, "db db-10.0.0.1")
		if s.last["db-10.0.0.1"] != own {
			t.Error("what the user wrote does not count")
		}
		if !slices.ContainsFunc(*told, func(p model.Problem) bool { return strings.Contains(p.Message, "was not made by its registration") }) {
			t.Errorf("told %v", *told)
		}
		g.Apply("file", []model.Event{{Key: own.Key, Old: own}}, nil)
		want("and takes it away", 0, "db db-10.0.0.1")
		if we := s.last["db-10.0.0.1"].Spec.(*networking.WorkloadEntry); we.Address != "10.0.0.1" {
			t.Errorf("it is %v", we)
		}
		g.Ended("4")
		want("all are gone", 2*lingering, "db")
		if len(*told) > 0 {
			t.Errorf("still told: %v", *told)
		}
		if len(g.joined)+len(g.registered)+len(g.connections)+len(g.held)+len(g.refusals) != 0 || len(g.groups) != 1 || g.groups[groupKey("db")].entries != 0 {
			t.Errorf("kept: %d joined, %d registered, %d connections, %d held, %d refusals, %d groups",
				len(g.joined), len(g.registered), len(g.connections), len(g.held), len(g.refusals), len(g.groups))
		}
	})
}

// TestAnEntryOfAFileWasThereFirst has the machine come when there is an entry of its name.
func TestAnEntryOfAFileWasThereFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, told := memory(t, Options{})
		own := object("db-10.0.0.1", "10.9.9.9", "db", "")
		g.Apply("file", added(dbGroup(nil), own), nil)
		g.Join(joins("1", dbNode(1)))
		time.Sleep(2 * round)
		synctest.Wait()
		if s.last[own.Name] != own || len(*told) != 1 {
			t.Errorf("the store has %v, told %v", s.last[own.Name], *told)
		}
	})
}

func TestAGroupIsEditedLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, _ := memory(t, Options{})
		g.Apply("file", added(dbGroup(nil)), nil)
		g.Join(joins("1", dbNode(1)))
		g.Apply("file", added(dbGroup(func(w *networking.WorkloadGroup) { w.Template.Ports["tcp"] = 5433 })), nil)
		if we := s.last["db-10.0.0.1"].Spec.(*networking.WorkloadEntry); we.Ports["tcp"] != 5433 {
			t.Errorf("it is %v", we)
		}
	})
}

// TestARegisteredMachineIsProbed has an agent that tells its health.
func TestARegisteredMachineIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, _ := memory(t, Options{})
		g.Apply("file", added(dbGroup(nil)), nil)
		n := dbNode(1)
		n.Probed = true
		g.Join(joins("1", n))
		for _, well := range []bool{true, false} {
			g.Health(xds.Health{Node: n, Stream: "1", Healthy: well})
			time.Sleep(2 * round)
			synctest.Wait()
			if want := map[bool]string{true: "True", false: "False"}[well]; s.health["db-10.0.0.1"] != want {
				t.Errorf("health %q, want %s", s.health["db-10.0.0.1"], want)
			}
		}
		g.Ended("1")
		time.Sleep(grace + 2*round)
		synctest.Wait()
		if s.there() != "db" || len(g.entries) != 0 {
			t.Errorf("there is %s, %d entries", s.there(), len(g.entries))
		}
	})
}

func TestOneConnectionIsOneMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, told := memory(t, Options{})
		g.Apply("file", added(dbGroup(nil)), nil)
		join := func(stream string, last int) {
			j := joins(stream, dbNode(last))
			j.Connection = "192.0.2.1:7"
			g.Join(j)
		}
		want := func(what, entries string) {
			t.Helper()
			if got := s.there(); got != entries {
				t.Errorf("%s: %q, want %q", what, got, entries)
			}
		}
		for i := range 100 {
			join(fmt.Sprint(i), i+1)
		}
		want("many streams of a connection", "db db-10.0.0.1")
		time.Sleep(2 * round)
		synctest.Wait()
		if len(*told) != 1 || !strings.Contains((*told)[0].Message, "its connection has registered db-10.0.0.1 already") {
			t.Errorf("told %v", *told)
		}
		for i := 1; i < 100; i++ {
			g.Ended(fmt.Sprint(i))
		}
		join("same", 1)
		g.Ended("0")
		want("another stream of the machine", "db db-10.0.0.1")
		g.Ended("same")
		for i := range 100 { // one after another, within the grace period
			join(fmt.Sprint("next-", i), i+2)
			want("another machine on the connection", fmt.Sprint("db db-10.0.0.", i+2))
			g.Ended(fmt.Sprint("next-", i))
		}
	})
}

func TestAGroupIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand machines, a minute under the race detector; make unit runs it")
	}
	synctest.Test(t, func(t *testing.T) {
		g, s, told := memory(t, Options{})
		g.Apply("file", added(dbGroup(nil)), nil)
		for i := range maxGroup + 10 {
			n := dbNode(1)
			n.IPs = []string{fmt.Sprintf("10.1.%d.%d", i/250, i%250)}
			g.Join(joins(fmt.Sprint(i), n))
		}
		time.Sleep(2 * round)
		synctest.Wait()
		if len(g.registered) != maxGroup || len(s.health) != maxGroup+1 || len(*told) != 1 {
			t.Errorf("%d are registered, %d shown, told %v", len(g.registered), len(s.health), *told)
		}
	})
}

// TestTwoGroupsOfOneName has machines of two groups whose entries would have one name.
func TestTwoGroupsOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, told := memory(t, Options{})
		edge := dbGroup(func(w *networking.WorkloadGroup) { w.Template.ServiceAccount, w.Template.Network = "edge", "" })
		edge.Key = groupKey("db-1")
		g.Apply("file", added(dbGroup(func(w *networking.WorkloadGroup) { w.Template.Network = "" }), edge), nil)
		first, second := dbNode(1), dbNode(2)
		first.IPs, second.IPs = []string{"fd00::5"}, []string{"1:fd00::5"}
		first.Group, first.Identity = "db-1", "vms/edge"
		g.Join(joins("first", first))
		g.Join(joins("second", second))
		time.Sleep(2 * round)
		synctest.Wait()
		if len(g.registered) != 1 || len(s.health) != 3 || len(*told) != 1 || !strings.Contains((*told)[0].Message, "a machine of another group") {
			t.Errorf("%d are registered, %v shown, told %v", len(g.registered), s.health, *told)
		}
		g.Ended("first")
		g.Join(joins("third", second))
		time.Sleep(2 * round)
		synctest.Wait()
		if n, of := len(g.registered), g.groups[groupKey("db")].entries; n != 1 || of != 1 || g.groups[groupKey("db-1")].entries != 0 {
			t.Errorf("after it has gone %d are registered, %d of the other group", n, of)
		}
	})
}

// TestStrangersFillNoLog has many that are refused for reasons of their own, again and again.
func TestStrangersFillNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, told := memory(t, Options{})
		reports := 0
		report := g.opts.Report
		g.opts.Report = func(p []model.Problem) { reports++; report(p) }
		for i := range 30 {
			for k := range 10 * maxRefusals {
				n := dbNode(1)
				n.Group = fmt.Sprint("g", k)
				stream := fmt.Sprint(i, "-", k)
				g.Join(joins(stream, n))
				g.Ended(stream)
			}
			time.Sleep(round)
		}
		synctest.Wait()
		if len(*told) != maxRefusalsOfOne || reports > 5 {
			t.Errorf("%d are told, in %d reports", len(*told), reports)
		}
		if len(g.groups)+len(g.joined)+len(g.connections) != 0 {
			t.Errorf("kept: %d groups, %d streams", len(g.groups), len(g.joined))
		}
	})
}

func TestRegistrationCanBeTurnedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, told := memory(t, Options{Unregistered: true})
		g.Apply("file", added(dbGroup(nil)), nil)
		g.Join(joins("1", dbNode(1)))
		g.Ended("1")
		time.Sleep(2 * round)
		if s.there() != "db" || len(*told) > 0 {
			t.Errorf("%s, %v", s.there(), *told)
		}
	})
}
