package lines_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/lines"
)

const several = `# a comment
kind: Namespace
apiVersion: v1
metadata: {name: a}
--- # the next one
# begins later
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b}
spec:
  hosts: [b]
  http:
  - name: first
    match:
    - uri: {prefix: /a}
    - uri:
        prefix: /b   # HERE match
    route: &all
    - destination: {host: b}   # HERE anchor
  - route: *all
---
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1
  kind: DestinationRule
  metadata: {name: c, namespace: other}
  spec: {host: b, subsets: [{name: x}]}
- apiVersion: networking.istio.io/v1
  kind: DestinationRule
  metadata: {name: c}
  spec:
    host: b
    trafficPolicy: &policy
      tls: {mode: DISABLE}
    subsets:
    - name: one
    - name: two   # HERE subset
      trafficPolicy:
        <<: *policy
---
apiVersion: v1
kind: ConfigMap
metadata: {name: d}
data:
  text: |
    ---dashes, which begin no document
    ---
  other: x   # HERE after
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    defaultConfig:
      # of all proxies
      concurrency: 2   # HERE mesh
`

const oneList = `{
  "apiVersion": "networking.istio.io/v1", "kind": "VirtualServiceList",
  "items": [
    {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "j"},
     "spec": {"hosts": ["j"], "http": [
       {"route": [{"destination": {"host": "b"}}]},
       {"timeout": "1s",
        "route": [{"destination": {"host": "b"}}]}
     ]}}
  ]
}`

func TestTheLineOfARule(t *testing.T) {
	files := map[string]string{"a.yaml": several, "a.json": oneList}
	f := finder(files)
	for _, c := range []struct {
		file, object, field, text string
	}{
		{"a.yaml", "VirtualService/default/b", "", "apiVersion: networking.istio.io/v1"},
		{"a.yaml", "VirtualService/default/b", "spec.http[0]", "- name: first"},
		{"a.yaml", "VirtualService/default/b", "spec.http[0].match[0]", "- uri: {prefix: /a}"},
		{"a.yaml", "VirtualService/default/b", "spec.http[0].match[1].uri.prefix", "HERE match"},
		{"a.yaml", "VirtualService/default/b", "spec.http[1]", "- route: *all"},
		{"a.yaml", "VirtualService/default/b", "spec.http[1].route[0].destination", "HERE anchor"},
		{"a.yaml", "VirtualService/default/b", "spec.http[7]", "http:"},
		{"a.yaml", "DestinationRule/default/c", "spec.subsets[1]", "HERE subset"},
		{"a.yaml", "DestinationRule/default/c", "spec.subsets[1].trafficPolicy.tls", "tls: {mode: DISABLE}"},
		{"a.yaml", "DestinationRule/other/c", "spec.subsets[0]", "spec: {host: b, subsets: [{name: x}]}"},
		{"a.yaml", "MeshConfig/istio-system/istio", "defaultConfig.concurrency", "HERE mesh"},
		{"a.yaml", "MeshConfig/istio-system/istio", "nothing", "apiVersion: v1"},
		{"a.json", "VirtualService/default/j", "spec.http[1]", `{"timeout": "1s",`},
		{"a.json", "VirtualService/default/j", "spec.http[1].route[0]", `"route": [{"destination": {"host": "b"}}]}`},
	} {
		text := files[c.file]
		objects, problems := file.Decode([]byte(text), c.file)
		found := false
		for _, o := range objects {
			if o.Key.String() != c.object {
				continue
			}
			found = true
			line := f.Line(o.Origin, o.Key, c.field)
			if got := strings.Split(text, "\n")[line-1]; !strings.Contains(got, c.text) {
				t.Errorf("%s %s is said to be on line %d: %s", c.object, c.field, line, got)
			}
		}
		if !found {
			t.Errorf("there is no %s: %v", c.object, problems)
		}
	}
}

func finder(files map[string]string) *lines.Finder {
	return lines.NewFinder(func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return []byte(text), nil
	}, nil)
}

// A problem keeps its line where its field cannot be looked for: its file has another text now, or is gone, or there is
// none. A mapping that merges itself ends the search.
func TestAProblemWithoutItsFieldKeepsItsLine(t *testing.T) {
	f := finder(map[string]string{"a.yaml": several, "round.yaml": "kind: Gateway\nmetadata: {name: b}\nspec: &s\n  <<: *s\n  a: 1\n"})
	vs := model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "b"}
	at := func(file string, line int, asOf int64, field string) model.Problem {
		return model.Problem{Object: vs, Field: field, Origin: model.Origin{File: file, Line: line, AsOf: asOf}}
	}
	all := []model.Problem{
		at("a.yaml", 7, 0, "spec.http[1]"), at("a.yaml", 7, 0, ""), at("a.yaml", 7, 1, "spec.http[1]"),
		at("gone.yaml", 7, 0, "spec.http[1]"), at("", 0, 0, "spec.http[1]"), at("round.yaml", 1, 0, "spec.b"),
	}
	var got []int
	for _, p := range f.Problems(all) {
		got = append(got, p.Origin.Line)
	}
	if want := []int{20, 7, 7, 7, 0, 3}; !slices.Equal(got, want) {
		t.Errorf("the lines are %v, not %v", got, want)
	}
	if all[0].Origin.Line != 7 {
		t.Error("the problems that were given have changed")
	}
}
