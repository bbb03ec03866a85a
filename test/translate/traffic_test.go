package translate

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// The services of the cases below, with one port each but where it matters.
const servicesYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.3, selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: details, namespace: default}
spec: {clusterIP: 10.96.0.4, selector: {app: details}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
`

// outbound names the cluster of a service of the default namespace on port 9080.
func outbound(subset, service string) string {
	return model.ClusterName("outbound", 9080, subset, service+".default.svc.cluster.local")
}

var ingress = Proxy{Name: "gateway-0", Namespace: "istio-system", Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}}
