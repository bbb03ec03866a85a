package build

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"
	typev1beta1 "istio.io/api/type/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

var (
	editNamespaces = []string{"a", "b", "c", "istio-system"}
	editNames      = []string{"web", "shop", "db"}
)

// editor makes random objects of every kind over few names, so that they meet.
type editor struct{ *rand.Rand }

func pick[T any](e editor, from ...T) T { return from[e.IntN(len(from))] }

func (e editor) ns() string   { return pick(e, editNamespaces...) }
func (e editor) name() string { return pick(e, editNames...) }

func (e editor) host() string {
	full := e.name() + "." + e.ns() + ".svc.cluster.local"
	return pick(e, full, full, e.name(), "Web.B.svc.cluster.local.", "*.b.svc.cluster.local", "*.cluster.local", "other.example.com", "*.example.com", "*")
}

func (e editor) exportTo() []string {
	return pick(e, nil, nil, []string{"*"}, []string{"."}, []string{"a", "b"}, []string{"~"})
}

func (e editor) labels() map[string]string {
	return map[string]string{
		"app": e.name(), "version": pick(e, "v1", "v2"), "security.istio.io/tlsMode": pick(e, "istio", "disabled"),
		"topology.kubernetes.io/region": pick(e, "r1", "r2"),
	}
}

func (e editor) object() *model.Object {
	ns := e.ns()
	switch e.IntN(32) {
	case 30:
		return e.networks()
	case 31:
		return e.networkGateway()
	case 28:
		return e.trustBundle()
	case 26, 27:
		return storetest.Object(model.KindEnvoyFilter, ns, e.name(), e.envoyFilter())
	case 25:
		return storetest.Object(model.KindTelemetry, pick(e, ns, "istio-system"), e.name(), e.telemetry())
	case 0, 1, 2, 3:
		return e.service(ns)
	case 4, 5, 6, 7, 8:
		return e.pod(ns, strconv.Itoa(e.IntN(6)))
	case 9, 10, 11, 12:
		if e.IntN(4) == 0 {
			return storetest.Object(model.KindVirtualService, ns, "part", e.delegate())
		}
		return storetest.Object(model.KindVirtualService, ns, e.name(), e.virtualService())
	case 13, 14, 15:
		return storetest.Object(model.KindDestinationRule, ns, e.name(), e.destinationRule())
	case 16:
		return storetest.Object(model.KindSidecar, ns, e.name(), e.sidecar())
	case 17:
		return storetest.Object(model.KindPeerAuthentication, ns, e.name(), e.peerAuthentication())
	case 24:
		return storetest.Object(model.KindRequestAuthentication, ns, e.name(), e.requestAuthentication())
	case 23:
		return storetest.Object(model.KindAuthorizationPolicy, ns, e.name(), e.authorizationPolicy())
	case 18:
		if e.IntN(2) == 0 {
			return storetest.Object(model.KindSecret, pick(e, ns, ns, "istio-system"), pick(e, "web", "shop-cacert"), e.secret())
		}
		return storetest.Object(model.KindGateway, ns, e.name(), e.gateway())
	case 19, 20:
		return e.serviceEntry(ns)
	case 21, 22:
		return e.workloadEntry(ns)
	}
	if e.IntN(3) > 0 {
		return storetest.Object(model.KindNamespace, "", ns, &corev1.Namespace{})
	}
	mesh := proto.Clone(model.DefaultMeshConfig()).(*meshconfig.MeshConfig)
	mesh.AccessLogFile = pick(e, "", "/dev/stdout")
	return storetest.Object(model.KindMeshConfig, "istio-system", "istio", mesh)
}

func (e editor) trustBundle() *model.Object {
	return storetest.Object(model.KindTrustBundle, "", "default", &model.TrustBundle{Roots: []string{pick(e, "first", "second", "third")}})
}

