package analyze

import (
	"context"
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// translate makes what every proxy would get, for the problems that this brings up. What an analyzer
// has said of a field already is not said again.
func (m *mesh) translate(ctx context.Context, analyzed []Finding) error {
	b := build.New(build.Options{})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: m.snapshot, Full: true}); err != nil {
		return err
	}
	type place struct {
		object model.Key
		field  string
	}
	said := map[place]bool{}
	for _, f := range analyzed {
		said[place{f.Object, f.Field}] = true
	}
	seen := map[model.Problem]bool{}
	classes := map[string]bool{}
	for _, p := range m.proxies() {
		if err := ctx.Err(); err != nil {
			return err
		}
		seat := b.Seat(p)
		b.Leave(seat)
		if classes[seat.Class.Key] {
			continue
		}
		classes[seat.Class.Key] = true
		made := b.Result(&seat.Class)
		for _, p := range slices.Concat(made.Shared, made.Own) {
			if !seen[p] && !said[place{p.Object, p.Field}] && !compared(p) {
				seen[p] = true
				m.problems([]model.Problem{p})
			}
		}
	}
	return nil
}

// compared tells whether a problem is about rules in the way of each other, which conflictingHosts and
// repeatedMatches tell at the rule that is not used, and for Gateways' rules as well.
func compared(p model.Problem) bool {
	return p.Object.Kind == model.KindVirtualService && p.Reason == model.ReasonConflict
}

// proxies gives a proxy for each workload, and for what has none in the files: a sidecar in each
// namespace, of the files or that a VirtualService is exported to, and a router for each Gateway that
// selects nobody.
func (m *mesh) proxies() []*model.Proxy {
	var out []*model.Proxy
	for i, w := range m.workloads {
		if kind := w.proxy(); kind != "" {
			pod := w.pod(i)
			out = append(out, m.proxy(kind, pod.Namespace, pod.Name, fmt.Sprintf("10.255.%d.%d", i/250, i%250+1), pod.Labels))
		}
	}
	namespaces := map[string]bool{}
	sidecarIn := func(namespace string) {
		if namespace != "" && !namespaces[namespace] {
			namespaces[namespace] = true
			out = append(out, m.proxy(model.SidecarProxy, namespace, "any", "10.253.0.1", nil))
		}
	}
	for _, o := range m.objects {
		sidecarIn(o.Namespace)
	}
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		for _, namespace := range m.exported(vs).Namespaces {
			sidecarIn(namespace)
		}
	}
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		if len(m.selected("", gw.spec.GetSelector())) == 0 {
			out = append(out, m.proxy(model.RouterProxy, gw.Namespace, "any", "10.253.0.2", gw.spec.GetSelector()))
		}
	}
	return out
}

func (m *mesh) proxy(kind model.ProxyType, namespace, name, ip string, labels map[string]string) *model.Proxy {
	return &model.Proxy{
		ID:   fmt.Sprintf("%s~%s~%s.%s~%s.svc.%s", kind, ip, name, namespace, namespace, m.domain),
		Type: kind, Name: name, Namespace: namespace, DNSDomain: namespace + ".svc." + m.domain, IPs: []string{ip},
		Labels: labels, ClusterID: "Kubernetes", Interception: "REDIRECT", Secrets: true,
	}
}
