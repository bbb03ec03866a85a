package file

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// Manifests as users write them: durations in any form of Go, numbers where a message holds a
// wrapper, numbers in quotes, enums by name, both names of a field.
const (
	routes = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com, "*.shop.example.com"]
  gateways: [mesh, edge/public]
  http:
  - name: beta
    match:
    - uri: {prefix: /cart}
      method: {exact: POST}
      headers: {x-group: {regex: "beta|staff"}}
      ignoreUriCase: true
      sourceLabels: {app: web}
      port: 8080
    rewrite: {uri: /basket}
    timeout: 1h30m
    retries:
      attempts: 3
      perTryTimeout: 250ms
      retryOn: 5xx,connect-failure
      retryRemoteLocalities: true
    fault:
      delay: {fixedDelay: 2.5s, percentage: {value: 0.1}}
      abort: {httpStatus: 503, percentage: {value: 100}}
    corsPolicy:
      allowOrigins: [{exact: "https://shop.example.com"}]
      allowMethods: [GET, POST]
      allowCredentials: false
      maxAge: 24h
    mirror: {host: shadow, port: {number: 80}}
    mirrorPercentage: {value: 12.5}
    headers: {request: {set: {x-a: b}, remove: [x-c]}}
    route:
    - destination: {host: cart, subset: v2, port: {number: "8080"}}
      weight: 25
    - destination: {host: cart, subset: v1}
      weight: 75
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new, authority: www.example.com, redirectCode: 302}
  - directResponse: {status: 410, body: {string: "gone"}}
  tcp:
  - match: [{port: 3306}]
    route: [{destination: {host: db}}]
  tls:
  - match: [{port: 443, sniHosts: [shop.example.com]}]
    route: [{destination: {host: shop}}]
`
	rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  exportTo: ["."]
  trafficPolicy:
    loadBalancer:
      simple: LEAST_REQUEST
      warmup: {duration: 2m, minimumPercent: 10, aggression: 1.5}
      localityLbSetting: {enabled: true, failover: [{from: eu, to: us}]}
    connectionPool:
      tcp:
        maxConnections: 100
        connectTimeout: 30ms
        tcpKeepalive: {time: 7200s, interval: 1m15s, probes: 9}
      http:
        http2MaxRequests: 1000
        maxRequestsPerConnection: 10
        idleTimeout: 1h
        h2UpgradePolicy: UPGRADE
    outlierDetection:
      consecutive5xxErrors: 7
      consecutive_gateway_errors: "5"
      interval: 5m
      baseEjectionTime: 15m
      maxEjectionPercent: 50
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings:
    - port: {number: 80}
      loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}, ringHash: {minimumRingSize: 2048}}}
  subsets:
  - name: v1
    labels: {version: v1}
  - name: v2
    labels: {version: v2}
    trafficPolicy: {connectionPool: {tcp: {connectTimeout: 0.5s}}}
`
	gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example.com]
    tls: {mode: SIMPLE, credentialName: shop-cert, minProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]}
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
    tls: {httpsRedirect: true}
  - port: {number: 15443, name: tls, protocol: TLS}
    hosts: ["*.local"]
    tls: {mode: AUTO_PASSTHROUGH}
`
	sidecar = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec:
  workloadSelector: {labels: {app: web}}
  ingress:
  - port: {number: 9080, protocol: HTTP, name: web}
    defaultEndpoint: 127.0.0.1:8080
    connectionPool: {tcp: {connectTimeout: 1m}}
  egress:
  - port: {number: 3306, protocol: MYSQL, name: sql}
    captureMode: NONE
    bind: 127.0.0.1
    hosts: ["*/mysql.example.com"]
  - hosts: [./*, istio-system/*]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  inboundConnectionPool: {http: {idleTimeout: 90m, http1MaxPendingRequests: 32}}
`
	entries = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: details-svc, namespace: shop}
