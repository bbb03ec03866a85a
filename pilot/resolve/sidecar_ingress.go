package resolve

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ingress is an ingress listener of the Sidecar object in force. Where there are any, they and not the
// ports of services say what the workload serves.
type ingress struct {
	sidecar *model.Object
	field   string // spec.ingress[i]
	spec    *networking.IstioIngressListener
}

func (in *ingress) port() uint32 { return in.spec.GetPort().GetNumber() }

// ingressOf gives the ingress listeners of a class, sorted by port; none where its services decide. Of several with
// one port, whatever they bind, it gives the first, as clusters are named by the port alone; the others are repeated.
func ingressOf(r Reader, c *Class) (out, repeated []*ingress) {
	o, sidecar := sidecarOf(r, c)
	for i, spec := range sidecar.GetIngress() {
		n := spec.GetPort().GetNumber()
		if n == 0 || n > 65535 {
			continue
		}
		in := &ingress{o, fmt.Sprintf("spec.ingress[%d]", i), spec}
		if at, taken := slices.BinarySearchFunc(out, n, func(in *ingress, n uint32) int { return cmp.Compare(in.port(), n) }); taken {
			repeated = append(repeated, in)
		} else {
			out = slices.Insert(out, at, in)
		}
	}
	return out, repeated
}

// bound tells whether the proxy itself listens on the port, since nothing redirects what comes for it.
func (in *ingress) bound(c *Class) bool {
	return in.spec.GetCaptureMode() == networking.CaptureMode_NONE || c.Interception == "NONE"
}

// address is where a bound listener listens.
func (in *ingress) address(c *Class) string { return bindAddress(c, in.spec.GetBind()) }

// target makes what is served on the port. A service's port counts for what the listener does not say.
func (in *ingress) target(v *view) inbound {
	port, c := in.port(), v.c
	protocol := declaredProtocol(in.spec.GetPort().GetProtocol())
	number := port
	if at := slices.IndexFunc(c.Inbound, func(p InboundPort) bool { return p.TargetPort == port }); at >= 0 {
		number = c.Inbound[at].Port
		if in.spec.GetPort().GetProtocol() == "" {
			protocol = c.Inbound[at].Protocol
		}
	}
	out := servicePortInbound(v.r, c, InboundPort{Port: number, Protocol: protocol, TargetPort: port})
	if pool := in.spec.GetConnectionPool(); pool != nil {
		out.idle = idleTimeout(pool)
	}
	if in.spec.GetTls() != nil {
		var problem *model.Problem
		if out.tls, problem = in.tls(v.r, out.mtls); problem != nil {
			v.report(*problem)
		} else if protocol == model.ProtocolHTTPS {
			out.protocol = model.ProtocolHTTP // inside
		}
	}
	return out
}

// tls gives what terminates TLS of clients from outside the mesh, which is possible where the port takes no
// mutual TLS of the mesh.
func (in *ingress) tls(r Reader, mode ir.MTLSMode) (*ir.DownstreamTLS, *model.Problem) {
	s := in.spec.GetTls()
	fail := func(field, message string) (*ir.DownstreamTLS, *model.Problem) {
		p := in.sidecar.ErrorAt(in.field+".tls"+field, model.ReasonNotTranslated, message)
		return nil, &p
	}
	switch {
	case mode != ir.MTLSDisable:
		return fail("", fmt.Sprintf("it has an effect only where a PeerAuthentication disables mutual TLS on port %d, which is %s; until then the port serves the mesh", in.port(), mode))
	case s.GetMode() != networking.ServerTLSSettings_SIMPLE && s.GetMode() != networking.ServerTLSSettings_MUTUAL && s.GetMode() != networking.ServerTLSSettings_OPTIONAL_MUTUAL:
		return fail(".mode", s.GetMode().String()+" is not possible at a sidecar; write SIMPLE, MUTUAL or OPTIONAL_MUTUAL, until then the port is served without TLS")
	case s.GetServerCertificate() == "" || s.GetPrivateKey() == "":
		return fail("", "a sidecar takes its certificate from files; set serverCertificate and privateKey, until then the port is served without TLS")
	}
	out := &ir.DownstreamTLS{
		CertSecrets: []string{fileCertificate(s.GetServerCertificate(), s.GetPrivateKey())}, ALPN: []string{"h2", "http/1.1"},
		Params: serverTLSParams(r, s),
	}
	if asksClients(s.GetMode()) {
		out.RequireClientCert = s.GetMode() == networking.ServerTLSSettings_MUTUAL
		out.SubjectAltNames, out.KeyHashes, out.CertificateHashes = s.GetSubjectAltNames(), s.GetVerifyCertificateSpki(), s.GetVerifyCertificateHash()
		out.RootSecret, out.CRLFile = fileAuthorities(s.GetCaCertificates()), s.GetCaCrl()
	}
	return out, nil
}

