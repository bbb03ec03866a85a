package push

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// hosts are the routes "r", with a virtual host for each name. A proxy of these tests rejects a resource
// that has the cluster of a name with "bad" in it.
func hosts(names ...string) message {
	rc := &routev3.RouteConfiguration{Name: "r"}
	for _, n := range names {
		rc.VirtualHosts = append(rc.VirtualHosts, &routev3.VirtualHost{Name: n, Domains: []string{n}, Routes: []*routev3.Route{{
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: n}}},
		}}})
	}
	return message{resource.Routes, "r", rc}
}

// virtualHosts are those of routes.
func virtualHosts(t *testing.T, r *resource.Resource) []*routev3.VirtualHost {
	t.Helper()
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	return m.(*routev3.RouteConfiguration).GetVirtualHosts()
}

// rejects tells whether a proxy rejects a resource.
func rejects(t *testing.T, r *resource.Resource) bool {
	t.Helper()
	return slices.ContainsFunc(virtualHosts(t, r), func(vh *routev3.VirtualHost) bool {
		return strings.Contains(vh.GetRoutes()[0].GetRoute().GetCluster(), "bad")
	})
}

// play has a proxy answer as long as it is given something else, or for so many rounds, and gives what it
// runs then.
func (v *viewer) play(t *testing.T, rounds int) *resource.Resource {
	t.Helper()
	var runs, seen *resource.Resource
	for range rounds {
		r := v.now().Set(resource.Routes).Get("r")
		if r == seen {
			break
		}
		if seen = r; rejects(t, r) {
			v.Reject(r, "no")
			continue
		}
		r.Accept()
		runs = r
		v.Took(r)
	}
	return runs
}

// always is more rounds than any search takes.
const always = 1000

// quarantined lists the virtual hosts that deny everything.
func quarantined(t *testing.T, r *resource.Resource) string {
	t.Helper()
	var out []string
	for _, vh := range virtualHosts(t, r) {
		if vh.GetRoutes()[0].GetDirectResponse() != nil {
			out = append(out, vh.GetName())
		}
	}
	return strings.Join(out, " ")
}

func TestSearchGoesOnWithAnotherProxy(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	f := fake{messages: map[string][]message{"a": {hosts("1", "2", "bad", "4", "bad5", "6")}}}
	apply(t, e, Commit{Translator: f})
	first, second := connect(t, e, "p", "a"), connect(t, e, "q", "a")
	first.play(t, 3)
	if second.now() == first.now() {
		t.Error("all proxies are asked")
	}
	first.Close(nil)
	if got := quarantined(t, second.play(t, always)); got != "bad bad5" {
		t.Errorf("%q are out", got)
	}
	third := connect(t, e, "r", "a")
	if got := quarantined(t, third.now().Set(resource.Routes).Get("r")); got != "bad bad5" || len(problems) != 2 {
		t.Errorf("of who comes then %q are out; %v", got, problems)
	}
}

func TestSearchWaitsForAProxy(t *testing.T) {
	e, f := New(Options{}), fake{messages: map[string][]message{"a": {hosts("1", "2", "bad", "4")}}}
	apply(t, e, Commit{Translator: f})
	first := connect(t, e, "p", "a")
	first.play(t, 2)
	first.Close(nil)
	if got := quarantined(t, connect(t, e, "q", "a").play(t, always)); got != "bad" {
		t.Errorf("%q are out", got)
	}
}

func TestSearchBeginsAgainInAnotherClass(t *testing.T) {
	e, f := New(Options{}), fake{seats: &[]*build.Seat{}, messages: map[string][]message{
		"a": {hosts("1", "2", "bad", "4")}, "b": {hosts("1", "2", "bad", "4")},
	}}
	apply(t, e, Commit{Translator: f})
	moves, stays := connect(t, e, "p", "a"), connect(t, e, "q", "a")
	moves.play(t, 2)
	f.class, f.moved = map[string]string{"p": "b"}, map[string]bool{"p": true}
	apply(t, e, Commit{Translator: f})
	for _, v := range []*viewer{moves, stays} {
		if got := quarantined(t, v.play(t, always)); got != "bad" {
			t.Errorf("%s: %q are out", v.node.Name, got)
		}
	}
}

