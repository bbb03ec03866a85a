package discovery

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const chosen = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "discoverySelectors: [{matchLabels: {mesh: shop}}]"}
---
apiVersion: v1
kind: Namespace
metadata: {name: near, labels: {mesh: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: far}
---
apiVersion: v1
kind: Service
metadata: {name: inside, namespace: near}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: far}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}
`

// TestDiscoverySelectors serves what is in the namespaces that the mesh configuration chooses, and follows
// their labels.
func TestDiscoverySelectors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", chosen)
	cfg := testConfig(t, dir)
	serve(t, func(ctx context.Context) error { return Run(ctx, cfg) })
	services := func(inside, outside bool) func() bool {
		return func() bool {
			code, text := get(t, "http://"+cfg.MonitoringAddr+"/debug/pilothouse/endpointz?namespace=near")
			return code == http.StatusOK && strings.Contains(text, "inside.near.svc") == inside && strings.Contains(text, "outside.far.svc") == outside
		}
	}
	envoytest.Eventually(t, "the chosen namespace alone", services(true, false))
	write(t, dir, "a.yaml", strings.Replace(chosen, "name: far}", "name: far, labels: {mesh: shop}}", 1))
	envoytest.Eventually(t, "both namespaces", services(true, true))
	write(t, dir, "a.yaml", strings.Replace(chosen, "labels: {mesh: shop}}", "labels: {mesh: other}}", 1))
	envoytest.Eventually(t, "none", services(false, false))
}
