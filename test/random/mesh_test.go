package random

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// editor makes random objects of every translated kind, of few names, so that they meet.
type editor struct {
	t   *testing.T
	rng *rand.Rand
}

// maker makes documents that hold objects of one kind.
type maker struct {
	kind   model.Kind // of the objects that a source gives for them
	weight int        // how often it is drawn, beside the others
	make   func(*editor) string
}

// makers are all that the editor can make.
func makers() []maker {
	return []maker{
		{model.KindPod, 6, (*editor).pod},
		{model.KindPod, 2, (*editor).routerPod},
		{model.KindEndpointSlice, 3, (*editor).slice},
		{model.KindService, 5, (*editor).serviceObject},
		{model.KindService, 2, (*editor).routerService},
		{model.KindVirtualService, 8, (*editor).virtualService},
		{model.KindVirtualService, 2, (*editor).delegate},
		{model.KindDestinationRule, 5, (*editor).destinationRule},
		{model.KindServiceEntry, 5, (*editor).serviceEntry},
		{model.KindWorkloadEntry, 3, (*editor).workloadEntry},
		{model.KindGateway, 4, (*editor).gateway},
		{model.KindSidecar, 2, (*editor).sidecar},
		{model.KindEnvoyFilter, 3, (*editor).envoyFilter},
		{model.KindAuthorizationPolicy, 3, (*editor).authorizationPolicy},
		{model.KindRequestAuthentication, 2, (*editor).requestAuthentication},
		{model.KindPeerAuthentication, 2, (*editor).peerAuthentication},
		{model.KindIngress, 2, (*editor).ingress},
		{model.KindIngressClass, 1, (*editor).ingressClass},
		{model.KindTelemetry, 2, (*editor).telemetry},
		{model.KindMeshConfig, 2, (*editor).mesh},
		{model.KindMeshNetworks, 1, (*editor).mesh},
		{model.KindNamespace, 1, (*editor).namespaceObject},
	}
}

// one picks one of several texts.
func (e *editor) one(of ...string) string { return of[e.rng.IntN(len(of))] }

// some picks up to so many distinct texts, at least one, and puts commas between them.
func (e *editor) some(most int, of ...string) string {
	var out []string
	for _, i := range e.rng.Perm(len(of))[:1+e.rng.IntN(most)] {
		if !slices.Contains(out, of[i]) {
			out = append(out, of[i])
		}
	}
	return strings.Join(out, ", ")
}

// namespace is one of those where sidecars live.
func (e *editor) namespace() string { return e.one("a", "b") }

// anyNamespace may also be the root namespace, where the routers live.
func (e *editor) anyNamespace() string {
	return e.one("a", "a", "a", "b", "b", "b", model.RootNamespace)
}

// metadata is that of an object of unknown or known age, by which ties are broken.
func (e *editor) metadata(name, namespace string) string {
	age := ""
	if e.rng.IntN(3) == 0 {
		age = fmt.Sprintf(", creationTimestamp: '2026-01-0%dT00:00:00Z'", 1+e.rng.IntN(3))
	}
	return fmt.Sprintf("metadata: {name: %s, namespace: %s%s}", name, namespace, age)
}

func (e *editor) service() string { return fmt.Sprintf("s%d", e.rng.IntN(4)) }

// host is a service as a rule names it, rarely one that is not there.
func (e *editor) host() string {
	if e.rng.IntN(3) == 0 {
		return e.service() + "." + e.namespace() + ".svc.cluster.local"
	}
	return e.service()
}

// exportTo is an item of a spec: to whom the object is exported.
func (e *editor) exportTo() string {
	to := e.one("", "", "", "'*'", "'.'", "'.'", "'~'", "a", "b", "., b", "a, "+model.RootNamespace, model.RootNamespace)
	if to == "" {
		return ""
	}
	return "\n  exportTo: [" + to + "]"
}

// objects gives the new version of one or more random objects.
func (e *editor) objects() []*model.Object {
	all := makers()
	sum := 0
	for _, m := range all {
		sum += m.weight
	}
	var out []*model.Object
	for range 1 + e.rng.IntN(3) {
		drawn := e.rng.IntN(sum)
		i := 0
		for drawn >= all[i].weight {
			drawn -= all[i].weight
			i++
		}
		out = append(out, e.make(all[i])...)
	}
	return out
}

// make gives the objects of a document that a source would hand on.
func (e *editor) make(m maker) []*model.Object {
	return slices.DeleteFunc(decode(e.t, m.make(e)), func(o *model.Object) bool {
		return slices.ContainsFunc(validate.Object(o), func(p model.Problem) bool { return p.Severity == model.SeverityError })
	})
}

func decode(t *testing.T, text string) []*model.Object {
	t.Helper()
	objects, problems := file.Decode([]byte(text), "random.yaml")
	for _, p := range problems {
		if p.Severity == model.SeverityError {
			t.Fatalf("%v in\n%s", p, text)
		}
	}
	return objects
}

// start gives a first mesh.
func (e *editor) start() []*model.Object {
	var out []*model.Object
	for _, ns := range []string{"a", "b"} {
		for i := range 3 {
			out = append(out, decode(e.t, e.serviceNamed(fmt.Sprintf("s%d", i), ns))...)
		}
	}
	for _, m := range makers() {
		for range 2 {
			out = append(out, e.make(m)...)
		}
	}
	return out
}

// victim picks an object to delete; proxies' own pods mostly stay.
func (e *editor) victim(objects map[model.Key]*model.Object) (model.Key, bool) {
	keys := slices.SortedFunc(maps.Keys(objects), model.Key.Compare)
	if len(keys) < 8 {
		return model.Key{}, false
	}
	return keys[e.rng.IntN(len(keys))], true
}
