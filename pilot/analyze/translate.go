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
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// translate makes what every proxy would get, for the problems that this brings up. All of them are findings.
func (m *mesh) translate(ctx context.Context) error {
	b := build.New(build.Options{})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: m.snapshot, Full: true}); err != nil {
		return err
	}
	denials := keysOf(m.denials)
	// Of what stands in for a refused object the refusal tells.
	ofDenial := func(p model.Problem) bool { return denials[p.Object] }
	classes := map[string]*model.Held{}
	var all []model.Held
	for _, p := range m.proxies() {
		if err := ctx.Err(); err != nil {
			return err
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
	m.problems(model.Scoped(all))
	return nil
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

// proxies gives a proxy for each workload, and for what has none in the files: a sidecar in each
// namespace, of the files or that a VirtualService is exported to, and the routers of Gateways that
// select nobody. A namespace whose workloads are all gateways, or have no proxy, has no sidecars.
func (m *mesh) proxies() []*model.Proxy {
	var out []*model.Proxy
	sidecars := map[string]bool{} // namespaces that have sidecars
	for i, w := range m.workloads {
		kind := w.proxy
		sidecars[w.object.Namespace] = sidecars[w.object.Namespace] || kind == model.SidecarProxy
		if kind != "" {
			pod := w.pod(i)
			out = append(out, m.proxy(kind, pod.Namespace, pod.Name, pod.Spec.(*corev1.Pod).Status.PodIP, pod.Labels))
		}
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
	for _, o := range m.objects {
		sidecarIn(o.Namespace)
	}
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		for _, namespace := range m.exported(vs).Namespaces {
			sidecarIn(namespace)
		}
	}
	return append(out, m.impliedGateways()...)
}

func (m *mesh) proxy(kind model.ProxyType, namespace, name, ip string, labels map[string]string) *model.Proxy {
	return &model.Proxy{
		ID:   fmt.Sprintf("%s~%s~%s.%s~%s.svc.%s", kind, ip, name, namespace, namespace, m.domain),
		Type: kind, Name: name, Namespace: namespace, DNSDomain: namespace + ".svc." + m.domain, IPs: []string{ip},
		Labels: labels, ClusterID: m.cluster, Interception: "REDIRECT", Secrets: true, DNSCapture: m.capturesDNS(),
		AsksForBootstrap: m.asksForBootstrap(),
	}
}