func (e editor) service(ns string) *model.Object {
	if e.IntN(5) == 0 {
		return e.alias(ns)
	}
	o := storetest.Service(ns, e.name(), pick(e, "172.16.0.1", "172.16.0.2", corev1.ClusterIPNone), corev1.ServicePort{
		Name: pick(e, "http", "grpc-web", "tcp", "tls", "x"), Port: pick(e, int32(80), 80, 8080),
		TargetPort: pick(e, intstr.FromInt32(9000), intstr.FromString("named")),
	}, corev1.ServicePort{Name: "grpc-2", Port: pick(e, int32(80), 7070), Protocol: pick(e, corev1.ProtocolTCP, corev1.ProtocolUDP)})
	if e.IntN(4) == 0 {
		o.Annotations = map[string]string{"networking.istio.io/exportTo": pick(e, ".", "a", "*")}
	}
	nearby(&o.Spec.(*corev1.Service).Spec)
	return o
}

// nearby makes a few Services ask where the client is.
func nearby(spec *corev1.ServiceSpec) {
	local, distribution := corev1.ServiceInternalTrafficPolicyLocal, model.PreferSameNode
	switch first := spec.Ports[0]; {
	case first.Port != 8080:
	case first.Name == "tls":
		spec.InternalTrafficPolicy = &local
	case first.Name == "x":
		spec.TrafficDistribution = &distribution
	}
}

// alias makes a Service of type ExternalName.
func (e editor) alias(ns string) *model.Object {
	o := storetest.Object(model.KindService, ns, pick(e, "alias", e.name()), &corev1.Service{Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeExternalName, ExternalName: pick(e, e.name(), "alias") + "." + e.ns() + ".svc.cluster.local",
	}})
	if e.IntN(3) == 0 {
		o.Annotations = map[string]string{"networking.istio.io/exportTo": pick(e, ".", "a", "*")}
	}
	return o
}

func (e editor) serviceEntry(ns string) *model.Object {
	out := &networking.ServiceEntry{
		Hosts:      pick(e, []string{"other.example.com"}, []string{"other.example.com", "more.example.com"}, []string{e.name() + "." + e.ns() + ".svc.cluster.local"}),
		Addresses:  pick(e, nil, nil, []string{"172.17.0.1"}, []string{"172.17.0.1", "172.17.0.2"}),
		Location:   pick(e, networking.ServiceEntry_MESH_EXTERNAL, networking.ServiceEntry_MESH_INTERNAL),
		Resolution: pick(e, networking.ServiceEntry_STATIC, networking.ServiceEntry_STATIC, networking.ServiceEntry_DNS, networking.ServiceEntry_DNS_ROUND_ROBIN, networking.ServiceEntry_NONE),
		ExportTo:   e.exportTo(),
		Ports: pick(e, []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, []*networking.ServicePort{{Number: 8080, Name: "tcp", Protocol: "TCP"}},
			[]*networking.ServicePort{{Number: 443, Name: "tls", Protocol: "TLS"}, {Number: 80, Name: "x", TargetPort: 9000}}),
	}
	switch {
	case e.IntN(2) == 0:
		out.WorkloadSelector = &networking.WorkloadSelector{Labels: pick(e, map[string]string{"app": e.name()}, map[string]string{"version": "v1"})}
	case out.Resolution != networking.ServiceEntry_NONE && e.IntN(3) > 0:
		out.Endpoints = []*networking.WorkloadEntry{e.machine()}
	}
	if e.IntN(6) == 0 {
		return storetest.Object(model.KindServiceEntry, ns, e.name(), e.dynamicHosts(out))
	}
	if out.Resolution == networking.ServiceEntry_NONE || out.Resolution == networking.ServiceEntry_STATIC {
		out.Addresses = pick(e, out.Addresses, []string{"172.18.0.0/16"})
	}
	return storetest.Object(model.KindServiceEntry, ns, e.name(), out)
}

