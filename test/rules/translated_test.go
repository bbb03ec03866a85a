package rules

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/test/xdstest"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// translated gives the clusters and load assignments that the product makes of a mesh in YAML.
func translated(t *testing.T, yaml string) []xdstest.Message {
	t.Helper()
	objects, problems := file.Decode([]byte(yaml), "mesh.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := translate.Proxy{Name: "pod", Namespace: "ns", IPs: []string{"10.0.0.1"}}
	res := translate.Build(translate.Snapshot(objects), p.Model())
	var out []xdstest.Message
	for name, typ := range map[string]resource.Type{"clusters": resource.Clusters, "endpoints": resource.Endpoints} {
		for _, r := range res.ByType[name] {
			out = append(out, xdstest.Message{Type: typ, Name: r.Name, Body: r.Body})
		}
	}
	return out
}
