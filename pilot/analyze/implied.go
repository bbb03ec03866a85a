package analyze

import (
	"cmp"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ingressName and ingressAccount are the gateway of Istio's default profile, which `pilotctl up` runs as well.
const ingressName, ingressAccount = "istio-ingressgateway", "istio-ingressgateway-service-account"

// usualIngressOnly says of an object that what it is for is not among the files, but is in most meshes.
const usualIngressOnly = "only the ingress gateway that Istio's default profile or pilotctl up runs is meant, which is not among the files"

// seldomAmongFiles tells whether labels, in a namespace or in all of them (""), select the usual ingress gateway where
// only files are known, which seldom have it.
func (m *mesh) seldomAmongFiles(namespace string, labels map[string]string) bool {
	usual := m.usualIngress()
	return !m.running && (namespace == "" || namespace == usual.Namespace) && model.HasLabels(usual.Labels, labels)
}

// usualIngressHost is the host of that gateway's Service where only files are known.
func (m *mesh) usualIngressHost() string {
	if m.running {
		return ""
	}
	return ingressName + "." + m.usualIngress().Namespace + ".svc." + m.domain
}

// ingressLabels are those of the gateway that Istio's default profile installs, and `pilotctl up` runs.
func ingressLabels() map[string]string {
	return map[string]string{"app": ingressName, "istio": "ingressgateway"}
}

// impliedGateway gives the router for a Gateway that selects nobody of the files. That is the usual ingress gateway
// where it would be selected, which all such Gateways share, else one that those of the namespace with the same selector
// share. It has the name of the first of them.
func (m *mesh) impliedGateway(gw object[*networking.Gateway]) *model.Proxy {
	switch {
	case len(m.selected("", gw.spec.GetSelector())) > 0:
		return nil
	case model.HasLabels(ingressLabels(), gw.spec.GetSelector()):
		return m.usualIngress()
	}
	name := cmp.Or(m.index.selecting[gw.Namespace+"/"+model.LabelSet(gw.spec.GetSelector())], gw.Name)
	return m.proxy(model.RouterProxy, gw.Namespace, string(model.KindGateway)+"."+name, "10.253.0.2", gw.spec.GetSelector())
}

// usualIngress gives the usual ingress gateway.
func (m *mesh) usualIngress() *model.Proxy {
	root := cmp.Or(m.config.GetRootNamespace(), model.RootNamespace)
	out := m.proxy(model.RouterProxy, root, string(model.KindDeployment)+"."+ingressName, "10.253.0.2", ingressLabels())
	out.ServiceAccount = ingressAccount
	return out
}

// impliedGateways gives the routers for the Gateways that select nobody of the files, each once. Those that Ingresses are
// read as are among them.
func (m *mesh) impliedGateways() []*model.Proxy {
	var out []*model.Proxy
	known := map[string]bool{}
	for _, o := range slices.Concat(m.ofKind(model.KindGateway), m.ofIngresses()) {
		spec, ok := o.Spec.(*networking.Gateway)
		if !ok {
			continue
		}
		if p := m.impliedGateway(object[*networking.Gateway]{o, spec}); p != nil && !known[p.ID] {
			known[p.ID] = true
			out = append(out, p)
		}
	}
	return out
}

// implied gives the gateway that the files have not and that goes by a name: that of a Gateway, or that of the usual
// ingress gateway, be there a Gateway for it or not. It is nil for none.
func (m *mesh) implied(namespace, name string) *model.Proxy {
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		if gw.Namespace == namespace && gw.Name == name {
			return m.impliedGateway(gw)
		}
	}
	usual := m.usualIngress()
	if namespace == usual.Namespace && name == ingressName && len(m.selected("", ingressLabels())) == 0 {
		return usual
	}
	return nil
}

// Find gives the proxy of a workload by its namespace and name. A gateway that the files do not have goes by the name of
// its Gateway as well.
func (t *Translation) Find(namespace, name string) (Proxy, bool) {
	if p, ok := t.named(namespace, name); ok {
		return p, true
	}
	if p := t.mesh.implied(namespace, name); p != nil {
		return t.named(p.Namespace, ownName(p))
	}
	return Proxy{}, false
}

func (t *Translation) named(namespace, name string) (Proxy, bool) {
	for _, p := range t.Proxies {
		if p.Namespace == namespace && p.Name == name {
			return p, true
		}
	}
	return Proxy{}, false
}
