package translate

// The bases of a kind are specs in any of which each of its fields has to act.

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
	`{hosts: [walked.example.com], addresses: [10.1.9.9], resolution: STATIC, ports: [{number: 9445, name: tcp, protocol: TCP}], endpoints: [{address: 10.0.0.60}]}`,
}

var workloadEntryBases = []string{`{address: 10.0.0.61, labels: {app: reviews}, serviceAccount: a}`}

var workloadGroupBases = []string{
	`{metadata: {labels: {app: reviews}}, template: {serviceAccount: a}}`,
	`{template: {labels: {app: reviews}, serviceAccount: a}}`,
	`{template: {serviceAccount: a}, probe: {httpGet: {port: 8080, httpHeaders: [{name: a, value: b}]}}}`,
	`{template: {serviceAccount: a}, probe: {tcpSocket: {port: 8080}}}`,
	`{template: {serviceAccount: a}, probe: {exec: {command: [a]}}}`,
	`{template: {serviceAccount: a}, probe: {grpc: {port: 8080}}}`,
}

var proxyConfigBases = []string{`{concurrency: 5}`}

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
	`{egress: [{port: {protocol: HTTP, name: x}, bind: "unix:///run/b.sock", hosts: [./*]}]}`,
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
	`{defaultConfig: {tracing: {datadog: {address: "a:1"}, tlsSettings: {mode: SIMPLE}}}}`,
	`{defaultConfig: {tracing: {zipkin: {address: "a:1"}, tlsSettings: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r}}}}`,
	`{defaultConfig: {envoyMetricsService: {address: "a:1", tcpKeepalive: {}, tlsSettings: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r}}, envoyAccessLogService: {address: "a:1", tcpKeepalive: {}, tlsSettings: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /r}}}}`,
	`{defaultConfig: {envoyMetricsService: {address: "a:1", tlsSettings: {mode: SIMPLE}}, envoyAccessLogService: {address: "a:1", tlsSettings: {mode: SIMPLE}}}}`,
	`{discoverySelectors: [{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [default]}]}]}`,
	`{serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: NONE, policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [default, other]}]}}]}]}}`,
	`{serviceEntryVisibility: {defaultVisibility: NONE}}`,
	`{serviceEntryVisibility: {applyToSidecars: true}}`,
	`{serviceSettings: [{hosts: [ratings.default.svc.cluster.local], settings: {clusterLocal: true}}]}`,
	`{serviceSettings: [{hosts: [ratings.default.svc.cluster.local], settings: {}}]}`,
	`{zoneAwareLbSetting: {failover: [{from: r, to: r2}]}}`,
	`{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}}`,
}

var networksBases = []string{
	`{networks: {x-key: {endpoints: [{fromRegistry: nowhere}], gateways: [{address: 203.0.113.1, port: 443}]}}}`,
	`{networks: {x-key: {endpoints: [{fromRegistry: Kubernetes}], gateways: [{address: 203.0.113.1, port: 443}]}}}`,
}