// dynamicHosts makes a ServiceEntry one whose hosts are resolved as they are asked for.
func (e editor) dynamicHosts(out *networking.ServiceEntry) *networking.ServiceEntry {
	out.Hosts, out.Resolution = []string{"*.dynamic.example.com"}, networking.ServiceEntry_DYNAMIC_DNS
	out.Endpoints, out.WorkloadSelector = nil, nil
	out.Ports = pick(e, []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, []*networking.ServicePort{{Number: 443, Name: "tls", Protocol: "TLS"}})
	return out
}

func (e editor) workloadEntry(ns string) *model.Object {
	o := storetest.Object(model.KindWorkloadEntry, ns, e.name(), e.machine())
	o.Labels = pick(e, nil, e.labels())
	return o
}

func (e editor) machine() *networking.WorkloadEntry {
	return &networking.WorkloadEntry{
		Address: pick(e, "10.8.0.1", "10.8.0.2", "vm.example.com", "unix:///run/x"), Ports: pick(e, nil, map[string]uint32{"http": 9000, "named": 9003}),
		Labels: e.labels(), ServiceAccount: pick(e, "", "x"), Locality: pick(e, "", "r1/z1"), Weight: pick(e, uint32(0), 7),
	}
}

func (e editor) pod(ns, name string) *model.Object {
	o := storetest.Pod(ns, name, "10.0."+strconv.Itoa(slices.Index(editNamespaces, ns))+"."+name, e.labels())
	spec := o.Spec.(*corev1.Pod)
	spec.Spec.ServiceAccountName, spec.Spec.NodeName = pick(e, "x", "y"), "node-of-"+o.Labels["version"]
	spec.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: pick(e, "named", "else"), ContainerPort: pick(e, int32(9001), 9002)}}}}
	if e.IntN(3) == 0 {
		spec.Status.Conditions = nil
	}
	if e.IntN(3) == 0 {
		o.Labels[model.LabelNetwork] = pick(e, "n1", "n2")
		spec.Labels = o.Labels
	}
	if e.IntN(4) > 0 {
		o.Annotations = map[string]string{model.AnnotationPeers: model.PeersShort}
		spec.Annotations = o.Annotations
	}
	return o
}

func (e editor) destination() *networking.Destination {
	d := &networking.Destination{Host: e.host(), Subset: pick(e, "", "v1", "v2")}
	if e.IntN(2) == 0 {
		d.Port = &networking.PortSelector{Number: pick(e, uint32(80), 8080)}
	}
	return d
}

func (e editor) virtualService() *networking.VirtualService {
	out := &networking.VirtualService{Hosts: []string{e.host(), e.host()}, ExportTo: e.exportTo(), Gateways: pick(e, nil, nil, []string{"mesh"}, []string{"web", "mesh"}, []string{"a/shop"}, []string{"web.a.svc.cluster.local", "./db"})}
	for range 1 + e.IntN(2) {
		rule := &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{
			{Destination: e.destination(), Weight: 1}, {Destination: e.destination(), Weight: 2},
		}}
		if e.IntN(2) == 0 {
			rule.Match = []*networking.HTTPMatchRequest{{
				SourceLabels: pick(e, nil, map[string]string{"version": "v1"}), SourceNamespace: pick(e, "", "a"), Gateways: pick(e, nil, nil, []string{"mesh"}, []string{"a/shop"}), Port: pick(e, uint32(0), 80),
				Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "/" + e.name()}},
			}}
		}
		if e.IntN(4) == 0 {
			rule.Route, rule.Delegate = nil, &networking.Delegate{Name: "part", Namespace: pick(e, "", "a", "b")}
		}
		out.Http = append(out.Http, rule)
	}
	if e.IntN(3) == 0 {
		out.Tcp = []*networking.TCPRoute{{Route: []*networking.RouteDestination{{Destination: e.destination()}}}}
		out.Tls = []*networking.TLSRoute{{
			Match: []*networking.TLSMatchAttributes{{SniHosts: []string{"x.example.com"}}},
			Route: []*networking.RouteDestination{{Destination: e.destination()}},
		}}
	}
	return out
}

