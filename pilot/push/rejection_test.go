package push

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestRejectedSharedResource is a rejection of what several classes share: only the class of the
// proxy that rejected goes back, and takes what comes next.
func TestRejectedSharedResource(t *testing.T) {
	const name, host = "outbound|80||web.a.svc.cluster.local", "web.a.svc.cluster.local"
	port := corev1.ServicePort{Name: "http", Port: 80}
	f := storetest.NewFeed(t, nil,
		storetest.Service("a", "web", "172.16.0.1", port), storetest.Service("b", "own", "172.16.0.2", port),
		storetest.Pod("b", "p", "10.0.0.1", map[string]string{"app": "own"}), storetest.DestinationRule("a", "web", host, 1),
	)
	d := newDriver(t)
	d.apply(f.Edit()...)
	connect := func(pod, ip string) *viewer { return join(t, d.engine, proxy(t, "b", pod, ip)) }
	rejects, other := connect("p", "10.0.0.1"), connect("q", "10.0.0.2")
	if rejects.class == other.class || rejects.class.base[resource.Endpoints] != other.class.base[resource.Endpoints] {
		t.Fatal("want two classes that share their outbound part")
	}
	get := func(c *viewer) *resource.Resource { return c.now().Set(resource.Clusters).Get(name) }
	good := get(rejects)
	good.Accept()
	d.apply(f.Edit(storetest.DestinationRule("a", "web", host, 2))...)
	bad := get(rejects)
	rejects.Reject(bad, "no")
	if get(rejects) != good || get(other) != bad || len(d.problems) == 0 {
		t.Errorf("after the rejection: %v and %v; problems %v", get(rejects), get(other), d.problems)
	}
	d.apply(f.Edit(storetest.Service("a", "unrelated", "172.16.0.3", port))...)
	if get(rejects) != good {
		t.Error("the rejected version came back with an unrelated change")
	}
	d.apply(f.Edit(storetest.DestinationRule("a", "web", host, 3))...)
	if now := get(rejects); now == good || now == bad || now != get(other) || len(d.problems) != 0 {
		t.Errorf("a repaired version is not served, or its problem stays: %v", d.problems)
	}
}

// A proxy that rejects what it gets with its new class goes back to what it had in the former one, also
// where it tells only later that it took that.
func TestProxyTakesAlongWhatItRuns(t *testing.T) {
	e, f := New(Options{}), fake{seats: &[]*build.Seat{}, messages: map[string][]message{
		"a": {cluster("x", time.Second, "")}, "b": {cluster("x", 2*time.Second, "")},
	}}
	apply(t, e, Commit{Translator: f})
	c := connect(t, e, "p", "a")
	get := func(v *viewer) *resource.Resource { return v.now().Set(resource.Clusters).Get("x") }
	good := get(c)
	f.class, f.moved = map[string]string{"p": "b"}, map[string]bool{"p": true}
	apply(t, e, Commit{Translator: f})
	good.Accept()
	bad := get(c)
	if c.Reject(bad, "no"); bad == good || get(c) != good {
		t.Errorf("serves %v after the rejection of %v, want %v", get(c), bad, good)
	}
}

func TestProxyBringsWhatItsNewClassCanGoBackTo(t *testing.T) {
	e, f := New(Options{}), fake{seats: &[]*build.Seat{}, messages: map[string][]message{
		"a": {cluster("x", time.Second, "")}, "b": {cluster("x", 2*time.Second, "")},
	}}
	apply(t, e, Commit{Translator: f})
	moves, resident := connect(t, e, "p", "a"), connect(t, e, "q", "b")
	get := func(v *viewer) *resource.Resource { return v.now().Set(resource.Clusters).Get("x") }
	good := get(moves)
	good.Accept()
	resident.Reject(get(resident), "no")
	f.class, f.moved = map[string]string{"p": "b"}, map[string]bool{"p": true}
	apply(t, e, Commit{Translator: f})
	if get(moves) != good || get(resident) != good {
		t.Errorf("serves %v, want %v", get(moves), good)
	}
}