// backend gives where requests go: on to where they were sent, or to the listener's own endpoint.
func (in *ingress) backend(c *Class) (*ir.Backend, *model.Problem) {
	text := in.spec.GetDefaultEndpoint()
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		return &ir.Backend{Pipe: path}, nil
	}
	var host string
	port := in.port()
	if text != "" {
		h, p, _ := net.SplitHostPort(text)
		n, _ := strconv.ParseUint(p, 10, 16)
		host, port = h, uint32(n)
	}
	switch {
	case host == "127.0.0.1" || host == "::1":
		return &ir.Backend{Address: host, Port: port}, nil
	case in.bound(c): // nothing remembers where a connection was sent
		problem := in.sidecar.WarningAt(in.field+".defaultEndpoint", model.ReasonNotTranslated,
			fmt.Sprintf("a listener that is not captured hands requests to 127.0.0.1:%d, not to the pod's own address; write the endpoint that is meant", port))
		return &ir.Backend{Address: loopback(c), Port: port}, &problem
	case host != "":
		return &ir.Backend{Port: port}, nil
	}
	return nil, nil
}

// loopback is the address of the pod itself.
func loopback(c *Class) string {
	if wildcard(c) == wildcardIPv6 {
		return "::1"
	}
	return "127.0.0.1"
}

// ingressClusters adds a cluster for each ingress listener.
func (b *clusterBuilder) ingressClusters(all []*ingress) {
	for _, in := range all {
		t := in.target(&b.view)
		backend, problem := in.backend(b.c)
		if problem != nil {
			b.report(*problem)
		}
		cl := b.inboundCluster(t.cluster, t.protocol)
		if backend != nil {
			toBackend(backend, cl)
		} else {
			b.toLocalhost(in.port(), cl)
		}
		for _, own := range b.c.Inbound {
			if own.TargetPort == in.port() {
				cl.Metadata.Services = append(cl.Metadata.Services, ir.ServiceRef{Host: own.Host, Name: own.Service.Name, Namespace: own.Service.Namespace})
			}
		}
		cl.Metadata.Services = slices.Compact(cl.Metadata.Services)
		pool := cmp.Or(in.spec.GetConnectionPool(), in.sidecar.Spec.(*networking.Sidecar).GetInboundConnectionPool(), b.r.Mesh().GetDefaultTrafficPolicy().GetConnectionPool())
		limitInbound(pool, cl)
		b.add(cl)
	}
}

// idleTimeout gives how long connections of TCP may be idle, nil where nothing is said.
func idleTimeout(pool *networking.ConnectionPoolSettings) *time.Duration {
	return optional(pool.GetTcp().GetIdleTimeout())
}

// inboundConnectionPool is the Sidecar object's limit of what the workload accepts, or nil.
func inboundConnectionPool(r Reader, c *Class) *networking.ConnectionPoolSettings {
	_, sidecar := sidecarOf(r, c)
	return sidecar.GetInboundConnectionPool()
}

// bound makes the listeners of a class that nothing redirects to. It reports those, also with redirection, that
// are left out since another has their port.
func (b *inboundBuilder) bound() []*ir.Listener {
	var out []*ir.Listener
	all, repeated := ingressOf(b.r, b.c)
	conflict := func(in *ingress, message string) {
		b.report(in.sidecar.ErrorAt(in.field+".port.number", model.ReasonConflict, message+", until then the listener is left out"))
	}
	for _, in := range repeated {
		conflict(in, fmt.Sprintf("another ingress listener has port %d; choose another", in.port()))
	}
	for _, in := range all {
		switch {
		case !in.bound(b.c):
			continue
		case ownsPort(b.r, in.port()) || in.port() == httpProxyPort(b.r, b.c):
			conflict(in, fmt.Sprintf("the proxy or its agent itself listens on port %d; choose another", in.port()))
			continue
		case !b.c.opens(in.port()):
			conflict(in, tooLow(in.port()))
			continue
		}
		t := in.target(&b.view)
		t.port = 0 // the listener has no other
		address, timeout := in.address(b.c), waitForTLS(b.r, t)
		out = append(out, &ir.Listener{
			Name: "inbound_" + listenerName(address, in.port()), Address: address, Port: in.port(), Direction: ir.DirectionInbound, BindToPort: true,
			Filters: []ir.ListenerFilter{ir.TLSInspector{}, ir.HTTPInspector{}}, InspectTimeout: &timeout,
			Chains: b.chains(t),
		})
	}
	return out
}

// declaredProtocol reads a protocol as ports of Istio's objects write it; what is none of them is sniffed.
func declaredProtocol(name string) model.Protocol {
	for _, p := range []model.Protocol{
		model.ProtocolHTTP, model.ProtocolHTTP2, model.ProtocolGRPC, model.ProtocolGRPCWeb, model.ProtocolHTTPS, model.ProtocolTLS,
		model.ProtocolTCP, model.ProtocolMongo, model.ProtocolRedis, model.ProtocolMySQL, model.ProtocolUDP,
	} {
		if strings.EqualFold(name, string(p)) {
			return p
		}
	}
	return model.ProtocolAuto
}