// A known fault in the next version is not tried again; a new one is found beside it, and what is mended
// comes back.
func TestKnownFaultsStayOut(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	f := fake{messages: map[string][]message{"a": {hosts("1", "bad")}}}
	apply(t, e, Commit{Translator: f})
	c := connect(t, e, "p", "a")
	c.play(t, always)
	set := func(names ...string) *resource.Resource {
		f.messages["a"] = []message{hosts(names...)}
		apply(t, e, Commit{Translator: f})
		return c.now().Set(resource.Routes).Get("r")
	}
	if r := set("1", "bad", "3"); rejects(t, r) || quarantined(t, r) != "bad" || len(problems) != 1 {
		t.Errorf("served with the known fault: %v, problems %v", r, problems)
	}
	c.play(t, always)
	set("1", "bad", "3", "bad2", "4")
	if got := quarantined(t, c.play(t, always)); got != "bad bad2" || len(problems) != 2 {
		t.Errorf("%q are out, problems %v", got, problems)
	}
	if r := set("1", "3", "4"); quarantined(t, r) != "" || len(problems) != 0 {
		t.Errorf("after all is mended: %v, problems %v", r, problems)
	}
}

// Where no part is at fault by itself the last accepted version of the whole stays.
func TestWholeResourceGoesBackWhereNoPartIsAtFault(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	f := fake{messages: map[string][]message{"a": {hosts("1", "2")}}}
	apply(t, e, Commit{Translator: f})
	c := connect(t, e, "p", "a")
	good := c.play(t, always)
	f.messages["a"] = []message{hosts("1", "2", "3", "4")}
	apply(t, e, Commit{Translator: f})
	for range always {
		r := c.now().Set(resource.Routes).Get("r")
		if r == good {
			break
		}
		c.Reject(r, "it has more than two")
	}
	if r := c.now().Set(resource.Routes).Get("r"); r != good || len(problems) != 1 {
		t.Errorf("serves %v, problems %v", r, problems)
	}
}

// A proxy that starts in a class of its own gets at once what proxies of other classes run; only what is new
// to all is out while the fault is looked for.
func TestStartingProxyGetsAtOnceWhatOthersRun(t *testing.T) {
	e := New(Options{})
	f := fake{messages: map[string][]message{"a": {hosts("1", "2", "bad", "4", "5")}, "b": {hosts("1", "2", "bad", "4", "5", "own")}}}
	apply(t, e, Commit{Translator: f})
	connect(t, e, "p", "a").play(t, always)
	c := connect(t, e, "q", "b")
	c.play(t, 1)
	if got := quarantined(t, c.now().Set(resource.Routes).Get("r")); got != "bad own" {
		t.Errorf("%q are out while it starts", got)
	}
	if got := quarantined(t, c.play(t, always)); got != "bad" {
		t.Errorf("%q are out", got)
	}
}

// What other classes run may be what a proxy does not take: then it is found as any fault.
func TestWhatOthersRunMayBeAtFault(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	f := fake{messages: map[string][]message{"a": {hosts("1", "bad", "3")}, "b": {hosts("1", "bad", "3", "new")}}}
	apply(t, e, Commit{Translator: f})
	connect(t, e, "p", "a").now().Set(resource.Routes).Get("r").Accept() // of another version of Envoy
	if got := quarantined(t, connect(t, e, "q", "b").play(t, always)); got != "bad" || len(problems) != 1 {
		t.Errorf("%q are out, problems %v", got, problems)
	}
}

// The first proxy of all, after a start of the control plane, is without most hosts for few rounds only, and
// in no round without all of them.
func TestFirstProxyOfAllKeepsMostHosts(t *testing.T) {
	var names []string
	for i := range 64 {
		names = append(names, fmt.Sprintf("h%d", i))
	}
	for _, bad := range []int{0, 21, 31, 32, 63} {
		planted := slices.Clone(names)
		planted[bad] = "bad"
		e, f := New(Options{}), fake{messages: map[string][]message{"a": {hosts(planted...)}}}
		apply(t, e, Commit{Translator: f})
		c := connect(t, e, "p", "a")
		out := len(names)
		for round := range 20 { // the first of which is the rejection of all
			if runs := c.play(t, 1); runs != nil {
				out = len(strings.Fields(quarantined(t, runs)))
			}
			if most := max(1, len(names)>>(round/2)); out > most {
				t.Errorf("with the fault in host %d, %d hosts are out after %d rounds, want %d at most", bad, out, round, most)
			}
		}
		if out != 1 {
			t.Errorf("with the fault in host %d, %d hosts are out", bad, out)
		}
	}
}

// The rounds of a search grow with the logarithm of the parts: with the few milliseconds that a real Envoy
// takes for each (TestAPlantedFaultHarmsItsUnitAlone logs them) it ends well within a second.
func TestAFaultAmongAThousandIsFoundInFewRounds(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("h%d", i))
	}
	names[617] = "bad"
	e, f := New(Options{}), fake{messages: map[string][]message{"a": {hosts(names...)}}}
	apply(t, e, Commit{Translator: f})
	c := connect(t, e, "p", "a")
	for round := range 21 {
		if got := c.play(t, 1); got != nil && quarantined(t, got) == "bad" {
			t.Logf("found in round %d", round)
			return
		}
	}
	t.Errorf("a starting proxy is without more than the fault after 21 rounds")
}
