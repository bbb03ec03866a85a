package push

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// driver brings commits of a store into an engine.
type driver struct {
	t        testing.TB
	engine   *Engine
	builder  *build.Builder
	problems []model.Problem
}

func newDriver(t testing.TB) *driver {
	d := &driver{t: t, builder: build.New(build.Options{})}
	d.engine = New(Options{Report: func(p []model.Problem) { d.problems = p }})
	return d
}

func (d *driver) apply(commits ...store.Commit) {
	d.t.Helper()
	for _, c := range commits {
		if err := d.engine.Apply(d.t.Context(), Built(d.builder, c)); err != nil {
			d.t.Fatal(err)
		}
	}
}

// viewer is a client that counts what it is told after its first view.
type viewer struct {
	*Client
	news int
}

// join connects a proxy.
func join(t testing.TB, e *Engine, n *Node) *viewer {
	t.Helper()
	v := &viewer{}
	var err error
	if v.Client, err = e.Connect(n, func(*Update) { v.news++ }); err != nil {
		t.Fatal(err)
	}
	v.news = 0
	return v
}

// told tells whether there was news since it was last asked.
func (v *viewer) told() bool {
	news := v.news
	v.news = 0
	return news > 0
}

// now is the view that the engine last gave to the proxy.
func (v *viewer) now() *View {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	return v.last.View
}

// proxy describes a sidecar beside a pod.
func proxy(t testing.TB, namespace, name, ip string) *Node {
	t.Helper()
	n, err := ParseNode(&corev3.Node{Id: "sidecar~" + ip + "~" + name + "." + namespace + "~" + namespace + ".svc.cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