spec:
  hosts: [details.bookinfo.com, "*.details.bookinfo.com"]
  addresses: [240.1.1.1/32, "2001:db8::/32"]
  location: MESH_INTERNAL
  ports:
  - {number: 443, name: https, protocol: TLS}
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  resolution: STATIC
  workloadSelector: {labels: {app: details-legacy}}
  exportTo: [".", other]
  subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/details-legacy"]
status:
  conditions: [{type: Reconciled, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]
  addresses: [{value: 240.240.0.9, host: details.bookinfo.com}]
  addedLater: x
`
	vm = `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1, namespace: shop, labels: {version: v3}}
spec:
  address: vm1.vpc01.corp.net
  ports: {https: 8443, http: 0x1f90}
  labels: {app: details-legacy}
  network: vpc-1
  locality: us-east-1/us-east-1a
  weight: "8"
  serviceAccount: details-legacy
status: {conditions: [{type: Ready, status: "True"}, {type: Healthy, status: "False", lastProbeTime: "2026-01-01T00:00:00Z"}]}
`
	vms = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: reviews, namespace: shop}
spec:
  metadata: {labels: {app.kubernetes.io/name: reviews}}
  template: {ports: {grpc: 3550, http: 8080}, serviceAccount: default}
  probe: {initialDelaySeconds: 5, httpGet: {path: /foo/bar, host: 127.0.0.1, port: 3100, scheme: HTTPS, httpHeaders: [{name: Lit-Header, value: so}]}}
`
	peers = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  mtls: {mode: STRICT}
  portLevelMtls:
    8080: {mode: DISABLE}
    "9090": {mode: PERMISSIVE}
`
	tokens = `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: web, namespace: shop}
spec:
  jwtRules:
  - issuer: https://issuer.example
    jwks_uri: https://issuer.example/keys
    fromHeaders: [{name: x-token, prefix: "Bearer "}]
`
	authorization = `
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  action: DENY
  rules:
  - from: [{source: {notPrincipals: ["*/sa/ops"]}}]
    to: [{operation: {paths: [/admin*], methods: [GET, POST]}}]
  - when: [{key: "request.headers[x-tier]", notValues: ["*"]}]
