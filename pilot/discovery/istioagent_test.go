package discovery

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	pb "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/proto/nds"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// istiosNode is the metadata that Istio's agent writes into the bootstrap of an injected pod.
const istiosNode = `{
	"ANNOTATIONS": {"istio.io/rev": "default", "kubectl.kubernetes.io/default-container": "web", "prometheus.io/port": "15020", "sidecar.istio.io/status": "{\"initContainers\":[\"istio-init\"]}"},
	"APP_CONTAINERS": "web", "CLUSTER_ID": "Kubernetes", "DNS_CAPTURE": "true", "DNS_AUTO_ALLOCATE": "true",
	"ENVOY_PROMETHEUS_PORT": 15090, "ENVOY_STATUS_PORT": 15021, "INSTANCE_IPS": "10.244.0.7,fd00::7", "INTERCEPTION_MODE": "REDIRECT",
	"ISTIO_PROXY_SHA": "f8b2c1f0f1a94a1c2f2a7c0e", "ISTIO_VERSION": "1.28.0", "MESH_ID": "cluster.local", "NAME": "web-5f-x2x4x", "NAMESPACE": "default", "NODE_NAME": "node-1",
	"LABELS": {"app": "web", "pod-template-hash": "5f", "security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": "web", "service.istio.io/canonical-revision": "v1"},
	"OWNER": "kubernetes://apis/apps/v1/namespaces/default/deployments/web", "PILOT_SAN": ["istiod.istio-system.svc"], "PLATFORM_METADATA": {},
	"POD_PORTS": "[{\"name\":\"http\",\"containerPort\":8080,\"protocol\":\"TCP\"}]",
	"PROXY_CONFIG": {"binaryPath": "/usr/local/bin/envoy", "concurrency": 2, "configPath": "./etc/istio/proxy", "controlPlaneAuthPolicy": "MUTUAL_TLS", "discoveryAddress": "istiod.istio-system.svc:15012",
		"drainDuration": "45s", "proxyAdminPort": 15000, "serviceCluster": "istio-proxy", "statNameLength": 189, "statusPort": 15020, "terminationDrainDuration": "5s", "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}},
	"SERVICE_ACCOUNT": "web", "UNPRIVILEGED_POD": "false", "WORKLOAD_NAME": "web"
}`

// istiosAgent is Istio's agent at a control plane: what it asks for, in which order, and what it takes of the answers.
// See security/pkg/nodeagent/caclient and pkg/istio-agent of Istio.
type istiosAgent struct {
	*testing.T
	plane   *plane
	root    []byte
	token   string
	trusted *x509.CertPool
}

func newIstiosAgent(t *testing.T, account string) *istiosAgent {
	t.Helper()
	token, keys := identitytest.Token(t, "default", account)
	dir := t.TempDir()
	p := running(t, func(p *plane) {
		p.cfg.CADir, p.cfg.TokenJWKS, p.cfg.TokenIssuer, p.cfg.TokenAudiences = dir, keys, identitytest.Issuer, []string{identitytest.Audience}
		write(t, p.cfg.ConfigDirs[0], "web.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {clusterIP: 10.96.0.9, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}\n")
	})
	authority, err := ca.New(ca.Options{Dir: dir, TrustDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	return &istiosAgent{t, p, authority.RootPEM(), token, authority.Roots()}
}

// context has the metadata of the agent's calls.
func (a *istiosAgent) context(token string) context.Context {
	pairs := []string{"ClusterID", "Kubernetes"}
	if token != "" {
		pairs = append(pairs, "authorization", "Bearer "+token)
	}
	return metadata.NewOutgoingContext(a.Context(), metadata.Pairs(pairs...))
}

// transport is how the agent dials discoveryAddress, with the root of ConfigMap istio-ca-root-cert.
func (a *istiosAgent) transport() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{RootCAs: a.trusted, ServerName: "istiod.istio-system.svc", MinVersion: tls.VersionTLS12})
}

// sign asks for a certificate as Istio's client of the CA does, with an RSA key and its own name.
func (a *istiosAgent) sign(token string) (*pb.IstioCertificateResponse, error) {
	a.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		a.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{""}},
		URIs:    []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/web"}},
	}, key)
	if err != nil {
		a.Fatal(err)
	}
	return pb.NewIstioCertificateServiceClient(dialGRPC(a.T, a.plane.cfg.SecureGRPCAddr, a.transport())).CreateCertificate(a.context(token), &pb.IstioCertificateRequest{
		Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), ValidityDuration: 86400,
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"CertSigner": structpb.NewStringValue("")}},
	})
}