// delegate makes a VirtualService that others delegate to, and which delegates to none: validation refuses that.
func (e editor) delegate() *networking.VirtualService {
	out := e.virtualService()
	out.Hosts, out.Gateways, out.Tcp, out.Tls = nil, nil, nil, nil
	for _, rule := range out.Http {
		if rule.Delegate != nil {
			rule.Delegate, rule.Route = nil, []*networking.HTTPRouteDestination{{Destination: e.destination()}}
		}
	}
	return out
}

func (e editor) destinationRule() *networking.DestinationRule {
	out := storetest.DestinationRule("", "", e.host(), int32(1+e.IntN(9)), e.exportTo()...).Spec.(*networking.DestinationRule)
	out.Subsets = out.Subsets[:e.IntN(3)]
	switch e.IntN(5) {
	case 0:
		out.WorkloadSelector = &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"version": "v1"}}
	case 1:
		out.TrafficPolicy.OutlierDetection = &networking.OutlierDetection{} // with it, locality counts
	case 2:
		out.TrafficPolicy.Tls = e.clientTLS()
	case 3:
		out.TrafficPolicy.LoadBalancer = &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_ConsistentHash{
			ConsistentHash: &networking.LoadBalancerSettings_ConsistentHashLB{
				HashKey: &networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName{HttpHeaderName: pick(e, "x", "y")},
			},
		}}
	}
	return out
}

// clientTLS often needs a Secret.
func (e editor) clientTLS() *networking.ClientTLSSettings {
	return &networking.ClientTLSSettings{
		Mode: pick(e, networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_MUTUAL), CredentialName: pick(e, "", "web", "shop"),
	}
}

func (e editor) sidecar() *networking.Sidecar {
	out := &networking.Sidecar{Egress: []*networking.IstioEgressListener{{
		Hosts: []string{pick(e, "./*", "*/*", "a/*", "b/web.b.svc.cluster.local", "~/*", "*/alias.a.svc.cluster.local"), pick(e, "istio-system/*", "c/*", "*/other.example.com", "*/Shop.example.com.")},
	}}}
	if e.IntN(3) == 0 {
		out.Egress = append([]*networking.IstioEgressListener{{
			Port: &networking.SidecarPort{Number: pick(e, uint32(80), 8080, 9), Protocol: pick(e, "HTTP", "TCP", "HTTP_PROXY"), Name: "x"}, Hosts: []string{pick(e, "*/*", "a/*", "./*")},
			Bind: pick(e, "", "127.0.0.1"), CaptureMode: pick(e, networking.CaptureMode_DEFAULT, networking.CaptureMode_NONE),
		}}, out.Egress...)
	}
	if e.IntN(3) == 0 {
		out.Ingress = []*networking.IstioIngressListener{{
			Port:            &networking.SidecarPort{Number: pick(e, uint32(9000), 9001), Protocol: pick(e, "HTTP", "TCP"), Name: "x"},
			DefaultEndpoint: pick(e, "", "127.0.0.1:9000", "0.0.0.0:9002", "unix:///x"), CaptureMode: pick(e, networking.CaptureMode_DEFAULT, networking.CaptureMode_NONE),
		}}
	}
	if e.IntN(2) == 0 {
		out.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"app": e.name()}}
	}
	if e.IntN(2) == 0 {
		out.OutboundTrafficPolicy = &networking.OutboundTrafficPolicy{Mode: pick(e, networking.OutboundTrafficPolicy_ALLOW_ANY, networking.OutboundTrafficPolicy_REGISTRY_ONLY)}
	}
	return out
}