`
)

func TestManifestsAsUsersWriteThem(t *testing.T) {
	d := func(p *durationpb.Duration) any { return p.AsDuration() }
	for name, tc := range map[string]struct {
		text string
		got  func(spec any) []any
		want []any
	}{
		"VirtualService": {routes, func(spec any) []any {
			h := spec.(*networking.VirtualService).GetHttp()[0]
			return []any{
				d(h.GetTimeout()), d(h.GetRetries().GetPerTryTimeout()), d(h.GetFault().GetDelay().GetFixedDelay()), d(h.GetCorsPolicy().GetMaxAge()),
				h.GetRoute()[0].GetDestination().GetPort().GetNumber(), h.GetRetries().GetRetryRemoteLocalities().GetValue(), h.GetMirrorPercentage().GetValue(),
			}
		}, []any{90 * time.Minute, 250 * time.Millisecond, 2500 * time.Millisecond, 24 * time.Hour, uint32(8080), true, 12.5}},
		"DestinationRule": {rule, func(spec any) []any {
			dr := spec.(*networking.DestinationRule)
			p, o := dr.GetTrafficPolicy().GetConnectionPool(), dr.GetTrafficPolicy().GetOutlierDetection()
			cookie := dr.GetTrafficPolicy().GetPortLevelSettings()[0].GetLoadBalancer().GetConsistentHash().GetHttpCookie()
			warmup := dr.GetTrafficPolicy().GetLoadBalancer().GetWarmup()
			return []any{
				d(p.GetTcp().GetConnectTimeout()), d(p.GetTcp().GetTcpKeepalive().GetInterval()), d(p.GetHttp().GetIdleTimeout()),
				d(o.GetInterval()), d(o.GetBaseEjectionTime()), o.GetConsecutive_5XxErrors().GetValue(), o.GetConsecutiveGatewayErrors().GetValue(),
				d(cookie.GetTtl()), cookie.GetTtl() != nil, d(dr.GetSubsets()[1].GetTrafficPolicy().GetConnectionPool().GetTcp().GetConnectTimeout()),
				d(warmup.GetDuration()), warmup.GetMinimumPercent().GetValue(), warmup.GetAggression().GetValue(),
			}
		}, []any{
			30 * time.Millisecond, 75 * time.Second, time.Hour, 5 * time.Minute, 15 * time.Minute, uint32(7), uint32(5),
			time.Duration(0), true, time.Second / 2, 2 * time.Minute, 10.0, 1.5,
		}},
		"Gateway": {gateway, func(spec any) []any {
			s := spec.(*networking.Gateway).GetServers()
			return []any{len(s), s[0].GetTls().GetMinProtocolVersion(), s[2].GetTls().GetMode()}
		}, []any{3, networking.ServerTLSSettings_TLSV1_2, networking.ServerTLSSettings_AUTO_PASSTHROUGH}},
		"Sidecar": {sidecar, func(spec any) []any {
			s := spec.(*networking.Sidecar)
			return []any{
				d(s.GetIngress()[0].GetConnectionPool().GetTcp().GetConnectTimeout()),
				d(s.GetInboundConnectionPool().GetHttp().GetIdleTimeout()), s.GetOutboundTrafficPolicy().GetMode(),
			}
		}, []any{time.Minute, 90 * time.Minute, networking.OutboundTrafficPolicy_REGISTRY_ONLY}},
		"ServiceEntry": {entries, func(spec any) []any {
			s := spec.(*networking.ServiceEntry)
			return []any{s.GetHosts()[1], s.GetAddresses()[0], s.GetLocation(), s.GetResolution(), s.GetPorts()[1].GetTargetPort(), s.GetWorkloadSelector().GetLabels()["app"]}
		}, []any{
			"*.details.bookinfo.com", "240.1.1.1/32", networking.ServiceEntry_MESH_INTERNAL, networking.ServiceEntry_STATIC, uint32(8080), "details-legacy",
		}},
		"WorkloadEntry": {vm, func(spec any) []any {
			w := spec.(*networking.WorkloadEntry)
			return []any{w.GetAddress(), w.GetPorts()["http"], w.GetWeight(), w.GetServiceAccount(), w.GetNetwork()}
		}, []any{"vm1.vpc01.corp.net", uint32(8080), uint32(8), "details-legacy", "vpc-1"}},
		"WorkloadGroup": {vms, func(spec any) []any {
			g := spec.(*networking.WorkloadGroup)
			return []any{g.GetTemplate().GetPorts()["grpc"], g.GetProbe().GetHttpGet().GetPort(), g.GetProbe().GetInitialDelaySeconds()}
		}, []any{uint32(3550), uint32(3100), int32(5)}},
		"PeerAuthentication": {peers, func(spec any) []any {
			m := spec.(*security.PeerAuthentication).GetPortLevelMtls()
			return []any{m[8080].GetMode(), m[9090].GetMode()}
		}, []any{security.PeerAuthentication_MutualTLS_DISABLE, security.PeerAuthentication_MutualTLS_PERMISSIVE}},
		"EnvoyFilter": {filter, func(spec any) []any {
			f := spec.(*networking.EnvoyFilter)
			p := f.GetConfigPatches()[0]
			return []any{f.GetPriority(), p.GetApplyTo(), p.GetMatch().GetListener().GetPortNumber(), p.GetPatch().GetValue().GetFields()["name"].GetStringValue()}
		}, []any{int32(10), networking.EnvoyFilter_HTTP_FILTER, uint32(8080), "envoy.filters.http.lua"}},
		"RequestAuthentication": {tokens, func(spec any) []any {
			rule := spec.(*security.RequestAuthentication).GetJwtRules()[0]
			return []any{rule.GetIssuer(), rule.GetJwksUri(), rule.GetFromHeaders()[0].GetPrefix()}
		}, []any{"https://issuer.example", "https://issuer.example/keys", "Bearer "}},
		"AuthorizationPolicy": {authorization, func(spec any) []any {
			p := spec.(*security.AuthorizationPolicy)
			return []any{p.GetAction(), p.GetRules()[0].GetFrom()[0].GetSource().GetNotPrincipals()[0], len(p.GetRules()[1].GetWhen())}
		}, []any{security.AuthorizationPolicy_DENY, "*/sa/ops", 1}},
	} {
		t.Run(name, func(t *testing.T) {
			objects, problems := Decode([]byte(tc.text), name)
			problems = slices.DeleteFunc(problems, func(p model.Problem) bool { return p.Reason == model.ReasonNotTranslated })
			if len(objects) != 1 || len(problems) != 0 {
				t.Fatalf("%v, %v", objects, problems)
			}
			if got := tc.got(objects[0].Spec); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
		})
	}
}

// observed is as Istio's documentation has it.
const observed = `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-default, namespace: istio-system}
spec:
  accessLogging:
  - providers: [{name: envoy}]
  metrics:
  - overrides:
    - match: {metric: ALL_METRICS, mode: CLIENT_AND_SERVER}
      tagOverrides: {response_flags: {operation: REMOVE}}
