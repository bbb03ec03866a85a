package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestManifestsAsIstioHasThem runs manifests with everything that those of Istio's own sample have
// and ours do not: Istio's image names and tags, emptyDir volumes over folders that the image
// lacks, environment, no VirtualService for reviews, the older API version.
func TestManifestsAsIstioHasThem(t *testing.T) {
	dir := t.TempDir()
	var all strings.Builder
	for _, s := range []struct{ name, versions, volumes string }{
		{"details", "v1", ""}, {"ratings", "v1", ""}, {"reviews", "v1 v2 v3", "/tmp /opt/ibm/wlp/output"}, {"productpage", "v1", "/tmp"},
	} {
		fmt.Fprintf(&all, "apiVersion: v1\nkind: Service\nmetadata:\n  name: %[1]s\n  labels:\n    app: %[1]s\n    service: %[1]s\n"+
			"spec:\n  ports:\n  - port: 9080\n    name: http\n  selector:\n    app: %[1]s\n---\n"+
			"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: bookinfo-%[1]s\n---\n", s.name)
		for _, version := range strings.Fields(s.versions) {
			all.WriteString(deployment(s.name, version, strings.Fields(s.volumes)))
		}
	}
	gateway := "apiVersion: networking.istio.io/v1alpha3\nkind: Gateway\nmetadata:\n  name: bookinfo-gateway\nspec:\n" +
		"  selector:\n    istio: ingressgateway\n  servers:\n  - port:\n      number: 80\n      name: http\n      protocol: HTTP\n    hosts:\n    - \"*\"\n---\n" +
		"apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata:\n  name: bookinfo\nspec:\n  hosts:\n  - \"*\"\n  gateways:\n  - bookinfo-gateway\n" +
		"  http:\n  - match:\n    - uri:\n        exact: /productpage\n    - uri:\n        prefix: /static\n    - uri:\n        prefix: /api/v1/products\n" +
		"    route:\n    - destination:\n        host: productpage\n        port:\n          number: 9080\n"
	for name, text := range map[string]string{"bookinfo.yaml": all.String(), "bookinfo-gateway.yaml": gateway} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := start(t, "e2e-istio", dir)
	eventually(t, 10*time.Second, "the page", func() error { return answers(m) })
	count := m.versions(t, 60)
	for _, v := range []string{"v1", "v2", "v3"} {
		if count[v] < 5 {
			t.Errorf("without a rule each version gets a third: %v", count)
		}
	}
}

func deployment(name, version string, volumes []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: %[1]s-%[2]s\n  labels:\n    app: %[1]s\n    version: %[2]s\nspec:\n"+
		"  replicas: 1\n  selector:\n    matchLabels:\n      app: %[1]s\n      version: %[2]s\n  template:\n    metadata:\n      labels:\n        app: %[1]s\n        version: %[2]s\n"+
		"    spec:\n      serviceAccountName: bookinfo-%[1]s\n      containers:\n      - name: %[1]s\n        image: docker.io/istio/examples-bookinfo-%[1]s-%[2]s:1.20.1\n"+
		"        imagePullPolicy: IfNotPresent\n        env:\n        - name: LOG_DIR\n          value: \"/tmp/logs\"\n        ports:\n        - containerPort: 9080\n", name, version)
	if len(volumes) > 0 {
		b.WriteString("        volumeMounts:\n")
		for i, v := range volumes {
			fmt.Fprintf(&b, "        - name: volume-%d\n          mountPath: %s\n", i, v)
		}
		b.WriteString("      volumes:\n")
		for i := range volumes {
			fmt.Fprintf(&b, "      - name: volume-%d\n        emptyDir: {}\n", i)
		}
	}
	return b.String() + "---\n"
}
