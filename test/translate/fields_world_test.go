package translate

// worldYAML is the mesh in which the fields of an object are tried.
const worldYAML = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {meshNetworks: '{networks: {x: {gateways: [{address: 203.0.113.1, port: 443}]}}}'}
---
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

// The pods of the proxies, as users write them.
const (
	clientPod = `
metadata:
  name: client-0
  namespace: default
  labels: {app: client, service.istio.io/canonical-name: shop}
  annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080"}
spec:
  serviceAccountName: default
  nodeName: n1
  containers: [{name: app, image: x, ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /ready, port: 8080}}}]
status: {podIP: 10.0.0.9, hostIP: 10.0.1.1}
`
	serverPod = `
metadata: {name: reviews-v1-0, namespace: default, labels: {app: reviews, version: v1}}
spec: {serviceAccountName: default, nodeName: n1, containers: [{name: app, image: x}]}
status: {podIP: 10.0.0.1, hostIP: 10.0.1.1}
`
	gatewayPod = `
metadata:
  name: gateway-0
  namespace: default
  labels: {istio: ingressgateway}
  annotations: {inject.istio.io/templates: gateway}
spec: {serviceAccountName: gw, nodeName: n1, containers: [{name: istio-proxy, image: auto}]}
status: {podIP: 10.0.0.8, hostIP: 10.0.1.1}
`
)
