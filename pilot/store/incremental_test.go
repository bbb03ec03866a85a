package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// randomObject gives one of a few dozen objects in one of its versions: pods that share addresses,
// services whose selectors overlap, slices, rules about hosts and suffixes.
func randomObject(t *testing.T, r *rand.Rand) *model.Object {
	n := func(most int) int { return r.IntN(most) }
	ns := []string{"a", "b"}[n(2)]
	scope := []string{"*", ".", "b", "a, c"}[n(4)]
	var text string
	switch n(8) {
	case 0, 1, 2:
		text = fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: p%d, namespace: %s, labels: {app: s%d, v: '%d'}, annotations: {note: '%d'}}\n"+
			"spec: {serviceAccountName: sa%d, containers: [{name: c, ports: [{name: web, containerPort: %d}]}]}\n"+
			"status: {podIP: 10.0.0.%d, phase: %s, conditions: [{type: Ready, status: '%s'}, {type: ContainersReady, status: '%s'}]}",
			n(6), ns, n(2), n(3), n(9), n(2), 80+n(2), 1+n(4), []string{"Running", "Succeeded"}[n(5)/4], []string{"True", "False"}[n(2)], []string{"True", "False"}[n(2)])
	case 3:
		if n(3) == 0 { // an alias, also of what else is a service
			text = fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s, annotations: {networking.istio.io/exportTo: '%s', note: '%d'}}\n"+
				"spec: {type: ExternalName, externalName: s%d.a.svc.cluster.local}", []string{"s2", "e0", "e1"}[n(3)], ns, scope, n(9), n(2))
			break
		}
		text = fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: %s, annotations: {networking.istio.io/exportTo: '%s', note: '%d'}}\n"+
			"spec: {selector: {%s: '%s'}, ports: [{name: http, port: 80}, {name: web, port: 81, targetPort: web}]}",
			n(3), ns, scope, n(9), []string{"app", "v"}[n(2)], []string{"s0", "s1", "1"}[n(3)])
	case 4:
		text = fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x%d, namespace: %s, labels: {kubernetes.io/service-name: s%d}}\n"+
			"addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.0.%d], conditions: {ready: %t}}, {addresses: [10.0.0.9], conditions: {ready: %t}, targetRef: {kind: Pod, name: p%d}}]",
			n(2), ns, n(3), 1+n(4), n(2) == 0, n(2) == 0, n(6))
	case 5:
		text = fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v%d, namespace: %s}\nspec: {hosts: [s%d], exportTo: [%s], http: [{route: [{destination: {host: s%d}}]}]}",
			n(3), ns, n(3), "'"+[]string{"*", ".", "b", "c"}[n(4)]+"'", n(3))
	case 6:
		text = fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d%d, namespace: %s}\nspec: {host: '%s', exportTo: ['%s']%s}",
			n(4), ns, []string{"s0", "s1", "*.svc.cluster.local", "*.a.svc.cluster.local"}[n(4)], []string{"*", ".", "b", "c"}[n(4)],
			[]string{"", ", workloadSelector: {matchLabels: {app: s0}}"}[n(2)])
	default:
		text = fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: %s\nmetadata: {name: g%d, namespace: %s}\nspec: {%s}", []string{"Gateway", "Sidecar"}[n(2)], n(2), ns, "")
		if n(6) == 0 {
			text = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'defaultVirtualServiceExportTo: [\"%s\"]'}", []string{"*", "."}[n(2)])
		}
	}
	o := slices.MaxFunc(decode(t, text), func(a, b *model.Object) int { return a.Compare(b.Key) }) // of the two of a ConfigMap the mesh's
	if o.Kind != model.KindService {                                                               // a service keeps its place until it changes
		o.Origin.Line = n(3)
	}
	return o
}

// TestEachCommitEqualsAFreshSnapshot makes random changes, one commit after the other.
func TestEachCommitEqualsAFreshSnapshot(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		s, objects := newState(""), map[model.Key]*model.Object{}
		for step := range 120 {
			for range max(1, r.IntN(4)) { // often a single one, which has to make a commit by itself
				o := randomObject(t, r)
				if r.IntN(4) == 0 {
					delete(objects, o.Key)
					s.put(o.Key, nil)
					continue
				}
				objects[o.Key] = o
				s.put(o.Key, o)
			}
			s.commit()
			if s.last == nil {
				continue
			}
			want := describe(FromObjects(slices.Collect(maps.Values(objects)), Options{}))
			if got := describe(s.last); got != want {
				t.Fatalf("seed %d, step %d: %s", seed, step, firstDifference(got, want))
			}
		}
	}
}