// TestIstiosAgentHasItsCertificate: the chain is of more than one certificate, as it insists, with the root last, and
// is of whoever the token names.
func TestIstiosAgentHasItsCertificate(t *testing.T) {
	a := newIstiosAgent(t, "web")
	answer, err := a.sign(a.token)
	if err != nil {
		t.Fatal(err)
	}
	chain := answer.GetCertChain()
	if len(chain) < 2 || chain[len(chain)-1] != string(a.root) {
		t.Fatalf("a chain of %d, at its end %s", len(chain), chain[len(chain)-1])
	}
	for i, text := range chain {
		if strings.Count(text, "BEGIN CERTIFICATE") != 1 {
			t.Errorf("element %d is %s", i, text)
		}
	}
	block, _ := pem.Decode([]byte(chain[0]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/default/sa/web" || len(leaf.DNSNames) > 0 {
		t.Errorf("it is of %v %v", leaf.URIs, leaf.DNSNames)
	}
	if left := time.Until(leaf.NotAfter); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("it holds for %v", left)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.trusted, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	for name, token := range map[string]string{"no token": "", "a token of nobody": "x.y.z"} {
		if _, err := a.sign(token); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := newIstiosAgent(t, "other")
	answer, err = other.sign(other.token)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ = pem.Decode([]byte(answer.GetCertChain()[0])); block == nil {
		t.Fatal("no certificate")
	}
	if leaf, err = x509.ParseCertificate(block.Bytes); err != nil || leaf.URIs[0].Path != "/ns/default/sa/other" {
		t.Errorf("the token of other, and a request that says web, give %v, %v", leaf.URIs, err)
	}
}

// node is that of the first request.
func (a *istiosAgent) node(kind string) *corev3.Node {
	a.Helper()
	fields := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(istiosNode), fields); err != nil {
		a.Fatal(err)
	}
	return &corev3.Node{
		Id: kind + "~10.244.0.7~web-5f-x2x4x.default~default.svc.cluster.local", Cluster: "web.default", Metadata: fields,
		UserAgentName: "envoy", ClientFeatures: []string{"envoy.lb.does_not_support_overprovisioning", "envoy.lrs.supports_send_all_clusters"},
	}
}

// istiosStream is the stream of Istio's agent upstream, in one of the two forms. It acknowledges whatever comes.
type istiosStream struct {
	send    func(node *corev3.Node, typeURL string, names ...string) error
	receive func() (typeURL string, resources []*anypb.Any, err error)
}

func (a *istiosAgent) stream(delta bool) istiosStream {
	a.Helper()
	client := discoveryv3.NewAggregatedDiscoveryServiceClient(dialGRPC(a.T, a.plane.cfg.SecureGRPCAddr, a.transport()))
	if delta {
		s, err := client.DeltaAggregatedResources(a.context(a.token))
		if err != nil {
			a.Fatal(err)
		}
		return istiosStream{
			func(node *corev3.Node, typeURL string, names ...string) error {
				return s.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: typeURL, ResourceNamesSubscribe: names})
			},
			func() (string, []*anypb.Any, error) {
				r, err := s.Recv()
				if err != nil {
					return "", nil, err
				}
				var out []*anypb.Any
				for _, res := range r.GetResources() {
					out = append(out, res.GetResource())
				}
				return r.GetTypeUrl(), out, s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
			},
		}
	}
	s, err := client.StreamAggregatedResources(a.context(a.token))
	if err != nil {
		a.Fatal(err)
	}
	return istiosStream{
		func(node *corev3.Node, typeURL string, names ...string) error {
			return s.Send(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: typeURL, ResourceNames: names})
		},
		func() (string, []*anypb.Any, error) {
			r, err := s.Recv()
			if err != nil {
				return "", nil, err
			}
			return r.GetTypeUrl(), r.GetResources(), s.Send(&discoveryv3.DiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), VersionInfo: r.GetVersionInfo()})
		},
	}
}