func (e editor) gateway() *networking.Gateway {
	out := &networking.Gateway{Selector: pick(e, nil, map[string]string{"app": e.name()})}
	for i := range 1 + e.IntN(2) {
		s := &networking.Server{
			Port:  &networking.Port{Number: pick(e, uint32(80), 8080), Protocol: pick(e, "HTTP", "HTTP", "GRPC-WEB", "HTTPS", "TLS", "TCP"), Name: "x" + strconv.Itoa(i)},
			Hosts: []string{pick(e, "*", "./*", "a/*", "*.Example.com.", "other.example.com")},
			Bind:  pick(e, "", "", "0.0.0.0"),
		}
		switch s.Port.Protocol {
		case "HTTPS", "TLS":
			s.Tls = &networking.ServerTLSSettings{
				Mode: pick(e, networking.ServerTLSSettings_SIMPLE, networking.ServerTLSSettings_SIMPLE, networking.ServerTLSSettings_MUTUAL,
					networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_ISTIO_MUTUAL, networking.ServerTLSSettings_AUTO_PASSTHROUGH),
				CredentialName: pick(e, "web", "shop", "kubernetes://istio-system/web"),
			}
		case "TCP":
		default:
			s.Tls = pick(e, nil, nil, &networking.ServerTLSSettings{HttpsRedirect: true})
		}
		out.Servers = append(out.Servers, s)
	}
	return out
}

// secret makes one with a good pair, a broken one, or authorities.
func (e editor) secret() *corev1.Secret {
	good, other := somePairs()
	return &corev1.Secret{Data: pick(e,
		map[string][]byte{"tls.crt": good.cert, "tls.key": good.key, "ca.crt": good.cert},
		map[string][]byte{"cert": other.cert, "key": other.key},
		map[string][]byte{"tls.crt": good.cert, "tls.key": other.key},
		map[string][]byte{"cacert": other.cert},
	)}
}

type pair struct{ cert, key []byte }

// somePairs gives two certificates with their keys.
var somePairs = sync.OnceValues(func() (pair, pair) { return newPair(1), newPair(2) })

func newPair(serial int64) pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		panic(err) // the machine has no randomness
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

func (e editor) telemetry() *telemetryapi.Telemetry {
	out := &telemetryapi.Telemetry{}
	if e.IntN(2) == 0 {
		out.Selector = &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": e.name()}}
	}
	if e.IntN(2) == 0 {
		out.AccessLogging = []*telemetryapi.AccessLogging{{Providers: []*telemetryapi.ProviderRef{{Name: "envoy"}}, Disabled: wrapperspb.Bool(e.IntN(2) == 0)}}
		return out
	}
	out.Metrics = []*telemetryapi.Metrics{{Overrides: []*telemetryapi.MetricsOverrides{{Disabled: wrapperspb.Bool(e.IntN(2) == 0)}}}}
	return out
}

func (e editor) peerAuthentication() *security.PeerAuthentication {
	out := &security.PeerAuthentication{Mtls: &security.PeerAuthentication_MutualTLS{Mode: pick(e,
		security.PeerAuthentication_MutualTLS_STRICT, security.PeerAuthentication_MutualTLS_DISABLE, security.PeerAuthentication_MutualTLS_UNSET)}}
	if e.IntN(2) == 0 {
		out.Selector = &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": e.name()}}
		out.PortLevelMtls = map[uint32]*security.PeerAuthentication_MutualTLS{9000: {Mode: security.PeerAuthentication_MutualTLS_DISABLE}}
	}
	return out
}

