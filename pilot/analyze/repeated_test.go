package analyze

import (
	"context"
	"strings"
	"testing"
)

// A value of which validation says that its form is wrong, and the translation what comes of it, is told once.
func TestOneValueIsToldOnce(t *testing.T) {
	found, err := Files(context.Background(), []File{{Name: "a.yaml", Data: []byte(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: claims}
spec:
  hosts: [a]
  http: [{match: [{withoutHeaders: {"@request.auth.claims": {exact: a}}}], route: [{destination: {host: a}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a, sidecar.istio.io/inject: "true"}}
spec: {containers: [{name: app, image: x}]}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	const field = "spec.http[0].match[0].withoutHeaders[@request.auth.claims]"
	const want = "this is no name of a header; the match is left out; write @request.auth.claims.NAME, or @request.auth.claims[NAME] where names have dots"
	var told []string
	for _, f := range found {
		if f.Field == field {
			told = append(told, f.Code+" "+string(f.Level)+" "+f.Message)
		}
	}
	if got := strings.Join(told, "\n"); got != schemaError+" Error "+want {
		t.Errorf("told of %s:\n%s\nwant one error: %s", field, got, want)
	}
}