// TestIstiosAgentHasItsConfiguration: Envoy asks for clusters and listeners through it, then the agent on its own for
// names and for the proxy's configuration, of which it takes one resource each.
func TestIstiosAgentHasItsConfiguration(t *testing.T) {
	a := newIstiosAgent(t, "web")
	for form, delta := range map[string]bool{"delta": true, "state of the world": false} {
		t.Run(form, func(t *testing.T) {
			s := a.stream(delta)
			got := map[string][]*anypb.Any{}
			asked := 0
			ask := func(node *corev3.Node, typeURL string, names ...string) {
				t.Helper()
				if err := s.send(node, typeURL, names...); err != nil {
					t.Fatal(err)
				}
				for asked++; len(got) < asked; {
					typeURL, resources, err := s.receive()
					if err != nil {
						t.Fatal(err)
					}
					got[typeURL] = resources
				}
			}
			ask(a.node("sidecar"), xdsres.Clusters.URL())
			ask(nil, xdsres.Listeners.URL())
			ask(nil, xdsres.NameTables.URL())
			ask(nil, xdsres.TrustBundles.URL())
			ask(nil, xdsres.Routes.URL(), "80")
			ask(nil, xdsres.Endpoints.URL(), "outbound|80||web.default.svc.cluster.local")

			for len(got[xdsres.TrustBundles.URL()]) == 0 { // the roots come after the first commit
				typeURL, resources, err := s.receive()
				if err != nil {
					t.Fatal(err)
				}
				got[typeURL] = resources
			}
			for typeURL, least := range map[string]int{xdsres.Clusters.URL(): 3, xdsres.Listeners.URL(): 3, xdsres.Routes.URL(): 1, xdsres.Endpoints.URL(): 1} {
				if len(got[typeURL]) < least {
					t.Errorf("%d of %s", len(got[typeURL]), typeURL)
				}
			}
			var table nds.NameTable
			if names := got[xdsres.NameTables.URL()]; len(names) != 1 {
				t.Errorf("%d tables of names", len(names))
			} else if err := names[0].UnmarshalTo(&table); err != nil || !slices.Equal(table.GetTable()["web.default.svc.cluster.local"].GetIps(), []string{"10.96.0.9"}) {
				t.Errorf("%v, names %v", err, table.GetTable())
			}
			var config meshconfig.ProxyConfig
			if configs := got[xdsres.TrustBundles.URL()]; len(configs) != 1 {
				t.Errorf("%d configurations of the proxy", len(configs))
			} else if err := configs[0].UnmarshalTo(&config); err != nil || !slices.Contains(config.GetCaCertificatesPem(), string(a.root)) {
				t.Errorf("%v, roots %v", err, config.GetCaCertificatesPem())
			}
		})
	}
	t.Run("the patches of a bootstrap first, of which there are none", func(t *testing.T) {
		s := a.stream(false)
		if err := s.send(a.node("sidecar"), xdsres.BootstrapPatches.URL()); err != nil {
			t.Fatal(err)
		}
		if typeURL, resources, err := s.receive(); err != nil || typeURL != xdsres.BootstrapPatches.URL() || len(resources) > 0 {
			t.Errorf("%v %v %v", typeURL, resources, err)
		}
	})
	t.Run("of another namespace", func(t *testing.T) {
		node := a.node("sidecar")
		node.Metadata.Fields["NAMESPACE"] = structpb.NewStringValue("istio-system")
		s := a.stream(true)
		if err := s.send(node, xdsres.Clusters.URL()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.receive(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%v", err)
		}
	})
}

// TestIstiosAgentsServeTheirOwnSecrets: listeners lead Envoy to the names that Istio's agent has at its
// socket, by the cluster of its bootstrap, and to no other.
func TestIstiosAgentsServeTheirOwnSecrets(t *testing.T) {
	a := newIstiosAgent(t, "web")
	s := a.stream(true)
	if err := s.send(a.node("sidecar"), xdsres.Listeners.URL()); err != nil {
		t.Fatal(err)
	}
	_, listeners, err := s.receive()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, l := range listeners {
		var listener listenerv3.Listener
		if err := l.UnmarshalTo(&listener); err != nil {
			t.Fatal(err)
		}
		if err := (protorange.Options{Resolver: protoregistry.GlobalTypes}).Range(listener.ProtoReflect(), func(at protopath.Values) error {
			m, _ := at.Index(-1).Value.Interface().(protoreflect.Message)
			if m == nil {
				return nil
			}
			if secret, ok := m.Interface().(*tlsv3.SdsSecretConfig); ok {
				by := secret.GetSdsConfig().GetApiConfigSource()
				found[secret.GetName()+" by "+by.GetApiType().String()+" "+by.GetGrpcServices()[0].GetEnvoyGrpc().GetClusterName()] = true
			}
			return nil
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"ROOTCA by GRPC sds-grpc", "default by GRPC sds-grpc"}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
		t.Errorf("listeners take %v, wanted %v", got, want)
	}
}