func (e editor) envoyFilter() *networking.EnvoyFilter {
	value := func(text string) *structpb.Struct {
		out := &structpb.Struct{}
		if err := protojson.Unmarshal([]byte(text), out); err != nil {
			panic(err)
		}
		return out
	}
	type item = networking.EnvoyFilter_EnvoyConfigObjectPatch
	host := e.name() + "." + e.ns() + ".svc.cluster.local"
	vhost := &networking.EnvoyFilter_EnvoyConfigObjectMatch{ObjectTypes: &networking.EnvoyFilter_EnvoyConfigObjectMatch_RouteConfiguration{
		RouteConfiguration: &networking.EnvoyFilter_RouteConfigurationMatch{
			Name: pick(e, "", "80"), Vhost: pick(e, nil, &networking.EnvoyFilter_RouteConfigurationMatch_VirtualHostMatch{Name: host + ":80"}),
		},
	}}
	cluster := &networking.EnvoyFilter_EnvoyConfigObjectMatch{ObjectTypes: &networking.EnvoyFilter_EnvoyConfigObjectMatch_Cluster{
		Cluster: &networking.EnvoyFilter_ClusterMatch{Service: pick(e, "", host)},
	}}
	listener := &networking.EnvoyFilter_EnvoyConfigObjectMatch{Context: pick(e, networking.EnvoyFilter_ANY, networking.EnvoyFilter_SIDECAR_OUTBOUND), ObjectTypes: &networking.EnvoyFilter_EnvoyConfigObjectMatch_Listener{
		Listener: &networking.EnvoyFilter_ListenerMatch{Name: pick(e, "", "virtualInbound", "0.0.0.0_80"), PortNumber: pick(e, uint32(0), 80)},
	}}
	merge := func(text string) *networking.EnvoyFilter_Patch {
		return &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_MERGE, Value: value(text)}
	}
	add := func(text string) *networking.EnvoyFilter_Patch {
		return &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_ADD, Value: value(text)}
	}
	remove := &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_REMOVE}
	timeout := strconv.Itoa(1 + e.IntN(9))
	out := &networking.EnvoyFilter{Priority: pick(e, int32(0), 0, -1)}
	for range 1 + e.IntN(2) {
		out.ConfigPatches = append(out.ConfigPatches, pick(e,
			&item{ApplyTo: networking.EnvoyFilter_CLUSTER, Match: cluster, Patch: merge(`{"connect_timeout": "` + timeout + `s"}`)},
			&item{ApplyTo: networking.EnvoyFilter_CLUSTER, Match: cluster, Patch: pick(e, remove, merge(`{"connect_timeout": "-1s"}`))},
			&item{ApplyTo: networking.EnvoyFilter_CLUSTER, Patch: add(`{"name": "extra` + timeout + `", "connect_timeout": "1s"}`)},
			&item{ApplyTo: networking.EnvoyFilter_VIRTUAL_HOST, Match: vhost, Patch: pick(e, remove, merge(`{"request_headers_to_remove": ["x`+timeout+`"]}`))},
			&item{ApplyTo: networking.EnvoyFilter_VIRTUAL_HOST, Match: vhost, Patch: add(`{"name": "more", "domains": ["more` + timeout + `.example.com", "` + host + `"]}`)},
			&item{ApplyTo: networking.EnvoyFilter_HTTP_ROUTE, Match: vhost, Patch: merge(`{"route": {"timeout": "` + timeout + `s"}}`)},
			&item{ApplyTo: networking.EnvoyFilter_ROUTE_CONFIGURATION, Match: vhost, Patch: merge(`{"request_headers_to_remove": ["y` + timeout + `"]}`)},
			&item{ApplyTo: networking.EnvoyFilter_LISTENER, Match: listener, Patch: pick(e, remove, merge(`{"stat_prefix": "p`+timeout+`"}`))},
			&item{ApplyTo: networking.EnvoyFilter_HTTP_FILTER, Match: listener, Patch: add(`{"name": "envoy.filters.http.buffer", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": ` + timeout + `}}`)},
		))
	}
	if e.IntN(3) == 0 {
		out.WorkloadSelector = &networking.WorkloadSelector{Labels: map[string]string{"version": "v1"}}
	}
	if e.IntN(3) == 0 {
		p := proto.CloneOf(out.ConfigPatches[0])
		if p.Match == nil {
			p.Match = &networking.EnvoyFilter_EnvoyConfigObjectMatch{}
		}
		p.Match.Proxy = &networking.EnvoyFilter_ProxyMatch{ProxyVersion: pick(e, "^1.*", "^2.*", "")}
		out.ConfigPatches[0] = p
	}
	return out
}
