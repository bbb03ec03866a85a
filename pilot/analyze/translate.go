package analyze

import (
	"context"
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// translate makes what every proxy would get, for the problems that this brings up. All of them are findings.
func (m *mesh) translate(ctx context.Context) error {
	told, err := m.told(ctx, m.proxies(nil), resolve.Settings{})
	if err != nil {
		return err
	}
	m.problems(told)
	return nil
}

// told makes what proxies get, and gives the problems that this brings up.
func (m *mesh) told(ctx context.Context, proxies []*model.Proxy, settings resolve.Settings) ([]model.Problem, error) {
	b := build.New(build.Options{Settings: settings})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: m.snapshot, Full: true}); err != nil {
		return nil, err
	}
	denials := keysOf(m.denials)
	// Of what stands in for a refused object the refusal tells.
	ofDenial := func(p model.Problem) bool { return denials[p.Object] }
	classes := map[string]*model.Held{}
	var all []model.Held
	for _, p := range proxies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		seat := b.Seat(p)
		b.Leave(seat)
		held := classes[seat.Class.Key]
		if held == nil {
			made := b.Result(&seat.Class)
			held = &model.Held{Problems: slices.DeleteFunc(slices.Concat(made.Shared, made.Own), ofDenial)}
			classes[seat.Class.Key] = held
		}
		if p.Name != Any || m.mayInject(p.Namespace) {
			held.By.Join(holder(p))
		}
	}
	for _, held := range classes {
		all = append(all, *held)
	}
	return model.Scoped(all), m.idlePatches(ctx, b, proxies)
}

// holder gives who a proxy of files is.
func holder(p *model.Proxy) (out model.Holders) {
	out.Add(p.Type, p.Namespace, p.Name[strings.IndexByte(p.Name, '.')+1:])
	return out
}

// mayInject tells whether a pod of a namespace, of which nothing else is known, would get a sidecar.
func (m *mesh) mayInject(namespace string) bool {
	return m.injects(m.namespace(namespace), &workload{object: &model.Object{Key: model.Key{Namespace: namespace}}})
}

// Any is the name of a sidecar that stands for those of workloads that the files do not have.
const Any = "any"

// proxies gives those that are connected, one for each workload of files, and for what has none of its own: a sidecar in
// each namespace, of the objects or that a VirtualService is exported to, and the routers of Gateways that select nobody.
// A namespace whose workloads are all gateways, or have no proxy, has no sidecars.
func (m *mesh) proxies(connected []model.Proxy) []*model.Proxy {
	out := m.beside(connected)
	sidecars := map[string]bool{} // namespaces that have sidecars
	for _, w := range m.workloads {
		sidecars[w.object.Namespace] = sidecars[w.object.Namespace] || w.proxy == model.SidecarProxy
	}
	namespaces := map[string]bool{} // that are done
	for _, w := range m.workloads {
		namespaces[w.object.Namespace] = !sidecars[w.object.Namespace]
	}
	sidecarIn := func(namespace string) {
		if namespace != "" && !namespaces[namespace] {
			namespaces[namespace] = true
			out = append(out, m.proxy(model.SidecarProxy, namespace, Any, "10.253.0.1", nil))
		}
	}
	istio := kinds.OfIstio()
	for _, o := range m.objects {
		if _, rule := istio[o.Kind]; rule || !m.running { // a cluster has namespaces of its own
			sidecarIn(o.Namespace)
		}
	}
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		for _, namespace := range m.exported(vs).Namespaces {
			sidecarIn(namespace)
		}
	}
	return append(out, m.impliedGateways()...)
}

// beside gives connected proxies, and those that the workloads of files could have.
func (m *mesh) beside(connected []model.Proxy) []*model.Proxy {
	proxies := make([]*model.Proxy, 0, len(connected)+len(m.workloads))
	for i := range connected {
		proxies = append(proxies, &connected[i])
	}
	for i, w := range m.workloads {
		if kind := w.proxy; kind != "" && !w.running {
			pod := w.pod(i)
			proxies = append(proxies, m.proxy(kind, pod.Namespace, pod.Name, pod.Spec.(*corev1.Pod).Status.PodIP, pod.Labels))
		}
	}
	return proxies
}

func (m *mesh) proxy(kind model.ProxyType, namespace, name, ip string, labels map[string]string) *model.Proxy {
	return &model.Proxy{
		ID:   fmt.Sprintf("%s~%s~%s.%s~%s.svc.%s", kind, ip, name, namespace, namespace, m.domain),
		Type: kind, Name: name, Namespace: namespace, DNSDomain: namespace + ".svc." + m.domain, IPs: []string{ip},
		Labels: labels, ClusterID: m.cluster, Interception: "REDIRECT", Secrets: true, DNSCapture: m.capturesDNS(),
		AsksForBootstrap: m.asksForBootstrap(),
	}
}
