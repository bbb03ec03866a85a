package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// mode is PeerAuthentication's, where unset inherits.
type mode = security.PeerAuthentication_MutualTLS_Mode

const unset = security.PeerAuthentication_MutualTLS_UNSET

// MTLS is a mode of mutual TLS, and the PeerAuthentication and its field that say so; nil for none.
type MTLS struct {
	Mode   ir.MTLSMode
	Object *model.Object
	Field  string
}

// InboundMTLS tells what the workload of a class has to accept on a container port.
func InboundMTLS(r Reader, c *Class, containerPort uint32) MTLS {
	return effectiveMTLS(r, c.Namespace, workloadMTLS(r, c.PeerAuthentications), containerPort)
}

// InboundMTLSPorts lists the container ports for which a class's port-level settings differ
// from the rest of the workload, sorted; a listener needs chains of their own for them.
func InboundMTLSPorts(r Reader, c *Class) []uint32 {
	o := workloadMTLS(r, c.PeerAuthentications)
	if o == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(o.Spec.(*security.PeerAuthentication).GetPortLevelMtls()))
}

// workloadMTLS gives the object in force of those whose selector matches a workload, or nil.
func workloadMTLS(r Reader, selecting []model.Key) *model.Object {
	if len(selecting) == 0 {
		return nil
	}
	return r.Object(selecting[0])
}

// EndpointMTLS tells what a workload accepts on a container port, seen by its clients.
func EndpointMTLS(r Reader, namespace string, labels map[string]string, containerPort uint32) MTLS {
	return effectiveMTLS(r, namespace, workloadMTLS(r, workloadPeerAuthentications(r, namespace, labels)), containerPort)
}

// effectiveMTLS takes the closest mode that is set: port, workload, namespace, mesh; permissive
// where none is.
func effectiveMTLS(r Reader, namespace string, workload *model.Object, containerPort uint32) MTLS {
	if workload != nil {
		pa := workload.Spec.(*security.PeerAuthentication)
		if m := pa.GetPortLevelMtls()[containerPort].GetMode(); m != unset {
			return MTLS{mtlsModes[m], workload, fmt.Sprintf("spec.portLevelMtls[%d].mode", containerPort)}
		}
		if m := pa.GetMtls().GetMode(); m != unset {
			return MTLS{mtlsModes[m], workload, wholeMTLS}
		}
	}
	return namespaceMTLS(r, namespace)
}

// wholeMTLS is the field that is about all ports.
const wholeMTLS = "spec.mtls.mode"

// namespaceMTLS is the mode without regard to workloads, which is what clients see on a cluster.
func namespaceMTLS(r Reader, namespace string) MTLS {
	m, o := unset, (*model.Object)(nil)
	for _, ns := range slices.Compact([]string{namespace, rootNamespace(r)}) {
		if m, o = defaultMode(r, ns); m != unset {
			break
		}
	}
	return MTLS{mtlsModes[m], o, wholeMTLS}
}

// defaultMode is that of the oldest object without a selector; younger ones have no effect.
func defaultMode(r Reader, namespace string) (mode, *model.Object) {
	for _, o := range r.PeerAuthentications(namespace) {
		if pa := o.Spec.(*security.PeerAuthentication); len(pa.GetSelector().GetMatchLabels()) == 0 {
			return pa.GetMtls().GetMode(), o
		}
	}
	return unset, nil
}

// mtlsModes are those that are not permissive.
var mtlsModes = map[mode]ir.MTLSMode{
	security.PeerAuthentication_MutualTLS_STRICT:  ir.MTLSStrict,
	security.PeerAuthentication_MutualTLS_DISABLE: ir.MTLSDisable,
}

// trustDomain is the mesh's, as Istio's default where none is set.
func trustDomain(r Reader) string { return cmp.Or(r.Mesh().GetTrustDomain(), defaultTrustDomain) }

// InboundTLS gives the TLS settings of inbound filter chains that take mutual TLS. Clients offer
// Istio's ALPN names first and the plain ones last; only the plain ones are negotiated.
func InboundTLS(r Reader) *ir.DownstreamTLS {
	return &ir.DownstreamTLS{
		CertSecrets: []string{ir.SecretWorkload}, RootSecret: rootOfCallers(r), RequireClientCert: true,
		TrustDomains: trustDomains(r),
		ALPN:         []string{"h2", "http/1.1"},
		Params:       meshTLSParams(r),
	}
}

// serviceMTLS tells whether clients may speak mutual TLS to a service at all. Endpoints decide
// one by one, by their metadata; but a cluster without endpoints of its own (headless) speaks it
// only where every endpoint has a sidecar, since the proxy cannot tell them apart.
func serviceMTLS(r Reader, c *Class, svc *model.Service, port *model.ServicePort, passthrough bool) bool {
	if passthrough && !allSidecars(r, c, svc, port) {
		return false
	}
	return namespaceMTLS(r, svc.Namespace).Mode != ir.MTLSDisable
}

func allSidecars(r Reader, c *Class, svc *model.Service, port *model.ServicePort) bool {
	found := false
	for _, ep := range endpointsFor(r, c, svc) {
		if ep.ServicePort != port.Name {
			continue
		}
		if ep.TLSMode != model.TLSModeIstio || EndpointMTLS(r, ep.Namespace, ep.Labels, ep.Port).Mode == ir.MTLSDisable {
			return false
		}
		found = true
	}
	return found
}