`

// proxies is a ProxyConfig as Istio's documentation has it.
const proxies = `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: concurrency, namespace: default}
spec: {selector: {matchLabels: {app: ratings}}, concurrency: 0, image: {imageType: debug}, environmentVariables: {A: b}}
`

// filter is an EnvoyFilter as Istio's documentation has it.
const filter = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua, namespace: default}
spec:
  workloadSelector: {labels: {app: reviews}}
  priority: 10
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND, proxy: {proxyVersion: '^1\\.3.*'}, listener: {portNumber: 8080, filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}
    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.lua, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inlineCode: x}}}
`

// Of a status counts what decides about proxies; the rest, which its controllers write, is no value.
func TestStatus(t *testing.T) {
	for text, want := range map[string]string{
		entries: "addresses:{value:\"240.240.0.9\" host:\"details.bookinfo.com\"}",
		vm:      "conditions:{type:\"Healthy\" status:\"False\" last_probe_time:{seconds:1767225600}}",
		vms:     "",
	} {
		objects, _ := Decode([]byte(text), "x.yaml")
		got := ""
		if objects[0].Status != nil {
			got = strings.ReplaceAll(prototext.MarshalOptions{}.Format(objects[0].Status), "  ", " ")
		}
		if got != want {
			t.Errorf("%v: status %q, want %q", objects[0].Key, got, want)
		}
	}
	objects, problems := Decode([]byte(strings.Replace(vm, `status: "False"`, `status: []`, 1)), "x.yaml")
	problems = slices.DeleteFunc(problems, func(p model.Problem) bool { return p.Reason == model.ReasonNotTranslated })
	if len(objects) != 1 || len(problems) != 1 || problems[0].Field != "status" || problems[0].Severity != model.SeverityWarning {
		t.Errorf("a status that does not parse: %v, %v", objects, problems)
	}
}

func TestEveryTranslatedKindHasAManifest(t *testing.T) {
	all := map[model.Kind]bool{}
	for _, text := range []string{routes, rule, gateway, sidecar, entries, vm, vms, peers, filter, proxies, observed, authorization, tokens} {
		objects, _ := Decode([]byte(text), "x.yaml")
		for _, o := range objects {
			all[o.Kind] = true
		}
	}
	for kind := range kinds.OfIstio() {
		if !all[kind] {
			t.Errorf("no manifest of %s", kind)
		}
	}
}

func TestWrongDurationOfTheMesh(t *testing.T) {
	objects, problems := Decode([]byte("defaultConfig:\n  drainDuration: soon\n"), "mesh.yaml")
	if len(objects) != 0 || len(problems) != 1 || problems[0].Field != "defaultConfig.drainDuration" {
		t.Errorf("%v %v", objects, problems)
	}
}
