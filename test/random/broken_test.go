package random

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// broken are specs that no mesh can use, by kind.
var broken = []string{
	"kind: VirtualService\nspec: {hosts: [s1], http: [{rout: []}]}",
	"kind: VirtualService\nspec: {hosts: [s1], http: [{timeout: soon, route: [{destination: {host: s1}}]}]}",
	"kind: DestinationRule\nspec: {host: 7}",
	"kind: DestinationRule\nspec: {host: s1, trafficPolicy: {connectionPool: {tcp: {maxConnections: many}}}}",
	"kind: Gateway\nspec: {servers: [{port: {number: port}}]}",
	"kind: Sidecar\nspec: {egress: [{hosts: 3}]}",
	"kind: Sidecar\nspec: [a, b]",
	"kind: VirtualService\nspec: {hosts: [s1], http: [{match: [{uri: {regex: '('}}], route: [{destination: {host: s1}}]}]}",
	"kind: VirtualService\nspec: {hosts: [s1], http: [{match: [{headers: {x: {regex: '[z-a]'}}}], route: [{destination: {host: s1}}]}]}",
}

// delivery is what a source of files delivers first.
type delivery struct {
	objects  []*model.Object
	problems []model.Problem
	synced   context.CancelFunc
}

func (d *delivery) Apply(_ string, events []model.Event, problems []model.Problem) {
	for _, e := range events {
		d.objects = append(d.objects, e.New)
	}
	d.problems = problems
}

func (d *delivery) Synced(string) { d.synced() }

// deliver reads a text as the product does.
func deliver(t *testing.T, text string) *delivery {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &delivery{synced: cancel}
	if err := file.New([]string{dir}, file.Options{}).Run(ctx, out); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return out
}

// A thousand broken objects change no byte of what a proxy gets, and each of them is reported.
func TestBrokenObjectsHarmOnlyThemselves(t *testing.T) {
	const good = `apiVersion: v1
kind: Service
metadata: {name: s1, namespace: a}
spec: {clusterIP: 10.96.1.1, selector: {app: s1}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: good, namespace: a}
spec: {hosts: [s1], http: [{timeout: 3s, route: [{destination: {host: s1}}]}]}
---
`
	var text strings.Builder
	text.WriteString(good)
	const count = 1000
	for i := range count {
		fmt.Fprintf(&text, "apiVersion: networking.istio.io/v1\nmetadata: {name: broken-%d, namespace: a}\n%s\n---\n", i, broken[i%len(broken)])
	}
	node, err := push.ParseNode(&corev3.Node{Id: "sidecar~10.0.1.1~p.a~a.svc.cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	got := deliver(t, text.String())
	problems := append(got.problems, translate.Build(translate.Snapshot(got.objects), &node.Proxy).Problems...)
	reported := map[string]bool{}
	for _, p := range problems {
		if p.Severity == model.SeverityError {
			reported[p.Object.Name] = true
		}
	}
	for i := range count {
		if name := fmt.Sprintf("broken-%d", i); !reported[name] {
			t.Fatalf("%s is not reported: %s", name, broken[i%len(broken)])
		}
	}
	see := func(objects []*model.Object) *view {
		e := &epoch{snapshot: store.FromObjects(objects, store.Options{Domain: "cluster.local"}), views: map[*push.Node]*view{}}
		v, err := e.view(node)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want, seen := see(decode(t, good)), see(got.objects)
	for typ := range want {
		if !maps.EqualFunc(want[typ], seen[typ], func(a, b *content) bool { return a.hash == b.hash }) {
			t.Errorf("%s: %s", xdsres.Type(typ), different(want[typ], seen[typ]))
		}
	}
}