// Of what an EnvoyFilter has patched the patches are blamed, and not what the rest is made of.
func TestARejectionNamesThePatches(t *testing.T) {
	filter := model.MadeOf{
		Object: model.Key{Kind: model.KindEnvoyFilter, Namespace: "a", Name: "f"}, Field: "spec.configPatches[0]", Origin: model.Origin{File: "f.yaml", Line: 3},
	}
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	apply(t, e, Commit{Translator: fake{
		messages: map[string][]message{"a": {cluster("x", time.Second, dr), hosts("1", "bad")}},
		patching: func(part proto.Message) []model.MadeOf {
			if part == nil || part.(*routev3.VirtualHost).GetName() == "bad" {
				return []model.MadeOf{filter}
			}
			return nil
		},
	}})
	c := connect(t, e, "p", "a")
	c.play(t, always)
	c.Reject(c.now().Set(resource.Clusters).Get("x"), "no")
	if len(problems) != 2 {
		t.Fatalf("problems %v", problems)
	}
	for _, p := range problems {
		if p.Object != filter.Object || p.Field != filter.Field || p.Origin != filter.Origin {
			t.Errorf("blames %v %s at %v", p.Object, p.Field, p.Origin)
		}
	}
	told := c.Refusals() // of the proxy
	if got := slices.Concat(told[resource.Clusters], told[resource.Routes]); len(told) != 2 || !slices.Equal(slices.SortedFunc(slices.Values(got), model.CompareProblems), problems) {
		t.Errorf("of the proxy is told %v, of all %v", told, problems)
	}
	if other := connect(t, e, "q", "b"); other.Refusals() != nil {
		t.Errorf("of a proxy that refused nothing is told %v", other.Refusals())
	}
}

// One patch that is refused in several virtual hosts is one problem, which names some of them.
func TestWhatIsRefusedInManyPlacesIsOneProblem(t *testing.T) {
	for want, bad := range map[string][]string{
		`proxy p.a refused virtual host "bad1" of rds "r" and virtual host "bad2" of rds "r", each of which denies everything until this is mended: no`:                                         {"bad1", "bad2"},
		`proxy p.a refused virtual host "bad1" of rds "r", virtual host "bad2" of rds "r", virtual host "bad3" of rds "r" and 2 more, each of which denies everything until this is mended: no`: {"bad1", "bad2", "bad3", "bad4", "bad5"},
	} {
		var problems []model.Problem
		e := New(Options{Report: func(p []model.Problem) { problems = p }})
		apply(t, e, Commit{Translator: fake{
			messages: map[string][]message{"a": {hosts(append([]string{"1"}, bad...)...)}},
			patching: func(part proto.Message) []model.MadeOf {
				if part != nil && strings.HasPrefix(part.(*routev3.VirtualHost).GetName(), "bad") {
					return []model.MadeOf{{Object: model.Key{Kind: model.KindEnvoyFilter, Namespace: "a", Name: "f"}, Field: "spec.configPatches[0]"}}
				}
				return nil
			},
		}})
		c := connect(t, e, "p", "a")
		c.play(t, always)
		if len(problems) != 1 || problems[0].Message != want || !slices.Equal(c.Refusals()[resource.Routes], problems) {
			t.Errorf("problems %v, want %q; of the proxy is told %v", problems, want, c.Refusals())
		}
	}
}

// What an Envoy refuses of what is made of Ingresses is told of each of these, with the file in which it stands.
func TestARejectionNamesTheIngresses(t *testing.T) {
	var problems []model.Problem
	ingress := func(name string, rule int) model.MadeOf {
		return model.MadeOf{
			Object: model.Key{Kind: model.KindIngress, Namespace: "a", Name: name}, Field: fmt.Sprintf("spec.rules[%d]", rule),
			Origin: model.Origin{File: name + ".yaml", Line: 1},
		}
	}
	made, ok := resource.SourceKey(dr)
	if !ok {
		t.Fatalf("%s names no object", dr)
	}
	object := &model.Object{Key: made, Sources: []model.MadeOf{ingress("one", 0), ingress("two", 0), ingress("one", 1)}}
	e := New(Options{
		Report: func(p []model.Problem) { problems = p },
		Object: func(k model.Key) *model.Object {
			if k == made {
				return object
			}
			return nil
		},
	})
	apply(t, e, Commit{Translator: fake{messages: map[string][]message{"a": {cluster("x", time.Second, dr), cluster("y", time.Second, "")}}}})
	c := connect(t, e, "p", "a")
	told := func() []string {
		var out []string
		for _, p := range problems {
			out = append(out, fmt.Sprint(p.Origin.File, " ", p.Object))
		}
		return out
	}
	c.Reject(c.now().Set(resource.Clusters).Get("x"), "no")
	want := []string{"one.yaml " + ingress("one", 0).Object.String(), "two.yaml " + ingress("two", 0).Object.String()}
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("it is told of %q, want %q", got, want)
	}
	c.Reject(c.now().Set(resource.Clusters).Get("y"), "no") // is made of nothing
	if got := told(); len(got) != 3 {
		t.Errorf("with one more that nothing asked for it is told of %q", got)
	}
}
