package analyze

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// What Istio says of an annotation is markdown of its site, and is printed as plain text.
func TestDeprecatedAnnotationsAreDescribedInPlainText(t *testing.T) {
	found, err := Files(context.Background(), []File{{Name: "a.yaml", Data: []byte(`
apiVersion: v1
kind: Pod
metadata: {name: a, annotations: {sidecar.istio.io/inject: "true", traffic.sidecar.istio.io/kubevirtInterfaces: a}}
spec: {containers: [{name: app, image: x}]}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	const address = `"sidecar.istio.io/inject" label documented here (https://istio.io/latest/docs/reference/config/labels/#SidecarInject).`
	if !slices.ContainsFunc(found, func(f Finding) bool { return strings.HasSuffix(f.Message, address) }) {
		t.Errorf("%+v, want %s", found, address)
	}
	for _, f := range found {
		if strings.ContainsAny(f.Message, "`\n") || strings.Contains(f.Message, "](") {
			t.Errorf("%q is markdown", f.Message)
		}
	}
}
