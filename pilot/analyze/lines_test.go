package analyze

import (
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
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
	files := []File{{Name: "a.yaml", Data: []byte(several)}, {Name: "a.json", Data: []byte(oneList)}}
	l := newLines(files)
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
		{"a.json", "VirtualService/default/j", "spec.http[1]", `{"timeout": "1s",`},
		{"a.json", "VirtualService/default/j", "spec.http[1].route[0]", `"route": [{"destination": {"host": "b"}}]}`},
	} {
		text := files[0].Data
		if c.file == "a.json" {
			text = files[1].Data
		}
		objects, problems := file.Decode(text, c.file)
		found := false
		for _, o := range objects {
			if o.Key.String() != c.object {
				continue
			}
			found = true
			line := l.of(o.Origin, o.Key, c.field)
			if got := strings.Split(string(text), "\n")[line-1]; !strings.Contains(got, c.text) {
				t.Errorf("%s %s is said to be on line %d: %s", c.object, c.field, line, got)
			}
		}
		if !found {
			t.Errorf("there is no %s: %v", c.object, problems)
		}
	}
}
