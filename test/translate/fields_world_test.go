package translate

// worldYAML is the mesh in which the fields of an object are tried.
const worldYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec:
  clusterIP: 10.96.0.10
  selector: {app: reviews}
  ports: [{name: http, port: 9080}, {name: grpc, port: 9090}, {name: tcp, port: 9000}, {name: tls, port: 9443}, {name: auto, port: 9999}]
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default, annotations: {networking.istio.io/exportTo: "*"}}
spec: {clusterIP: 10.96.0.11, selector: {app: reviews}, ports: [{name: http, port: 9080}, {name: tcp, port: 9000}, {name: grpc, port: 9090}]}
---
apiVersion: v1
kind: Service
metadata: {name: secure, namespace: default}
spec: {clusterIP: 10.96.0.13, selector: {app: reviews}, ports: [{name: tls, port: 9443}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: default}
spec: {clusterIP: 10.96.0.15, selector: {app: reviews}, ports: [{name: tcp, port: 9444}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside, namespace: default}
spec: {host: outside, trafficPolicy: {tls: {mode: SIMPLE, sni: outside}}}
---
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: default}
spec: {clusterIP: 10.96.0.14, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: default}
spec: {clusterIP: None, selector: {app: reviews}, ports: [{name: http, port: 9080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: details, namespace: other}
spec: {clusterIP: 10.96.0.12, selector: {app: details}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v1-0, namespace: default, labels: {app: reviews, version: v1, security.istio.io/tlsMode: istio, topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z}}
spec: {serviceAccountName: default, nodeName: n1, containers: [{name: app, image: x}]}
status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v2-0, namespace: default, labels: {app: reviews, version: v2, topology.kubernetes.io/region: r2}}
spec: {serviceAccountName: default, containers: [{name: app, image: x}]}
status: {podIP: 10.0.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v3-0, namespace: default, labels: {app: reviews, version: v3, topology.kubernetes.io/region: r3}}
spec: {serviceAccountName: default, containers: [{name: app, image: x}]}
status: {podIP: 10.0.0.3, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v4-0, namespace: default, labels: {app: reviews, version: v1}}
spec: {serviceAccountName: default, containers: [{name: app, image: x}]}
status: {podIP: 10.0.0.4, phase: Running, conditions: [{type: Ready, status: "False"}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: other-root}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Pod
metadata: {name: client-0, namespace: default, labels: {app: client, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: default, nodeName: n1, containers: [{name: app, image: x}]}
status: {podIP: 10.0.0.9, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway-0, namespace: default, labels: {istio: ingressgateway, gateway.networking.k8s.io/gateway-name: gw, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: gw, containers: [{name: istio-proxy, image: x}]}
status: {podIP: 10.0.0.8, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: default}
spec: {clusterIP: 10.96.9.9, selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: istio}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: classed, annotations: {kubernetes.io/ingress.class: istio}}
spec: {rules: [{host: classed.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: reviews, port: {number: 9080}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: unclassed}
spec: {rules: [{host: unclassed.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: reviews, port: {number: 9080}}}}]}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gw, namespace: default}
spec:
  hosts: ["*"]
  gateways: [gw, walked]
  http: [{match: [{uri: {exact: /redirect}}], redirect: {uri: /x}}, {match: [{uri: {exact: /direct}}], directResponse: {status: 404}}, {route: [{destination: {host: reviews, port: {number: 9080}}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http: [{route: [{destination: {host: ratings, subset: v1}, weight: 50}, {destination: {host: ratings}, weight: 50}]}]
  tcp: [{match: [{destinationSubnets: [10.97.0.0/16]}], route: [{destination: {host: ratings, subset: v1, port: {number: 9000}}}]}, {route: [{destination: {host: ratings, subset: v1, port: {number: 9000}}, weight: 50}, {destination: {host: ratings, port: {number: 9000}}, weight: 50}]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns, namespace: default}
spec: {hosts: [dns.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: elsewhere, namespace: other}
spec: {hosts: [elsewhere.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine, namespace: default, labels: {app: machine}}
spec: {address: 10.0.0.50, ports: {x: 7777}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: default}
spec: {http: [{route: [{destination: {host: reviews}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v2, namespace: default}
spec: {http: [{route: [{destination: {host: ratings}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part, namespace: v2}
spec: {http: [{redirect: {uri: /x}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: timeout, namespace: default}
spec: {configPatches: [{applyTo: CLUSTER, match: {cluster: {name: outbound|9000||ratings.default.svc.cluster.local}}, patch: {operation: MERGE, value: {connect_timeout: 5s}}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: default}
spec: {selector: {matchLabels: {app: reviews}}, action: CUSTOM, provider: {name: asked}, rules: [{to: [{operation: {paths: [/asked]}}]}]}
`

var virtualServiceBases = []string{
	`
hosts: [reviews]
http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews, port: {number: 9080}}}]}]
tcp: [{match: [{port: 9000}], route: [{destination: {host: reviews, port: {number: 9000}}}]}]
tls: [{match: [{port: 9443, sniHosts: [reviews]}], route: [{destination: {host: reviews, port: {number: 9443}}}]}]
`,
	`
hosts: [reviews]
http: [{route: [{destination: {host: reviews}, weight: 50}, {destination: {host: ratings}, weight: 50}]}]
tcp: [{route: [{destination: {host: reviews}, weight: 50}, {destination: {host: ratings, port: {number: 9000}}, weight: 50}]}]
tls: [{match: [{sniHosts: [reviews]}], route: [{destination: {host: reviews, port: {number: 9443}}, weight: 50}, {destination: {host: secure}, weight: 50}]}]
`,
	`{hosts: [reviews], http: [{redirect: {uri: /b, authority: b}}]}`,
	`{hosts: [reviews, "*.example.com"], tls: [{match: [{port: 9443, sniHosts: [a.example.com]}], route: [{destination: {host: secure}}]}]}`,
	`{hosts: [reviews], http: [{match: [{uri: {prefix: /a}}], redirect: {authority: b}}]}`,
	`{hosts: [reviews], http: [{directResponse: {status: 200, body: {string: x}}}]}`,
	`{hosts: [reviews], http: [{delegate: {name: part}}]}`,
	`
hosts: [reviews]
http:
- rewrite: {uriRegexRewrite: {match: "/a(.*)", rewrite: "/b"}}
  retries: {attempts: 3}
  mirror: {host: reviews, port: {number: 9080}}
  mirrorPercentage: {value: 7}
  fault: {delay: {fixedDelay: 1s, percentage: {value: 7}}, abort: {httpStatus: 500, percentage: {value: 7}}}
  route: [{destination: {host: reviews}}]
`,
	`{hosts: [reviews], http: [{mirrors: [{destination: {host: reviews, port: {number: 9080}}, percentage: {value: 7}}], route: [{destination: {host: reviews}}]}]}`,
	`{hosts: [reviews], http: [{mirror: {host: ratings}, fault: {delay: {fixedDelay: 1s}, abort: {httpStatus: 500}}, route: [{destination: {host: reviews}}]}]}`,
}

// farYAML is what another cluster of the mesh has.
const farYAML = `
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.97.0.11, selector: {app: reviews}, ports: [{name: http, port: 9080}, {name: tcp, port: 9000}, {name: grpc, port: 9090}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v1-0, namespace: default, labels: {app: reviews, version: v1}}
spec: {serviceAccountName: default, containers: [{name: app, image: x}]}
status: {podIP: 10.9.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
`

// policies are traffic policies, each of which is tried in all places where one may stand.
var policies = []string{
	`loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 1s, attributes: [{name: a}]}, ringHash: {}}}`,
	`loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {}}}`,
	`outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: r/z/*, to: {r/*: 80, r2/*: 20}}]}, warmup: {duration: 3s}}`,
	`outlierDetection: {splitExternalLocalOriginErrors: true}, loadBalancer: {localityLbSetting: {failover: [{from: r, to: r2}]}}`,
	`outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {}}`,
	`loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {failover: [{from: r, to: r2}]}}`,
	`connectionPool: {tcp: {tcpKeepalive: {}}, http: {http2KeepAlive: {interval: 9s, timeout: 9s}}}`,
	`tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r}`,
	`tls: {mode: SIMPLE, caCertificates: /r}`,
	`tls: {mode: SIMPLE}`,
}

var destinationRuleBases = destinationRules()

func destinationRules() []string {
	out := []string{
		`{host: ratings, subsets: [{name: v1}]}`,
		`{host: headless, workloadSelector: {matchLabels: {app: client}}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}, subsets: [{name: a}]}`,
		`{host: headless, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}`,
		`{host: ratings, trafficPolicy: {tunnel: {targetHost: a.example.com, targetPort: 443}}}`,
		`{host: ratings, subsets: [{name: v1, trafficPolicy: {tunnel: {targetHost: a.example.com, targetPort: 443}}}]}`,
	}
	for _, p := range policies {
		out = append(out, `{host: ratings, trafficPolicy: {`+p+`}, subsets: [{name: v1}]}`, `{host: ratings, subsets: [{name: v1, trafficPolicy: {`+p+`}}]}`)
		for _, port := range []string{"9080", "9000", "9090"} {
			at := `portLevelSettings: [{port: {number: ` + port + `}, ` + p + `}]`
			out = append(out, `{host: ratings, trafficPolicy: {`+at+`}, subsets: [{name: v1}]}`, `{host: ratings, subsets: [{name: v1, trafficPolicy: {`+at+`}}]}`)
		}
	}
	return out
}

var serviceEntryBases = []string{
	`{hosts: [walked.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 9080, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.60, serviceAccount: a}]}`,
	`{hosts: [walked.example.com], resolution: STATIC, ports: [{number: 9080, name: http, protocol: HTTP}], workloadSelector: {labels: {app: machine}}}`,
	`{hosts: [walked.example.com], resolution: DNS, ports: [{number: 9080, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.60}]}`,
}

var workloadEntryBases = []string{`{address: 10.0.0.61, labels: {app: reviews}, serviceAccount: a}`}

var workloadGroupBases = []string{`{metadata: {labels: {app: reviews}}, template: {serviceAccount: a}}`, `{template: {labels: {app: reviews}, serviceAccount: a}}`}

var gatewayBases = []string{
	`{selector: {istio: ingressgateway}, servers: [{port: {number: 8000, name: http, protocol: HTTP}, hosts: ["*"]}]}`,
	`{selector: {istio: ingressgateway}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: ["*"]}]}`,
	`{selector: {istio: ingressgateway}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, tls: {mode: MUTUAL, credentialName: c}, hosts: ["*"]}]}`,
	`{selector: {istio: ingressgateway}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /a}, hosts: ["*"]}]}`,
	`{selector: {istio: ingressgateway}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, tls: {mode: MUTUAL, tlsCertificates: [{serverCertificate: /c, privateKey: /k}]}, hosts: ["*"]}]}`,
}

var sidecarBases = []string{
	`{}`,
	`{egress: [{hosts: [./*]}]}`,
	`{workloadSelector: {labels: {app: client}}, egress: [{hosts: [./ratings.default.svc.cluster.local]}]}`,
	`{egress: [{port: {number: 9080, protocol: HTTP, name: x}, hosts: [./*]}]}`,
	`{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: ratings, port: {number: 9080}}}}`,
	`{ingress: [{port: {number: 9080, protocol: HTTP, name: x}, defaultEndpoint: "127.0.0.1:9000", connectionPool: {tcp: {tcpKeepalive: {}}, http: {http2KeepAlive: {interval: 9s, timeout: 9s}}}}]}`,
	`{ingress: [{port: {number: 9443, protocol: HTTPS, name: x}, captureMode: NONE, defaultEndpoint: "127.0.0.1:9000", tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /r}}]}`,
	`{ingress: [{port: {number: 9443, protocol: HTTPS, name: x}, captureMode: NONE, defaultEndpoint: "127.0.0.1:9000", tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k, caCertificates: /r}}]}`,
	`{ingress: [{port: {number: 9080, protocol: GRPC, name: x}, defaultEndpoint: "127.0.0.1:9000", connectionPool: {http: {http2KeepAlive: {interval: 9s, timeout: 9s}}}}]}`,
	`{inboundConnectionPool: {tcp: {tcpKeepalive: {}}, http: {http2KeepAlive: {interval: 9s, timeout: 9s}}}}`,
}

var peerAuthenticationBases = []string{`{}`, `{selector: {matchLabels: {app: reviews}}, mtls: {mode: STRICT}, portLevelMtls: {9080: {mode: DISABLE}}}`, `{selector: {matchLabels: {app: reviews}}, portLevelMtls: {9080: {mode: STRICT}}}`}

var telemetryBases = []string{
	`{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]}`,
	`{metrics: [{overrides: [{match: {metric: REQUEST_DURATION}, disabled: true}]}]}`,
	`{metrics: [{overrides: [{disabled: true}]}]}`,
	`{metrics: [{overrides: [{tagOverrides: {response_flags: {operation: REMOVE}}}]}]}`,
	`{metrics: [{overrides: [{tagOverrides: {response_flags: {}}}]}]}`,
	`{accessLogging: [{match: {}, providers: [{name: envoy}]}]}`,
	`{accessLogging: [{providers: [{name: envoy}], filter: {}}]}`,
	`{tracing: [{match: {}, providers: [{name: otel}], customTags: {x-key: {literal: {value: a}}}}]}`,
	`{tracing: [{match: {}, providers: [{name: otel}], customTags: {x-key: {header: {name: a}}}}]}`,
	`{tracing: [{match: {}, providers: [{name: otel}], customTags: {x-key: {environment: {name: a}}}}]}`,
	`{tracing: [{match: {}, providers: [{name: otel}], customTags: {x-key: {formatter: {value: a}}}}]}`,
	`{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}], metrics: [{overrides: [{disabled: true}]}]}`,
	`{targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: gw}, metrics: [{overrides: [{disabled: true}]}]}`,
}

var authorizationPolicyBases = []string{
	`{}`,
	`{rules: [{from: [{source: {principals: [a]}}], to: [{operation: {methods: [GET]}}], when: [{key: source.ip, values: [10.0.0.1]}]}]}`,
	`{action: CUSTOM, provider: {name: ext}, rules: [{}]}`,
	`{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]}`,
	`{targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: gw}}`,
}

var requestAuthenticationBases = []string{
	`{jwtRules: [{issuer: a, jwks: '{"keys":[{"kty":"EC","x":"a"}]}'}]}`,
	`{jwtRules: [{issuer: a, jwks: '{"keys":[{"kty":"EC","x":"a"}]}', fromHeaders: [{name: x-a}], outputClaimToHeaders: [{header: x-b, claim: c}]}]}`,
	`{jwtRules: [{issuer: a}], targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]}`,
	`{jwtRules: [{issuer: a}], targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: gw}}`,
	`{jwtRules: [{issuer: https://a.example}]}`,
}

var meshBases = []string{
	`{}`,
	`{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r}}, extensionProviders: [{name: asked, envoyExtAuthzHttp: {service: reviews.default.svc.cluster.local, port: 9080, includeRequestBodyInCheck: {maxRequestBytes: 9}}}], defaultTrafficPolicy: {outlierDetection: {splitExternalLocalOriginErrors: true}, connectionPool: {tcp: {tcpKeepalive: {}}, http: {http2KeepAlive: {interval: 9s, timeout: 9s}}}}}`,
	`{extensionProviders: [{name: asked, envoyExtAuthzGrpc: {service: reviews.default.svc.cluster.local, port: 9090, includeRequestBodyInCheck: {maxRequestBytes: 9}}}], localityLbSetting: {enabled: true, distribute: [{from: r/z/*, to: {r/*: 80, r2/*: 20}}]}, accessLogFile: /dev/stdout, defaultHttpRetryPolicy: {attempts: 7}}`,
	`{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE, caCertificates: /r}}, extensionProviders: [{name: other, envoyExtAuthzHttp: {service: reviews.default.svc.cluster.local, port: 9080, includeRequestBodyInCheck: {maxRequestBytes: 9}}}], localityLbSetting: {enabled: true, failover: [{from: r, to: r2}]}, defaultTrafficPolicy: {outlierDetection: {}}}`,
	`{extensionProviders: [{name: otel, opentelemetry: {service: ratings.default.svc.cluster.local, port: 9080, http: {path: /v1/traces, headers: [{name: x-a, value: a}]}}}], defaultProviders: {tracing: [otel]}, defaultConfig: {tracing: {customTags: {x-key: {literal: {value: a}}}}}}`,
	`{extensionProviders: [{name: otel, opentelemetry: {service: ratings.default.svc.cluster.local, port: 9080, resourceDetectors: {}, grpc: {initialMetadata: [{name: x-a, value: a}]}}}], defaultProviders: {tracing: [otel]}, defaultConfig: {tracing: {customTags: {x-key: {header: {name: a}}}}}}`,
	`{extensionProviders: [{name: otel, opentelemetry: {service: ratings.default.svc.cluster.local, port: 9080, http: {path: /v1/traces}, dynatraceSampler: {httpService: {service: ratings.default.svc.cluster.local, port: 9080, http: {path: /a, headers: [{name: x-a, value: a}]}}}}}], defaultProviders: {tracing: [otel]}}`,
	`{extensionProviders: [{name: otel, zipkin: {service: ratings.default.svc.cluster.local, port: 9080, headers: [{name: x-a, value: a}]}}], defaultProviders: {tracing: [otel]}, defaultConfig: {tracing: {customTags: {x-key: {environment: {name: a}}}}}}`,
	`{extensionProviders: [{name: otel, datadog: {service: ratings.default.svc.cluster.local, port: 9080}}], defaultProviders: {tracing: [otel]}}`,
	`{extensionProviders: [{name: otel, skywalking: {service: ratings.default.svc.cluster.local, port: 9080}}], defaultProviders: {tracing: [otel]}}`,
	`{extensionProviders: [{name: logs, envoyFileAccessLog: {logFormat: {text: a}}}], defaultProviders: {accessLogging: [logs]}}`,
	`{extensionProviders: [{name: logs, envoyHttpAls: {service: ratings.default.svc.cluster.local, port: 9080}}], defaultProviders: {accessLogging: [logs]}}`,
	`{extensionProviders: [{name: logs, envoyTcpAls: {service: ratings.default.svc.cluster.local, port: 9080}}], defaultProviders: {accessLogging: [logs]}}`,
	`{extensionProviders: [{name: logs, envoyOtelAls: {service: ratings.default.svc.cluster.local, port: 9080, logFormat: {}}}], defaultProviders: {accessLogging: [logs]}}`,
	`{defaultConfig: {tracing: {zipkin: {address: "a:1"}}}}`,
	`{serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: NONE, policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [default, other]}]}}]}]}}`,
	`{serviceEntryVisibility: {defaultVisibility: NONE}}`,
	`{serviceEntryVisibility: {applyToSidecars: true}}`,
	`{serviceSettings: [{hosts: [ratings.default.svc.cluster.local], settings: {clusterLocal: true}}]}`,
	`{serviceSettings: [{hosts: [ratings.default.svc.cluster.local], settings: {}}]}`,
	`{zoneAwareLbSetting: {failover: [{from: r, to: r2}]}}`,
	`{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}}`,
}

// samples are values of fields, by the end of their path, that mean something where none of the usual
// ones does. The first that fits counts.
var samples = []struct {
	path   string
	values []string
}{
	{"outlierDetectionHttpErrorCodes", []string{"[429]"}},
	{".tunnel.protocol", []string{`"POST"`}},
	{"EnvoyFilter.priority", []string{`-1`}},
	{"VirtualService.http.corsPolicy.allowMethods", []string{`["PUT"]`}},
	{"WindowSize", []string{`65537`}},
	{"VirtualService.tls.match.sniHosts", []string{`["b.example.com"]`}},
	{".verifyCertificateSpki", []string{`["E3NGVPCoRYNSFYTtSD1XmHqcXqDM4HBuJKc1QMRyUWw="]`}},
	{".verifyCertificateHash", []string{`["df6ff72fe9116521268f6f2dd4966f51df479883fe7037b39f75916ac3049d1a"]`}},
	{".warmup.aggression", []string{`3`}},
	{"defaultConfig.zipkinAddress", []string{`"b:2"`}},
	{"tracing.zipkin.address", []string{`"b:2"`}},
	{"tracing.datadog.address", []string{`"b:2"`}},
	{"AuthorizationPolicy.rules.when.key", []string{`"source.namespace"`}},
	{"EnvoyFilter.configPatches.patch.value", []string{`{"connect_timeout": "4s"}`}},
	{"MeshConfig.extensionProviders.name", []string{`"asked"`}},
	{"MeshConfig.extensionProviders.envoyExtAuthzHttp.service", []string{`"ratings.default.svc.cluster.local"`}},
	{"MeshConfig.extensionProviders.envoyExtAuthzGrpc.service", []string{`"ratings.default.svc.cluster.local"`}},
	{"MeshConfig.extensionProviders.envoyExtAuthzHttp.port", []string{`9000`}},
	{"MeshConfig.extensionProviders.envoyExtAuthzGrpc.port", []string{`9000`}},
	{".dynatraceSampler.httpService.port", []string{`9000`}},
	{".dynatraceSampler.httpService.service", []string{`"details.other.svc.cluster.local"`}},
	{".envName", []string{`"COLLECTOR_KEY"`}},
	{"extensionProviders.opentelemetry.port", []string{`9000`}},
	{"extensionProviders.zipkin.port", []string{`9000`}},
	{"extensionProviders.datadog.port", []string{`9000`}},
	{"extensionProviders.skywalking.port", []string{`9000`}},
	{"Als.port", []string{`9000`}},
	{"extensionProviders.datadog.service", []string{`"details.other.svc.cluster.local"`}},
	{"extensionProviders.skywalking.service", []string{`"details.other.svc.cluster.local"`}},
	{"Als.service", []string{`"details.other.svc.cluster.local"`}},
	{"envoyFileAccessLog.path", []string{`"/dev/stderr"`}},
	{"envoyOtelAls.logFormat.labels", []string{`{"x": "%RESPONSE_CODE%"}`}},
	{"MeshConfig.serviceSettings.hosts", []string{`["reviews.default.svc.cluster.local"]`}},
	{"MeshConfig.defaultProviders.accessLogging", []string{`["envoy"]`}},
	{"extensionProviders.zipkin.service", []string{`"details.other.svc.cluster.local"`}},
	{"extensionProviders.opentelemetry.service", []string{`"details.other.svc.cluster.local"`, `"default/ratings.default.svc.cluster.local"`}},
	{"Telemetry.accessLogging.providers.name", []string{`"envoy"`}},
	{"Telemetry.accessLogging.filter.expression", []string{`"response.code >= 400"`}},
	{"tagOverrides.value", []string{`"request.method"`}},
	{"jwtRules.jwks", []string{`"{\"keys\":[{\"kty\":\"RSA\"}]}"`}},
	{"jwtRules.jwksUri", []string{`"https://keys.example"`}},
	{"MeshConfig.caCertificates.spiffeBundleUrl", []string{`"https://far.example"`}},
	{"MeshConfig.caCertificates.pem", []string{`"-----BEGIN CERTIFICATE-----\nMIIBbzCCARWgAwIBAgIUViht6oWF6jUlqKzQlME/oRNgq/owCgYIKoZIzj0EAwIw\nDDEKMAgGA1UEAwwBYTAgFw0yNjExMjkwMjA1MDZaGA8yMTI2MTEwNTAyMDUwNlow\nDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFaqHahR6HI1\n8bd5WO4AC2mfE9jw1rrWi3tBNRg7BZ75RcuxXB+KK3TZ6DO9c2G1CmVogxjgxdX7\njvQjcpmL166jUzBRMB0GA1UdDgQWBBTAcNBKeFXOjQIE3ee5yclLDKyJYDAfBgNV\nHSMEGDAWgBTAcNBKeFXOjQIE3ee5yclLDKyJYDAPBgNVHRMBAf8EBTADAQH/MAoG\nCCqGSM49BAMCA0gAMEUCIHg/Qwv4ap6rjJaf+25omcStZBz1o5a79YAN50jdN4He\nAiEAyW1+RIzbZ2UkIOosmWNenQNXrUwFJ/5aQ29Mga+8s/M=\n-----END CERTIFICATE-----\n"`}},
	{"MeshConfig.meshMTLS.cipherSuites", []string{`["AES128-SHA"]`}},
	{"MeshConfig.tlsDefaults.cipherSuites", []string{`["AES128-SHA"]`}},
	{"MeshConfig.tlsDefaults.ecdhCurves", []string{`["P-384"]`}},
	{"MeshConfig.accessLogFile", []string{`"/dev/stderr"`}},
	{"DestinationRule.host", []string{`"details.other.svc.cluster.local"`}},
	{"tls.route.destination.host", []string{`"secure"`}},
	{".destination.host", []string{`"ratings"`, `"headless"`}},
	{".mirror.host", []string{`"ratings"`, `"headless"`}},
	{"ServiceEntry.hosts", []string{`["a.example.com"]`}},
	{"ServiceEntry.ports.protocol", []string{`"TCP"`}},
	{"ServiceEntry.endpoints.ports", []string{`{"http": 7}`}},
	{"WorkloadEntry.ports", []string{`{"http": 7}`}},
	{"WorkloadGroup.template.ports", []string{`{"http": 7}`}},
	{".port.number", []string{`9090`, `9000`, `9080`}},
	{".redirect.redirectCode", []string{`302`}},
	{".redirect.prefixRewrite", []string{`"/x"`}},
	{".redirect.scheme", []string{`"https"`}},
	{".directResponse.status", []string{`404`}},
	{".body.bytes", []string{`"eHl6"`}},
	{".retries.retryOn", []string{`"gateway-error"`}},
	{".abort.httpStatus", []string{`404`}},
	{".abort.grpcStatus", []string{`"UNAVAILABLE"`, `"14"`, `"x"`}},
	{"http.timeout", []string{`"7s"`, `"0s"`, `"0.0005s"`}},
	{"retries.attempts", []string{`3`, `0`, `-1`}},
	{"retries.perTryTimeout", []string{`"7s"`, `"0s"`}},
	{"route.weight", []string{`3`, `0`}},
	{"ercentage.value", []string{`3`, `0`, `0.00001`, `101`}},
	{".tcp.connectTimeout", []string{`"7s"`, `"0s"`}},
	{".tcp.idleTimeout", []string{`"7s"`, `"0s"`}},
	{".http.idleTimeout", []string{`"7s"`, `"0s"`}},
	{".maxEjectionPercent", []string{`3`, `0`, `101`}},
	{".minHealthPercent", []string{`3`, `101`}},
	{".httpCookie.ttl", []string{`"7s"`, `"0s"`}},
	{".tls.sni", []string{`"x"`, `""`}},
	{".retries.retryRemoteLocalities", []string{`true`}},
	{".distribute.from", []string{`"*"`, `"x/*"`}},
	{".distribute.to", []string{`{"r/*": 70, "r2/*": 30}`}},
	{".failoverPriority", []string{`["version=v2"]`, `["version"]`, `["topology.kubernetes.io/region", "version=v2"]`}},
	{".failover.from", []string{`"q"`}},
	{".failover.to", []string{`"r3"`}},
	{".maglev.tableSize", []string{`101`}},
	{"Gateway.servers.port.protocol", []string{`"HTTP2"`, `"GRPC"`, `"TCP"`}},
	{".tls.cipherSuites", []string{`["AES256-SHA"]`}},
	{"Gateway.servers.hosts", []string{`["a.example.com"]`}},
	{".defaultEndpoint", []string{`"127.0.0.1:9001"`}},
	{".ingress.port.protocol", []string{`"TCP"`}},
	{".egress.port.protocol", []string{`"TCP"`}},
	{".egressProxy.host", []string{`"reviews"`}},
	{".egress.hosts", []string{`["./ratings.default.svc.cluster.local"]`}},
	{"Sidecar.workloadSelector.labels", []string{`{"app": "nobody"}`}},
	{".matchLabels", []string{`{"app": "nobody"}`}},
	{"namespaceSelector.matchExpressions.key", []string{`"x"`}},
	{"namespaceSelector.matchExpressions.operator", []string{`"NotIn"`}},
	{".accessLogFormat", []string{`"%RESPONSE_CODE%"`}},
	{".rootNamespace", []string{`"other-root"`}},
	{".defaultServiceExportTo", []string{`["."]`}},
	{"xportTo", []string{`["~"]`, `["other"]`}},
}

// actsElsewhere are fields that act outside of the translation, each with a file that reads them.
var actsElsewhere = map[string]string{
	"WorkloadGroup.metadata.annotations":                                            "pilot/machine/group.go",
	"WorkloadGroup.probe.initialDelaySeconds":                                       "agent/health/probe.go",
	"WorkloadGroup.probe.timeoutSeconds":                                            "agent/health/probe.go",
	"WorkloadGroup.probe.periodSeconds":                                             "agent/health/probe.go",
	"WorkloadGroup.probe.successThreshold":                                          "agent/health/probe.go",
	"WorkloadGroup.probe.failureThreshold":                                          "agent/health/probe.go",
	"WorkloadGroup.probe.httpGet.path":                                              "agent/health/probe.go",
	"WorkloadGroup.probe.httpGet.port":                                              "agent/health/probe.go",
	"WorkloadGroup.probe.httpGet.host":                                              "agent/health/probe.go",
	"WorkloadGroup.probe.httpGet.scheme":                                            "agent/health/probe.go",
	"WorkloadGroup.probe.httpGet.httpHeaders.name":                                  "agent/health/probe.go",
	"WorkloadGroup.probe.httpGet.httpHeaders.value":                                 "agent/health/probe.go",
	"WorkloadGroup.probe.tcpSocket.host":                                            "agent/health/probe.go",
	"WorkloadGroup.probe.tcpSocket.port":                                            "agent/health/probe.go",
	"WorkloadGroup.probe.exec.command":                                              "agent/health/probe.go",
	"WorkloadGroup.probe.grpc.port":                                                 "agent/health/probe.go",
	"WorkloadGroup.probe.grpc.service":                                              "agent/health/probe.go",
	"ProxyConfig.selector.matchLabels":                                              "pilot/inject/proxyconfig_object.go",
	"RequestAuthentication.jwtRules.timeout":                                        "pilot/model/keyset.go",
	"ProxyConfig.concurrency":                                                       "pilot/inject/proxyconfig_object.go",
	"ProxyConfig.environmentVariables":                                              "pilot/inject/proxyconfig_object.go",
	"ProxyConfig.image.imageType":                                                   "pilot/inject/data.go",
	"MeshConfig.defaultConfig.tracingServiceName":                                   "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.mode":                             "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.clientCertificate":                "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.privateKey":                       "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.caCertificates":                   "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.caCrl":                            "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.subjectAltNames":                  "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.sni":                              "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.tracing.tlsSettings.insecureSkipVerify":               "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.discoverySelectors.matchLabels":                                     "pilot/model/discovery.go",
	"MeshConfig.discoverySelectors.matchExpressions.key":                            "pilot/model/discovery.go",
	"MeshConfig.discoverySelectors.matchExpressions.operator":                       "pilot/model/discovery.go",
	"MeshConfig.discoverySelectors.matchExpressions.values":                         "pilot/model/discovery.go",
	"MeshConfig.enablePrometheusMerge":                                              "pilot/inject/prometheus.go",
	"MeshConfig.defaultConfig.binaryPath":                                           "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.serviceCluster":                                       "agent/bootstrap/node.go",
	"MeshConfig.defaultConfig.drainDuration":                                        "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.discoveryAddress":                                     "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.proxyAdminPort":                                       "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.controlPlaneAuthPolicy":                               "agent/config.go",
	"MeshConfig.defaultConfig.concurrency":                                          "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.interceptionMode":                                     "pilot/inject/files/sidecar.yaml",
	"MeshConfig.defaultConfig.proxyMetadata":                                        "pilot/inject/files/common.yaml",
	"MeshConfig.defaultConfig.statusPort":                                           "pilot/inject/data.go",
	"MeshConfig.defaultConfig.extraStatTags":                                        "agent/bootstrap/stats.go",
	"MeshConfig.defaultConfig.terminationDrainDuration":                             "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.proxyStatsMatcher.inclusionPrefixes":                  "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.proxyStatsMatcher.inclusionSuffixes":                  "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps":                   "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.holdApplicationUntilProxyStarts":                      "pilot/inject/data.go",
	"MeshConfig.defaultConfig.image.imageType":                                      "pilot/inject/data.go",
	"MeshConfig.defaultConfig.statsdUdpAddress":                                     "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsServiceAddress":                           "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.customConfigFile":                                     "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.proxyBootstrapTemplatePath":                           "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.runtimeValues":                                        "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.fileFlushInterval":                                    "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.fileFlushMinSizeKb":                                   "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.statsCompression":                                     "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.connectionSettings.globalDownstreamConnectionLimit":   "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.address":                          "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.mode":                 "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.clientCertificate":    "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.privateKey":           "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.caCertificates":       "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.caCrl":                "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.subjectAltNames":      "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.sni":                  "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tlsSettings.insecureSkipVerify":   "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tcpKeepalive.probes":              "agent/bootstrap/telemetry.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tcpKeepalive.time":                "agent/bootstrap/telemetry.go",
	"MeshConfig.defaultConfig.envoyMetricsService.tcpKeepalive.interval":            "agent/bootstrap/telemetry.go",
	"MeshConfig.extensionProviders.opentelemetry.serviceAttributeEnrichment":        "pilot/inject/resource.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.address":                        "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.mode":               "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.clientCertificate":  "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.privateKey":         "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.caCertificates":     "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.caCrl":              "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.subjectAltNames":    "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.sni":                "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tlsSettings.insecureSkipVerify": "agent/proxyconfig/proxyconfig.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tcpKeepalive.probes":            "agent/bootstrap/telemetry.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tcpKeepalive.time":              "agent/bootstrap/telemetry.go",
	"MeshConfig.defaultConfig.envoyAccessLogService.tcpKeepalive.interval":          "agent/bootstrap/telemetry.go",
}

// needNoEffect are fields, and values, without effect of which nothing has to be told, each with the reason.
var needNoEffect = map[string]string{
	"MeshConfig.extensionProviders.opentelemetry.resourceDetectors.environment":  "the environment is always asked",
	"WorkloadGroup.template.address":                                             "each machine has its own, as in Istio",
	"Gateway.servers.name":                                                       "a label for people",
	"Sidecar.ingress.port.name":                                                  "a label for people",
	"Sidecar.egress.port.name":                                                   "a label for people",
	"MeshConfig.hboneIdleTimeout":                                                "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchLabels":               "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchExpressions.key":      "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchExpressions.operator": "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchExpressions.values":   "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchLabels":                "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchExpressions.key":       "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchExpressions.operator":  "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchExpressions.values":    "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.scope":                                       "of ambient mode only, in Istio as well",
	"MeshConfig.defaultConfig.proxyHeaders.metadataExchangeHeaders.mode":         "what is outside of the mesh gets none of these headers anyway",
	"MeshConfig.enableTracing":                                                   "true is the default, and what would be sent where is a problem",
}

// leftOut are fields that are told to have no effect and that change what is sent all the same, each with
// the reason.
var leftOut = map[string]string{
	"Gateway.servers.port.protocol":                                              "servers of other protocols are left out",
	"Gateway.servers.tls.mode":                                                   "servers of other modes are left out",
	"DestinationRule.trafficPolicy.tls.credentialName":                           "acts at gateways, and is told for sidecars",
	"DestinationRule.trafficPolicy.portLevelSettings.tls.credentialName":         "acts at gateways, and is told for sidecars",
	"DestinationRule.subsets.trafficPolicy.tls.credentialName":                   "acts at gateways, and is told for sidecars",
	"DestinationRule.subsets.trafficPolicy.portLevelSettings.tls.credentialName": "acts at gateways, and is told for sidecars",
	"Sidecar.ingress.tls.mode":                                                   "other modes are left out",
	"Gateway.servers.bind":                                                       "servers of other addresses are left out",
	"EnvoyFilter.targetRefs.group":                                               "references to others than Gateways are left out",
	"EnvoyFilter.targetRefs.kind":                                                "references to others than Gateways are left out",
	"EnvoyFilter.configPatches.applyTo":                                          "patches of the bootstrap are left out",
	"EnvoyFilter.configPatches.match.context":                                    "patches of waypoints are left out",
}

// inVain are fields without effect that change what is sent all the same, since they stand where another field
// would, each with the reason.
var inVain = map[string]string{
	"VirtualService.http.fault.delay.exponentialDelay": "takes the place of fixedDelay",
	"VirtualService.http.fault.abort.http2Error":       "takes the place of httpStatus",
	"Telemetry.metrics.overrides.match.customMetric":   "the override is left out",
	"VirtualService.tcp.match.sourceSubnet":            "the match is left out, so as not to take what it should not",
}

// tracedMesh is the mesh of the provider that Telemetry objects name.
const tracedMesh = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "extensionProviders: [{name: x, zipkin: {service: ratings.default.svc.cluster.local, port: 9080}}, {name: otel, opentelemetry: {service: ratings.default.svc.cluster.local, port: 9080}}]"}
`

// withoutMutualTLS lets the port serve TLS of its own, for which Sidecar objects have settings.
const withoutMutualTLS = `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: own, namespace: default}
spec: {selector: {matchLabels: {app: client}}, portLevelMtls: {9443: {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: own-of-reviews, namespace: default}
spec: {selector: {matchLabels: {app: reviews}}, portLevelMtls: {9443: {mode: DISABLE}}}
`
