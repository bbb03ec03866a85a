package translate

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// FuzzVirtualService: whatever message a VirtualService is, also one that no YAML could write, validation refuses it,
// or the routes and listeners that follow from it are valid, for a sidecar and for a gateway.
func FuzzVirtualService(f *testing.F) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range txtar.Parse(data).Files {
			if s.Name != "input.yaml" {
				continue
			}
			objects, _ := file.Decode(s.Data, s.Name)
			for _, o := range objects {
				if vs, ok := o.Spec.(*networking.VirtualService); ok {
					wire, err := proto.Marshal(vs)
					if err != nil {
						f.Fatal(err)
					}
					f.Add(wire)
				}
			}
		}
	}
	base, problems := file.Decode([]byte(routedYAML), "base.yaml")
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	gateway := &model.Object{
		Key: model.Key{Kind: model.KindGateway, Namespace: "default", Name: "gw"},
		Spec: &networking.Gateway{Selector: map[string]string{"istio": "ingressgateway"}, Servers: []*networking.Server{
			{Port: &networking.Port{Number: 80, Protocol: "HTTP"}, Hosts: []string{"*"}},
		}},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vs := &networking.VirtualService{}
		if proto.Unmarshal(data, vs) != nil {
			return
		}
		vs.Gateways = append(vs.Gateways, "mesh", "gw")
		o := &model.Object{Key: model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "fuzz"}, Spec: vs}
		if refused(o) {
			return
		}
		r := Snapshot(append([]*model.Object{gateway, o}, base[:2]...))
		for _, p := range askers(nil) {
			validateAll(t, Build(r, p))
		}
	})
}

// routedYAML has rules of all sorts.
const routedYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {prefix: /V3}, ignoreUriCase: true}, {queryParams: {version: {regex: "3|three"}}}, {withoutHeaders: {x-keep: {exact: "1"}}, uri: {exact: /without}}]
    route: [{destination: {host: reviews, subset: v3}}]
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: rewritten.example.com}
    headers: {request: {set: {x-path: "%REQ(:path)% 100%%"}, remove: [x-gone]}, response: {set: {x-served: mesh}}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {regex: "/group/([^/]+)/.*"}}]
    rewrite: {uriRegexRewrite: {match: "^/group/([^/]+)/(.*)$", rewrite: '/\2/\1'}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /moved}}]
    redirect: {uri: /here, redirectCode: 307}
  - match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {exact: /abort}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /slow}}]
    fault: {delay: {fixedDelay: 0.1s, percentage: {value: 100}}}
    timeout: 0.05s
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /fail}}]
    retries: {attempts: 2, retryOn: "503"}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /cors}}]
    corsPolicy: {allowOrigins: [{prefix: "https://good"}], allowMethods: [PUT]}
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: reviews, subset: v1}, weight: 50}, {destination: {host: reviews, subset: v3}, weight: 50}]
`
